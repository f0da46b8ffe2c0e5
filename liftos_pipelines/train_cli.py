"""`liftos train`: make anew the models that come with LiftOS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

train_app = typer.Typer(no_args_is_help=True, help="Train the models that come with LiftOS.")
console = Console(width=None if sys.stdout.isatty() else 160)

Data = Annotated[
    Path, typer.Option(help="Folder of labelled files: umsab/, tweeteval/, goemotions/, vader_icwsm/, xed/, labelled/")
]
Out = Annotated[Path, typer.Option(help="The .npz to write; its figures go beside it")]


@train_app.command("sentiment")
def train_sentiment(
    data: Data, out: Out, track: Annotated[bool, typer.Option(help="Log the training to MLflow")] = False
) -> None:
    """Train the packaged n-gram model and print its figures on held-out texts."""
    from liftos_pipelines.resources.sentiment_model import train_default

    _check(data)
    with console.status("training, two to five minutes ..."):
        figures = train_default(data, out, track=track)
    _print(figures, out)


@train_app.command("sentiment-encoder")
def train_sentiment_encoder(
    data: Data,
    out: Out,
    refit: Annotated[
        bool, typer.Option(help="Keep adapter and heads; fit scales and mixing to the n-gram model")
    ] = False,
) -> None:
    """Train the packaged encoder's adapter and heads, and fit its mixing with the n-gram model."""
    from liftos_pipelines.resources.sentiment_encoder_training import refit_encoder, train_encoder

    _check(data)
    if refit:
        with console.status("fitting scales and mixing, about three minutes ..."):
            _print(refit_encoder(data, out), out)
        return
    with console.status("training, about half an hour on one core ...") as status:
        figures = train_encoder(data, out, say=lambda words: status.update(words))
    _print(figures, out)


@train_app.command("memory-static")
def train_memory_static(
    data: Data,
    out: Out,
    other_weights: Annotated[
        bool, typer.Option(help="Distil from other MiniLM weights than those of the packaged vectors")
    ] = False,
) -> None:
    """Distil memory's static vectors from the installed MiniLM."""
    from liftos_pipelines.resources.static_embedder_training import train_static

    _check(data)
    with console.status("distilling, about a quarter of an hour on one core ...") as status:
        figures = train_static(data, out, other_weights=other_weights, say=lambda words: status.update(words))
    _print(figures, out)


@train_app.command("agent-attribution")
def train_agent_attribution(
    data: Annotated[Path, typer.Option(help="Folder of Who&When's runs, one JSON file each")],
    out: Annotated[Path, typer.Option(help="The .json to write")],
) -> None:
    """Learn the weights of failure attribution and print how held-out runs were judged."""
    from liftos_pipelines.bench.who_and_when import failures
    from liftos_pipelines.resources.attribution_weights import train

    _check(data)
    _print(dict(train(failures(data), out)), out)


@train_app.command("groundedness")
def train_groundedness(
    data: Annotated[Path, typer.Option(help="Folder of the public sets: llm/ragchecker/, llm/halueval/")],
    out: Annotated[Path, typer.Option(help="The .json to write")],
) -> None:
    """Fit the packaged calibration of groundedness on made summaries of public texts."""
    from liftos_pipelines.bench.groundedness_fit import train_groundedness as fit_groundedness

    _check(data)
    with console.status("making summaries and fitting, about ten seconds ..."):
        figures = fit_groundedness(data, out)
    for name, value in figures.items():
        console.print(f"{name}: {value:.4g}", highlight=False)
    console.print(f"calibration written to {out}", highlight=False)


def _check(data: Path) -> None:
    if not data.is_dir():
        raise ValueError(f"--data {data}: no such folder")


def _print(figures: dict[str, Any], out: Path) -> None:
    for name, value in figures.items():
        if isinstance(value, (int, float, str)):
            console.print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
    console.print(f"model written to {out}, all figures beside it", highlight=False)
