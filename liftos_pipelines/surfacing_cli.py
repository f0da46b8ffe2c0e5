"""`liftos surfacing`: what the panel of prompts can see, and what it would take to see more."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientConfig, load_client

surfacing_app = typer.Typer(no_args_is_help=True, help="Surfacing: plan the panel of prompts asked of assistants.")
PANEL_COLUMNS = ("prompt_id", "prompt", "intent", "stage", "branded")


@surfacing_app.command("panel")
def panel(
    client: Annotated[str, typer.Argument(help="Client id, the name of its folder")],
    width: Annotated[
        float | None, typer.Option(help="Wanted width of the mention rate's 90 % interval, both sides together (0.1)")
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each prompt is asked a month", min=1)] = 3,
    price: Annotated[float | None, typer.Option(help="Price of one answer; finds the cheapest panel")] = None,
    prompt_price: Annotated[float, typer.Option(help="Monthly price of having one more prompt")] = 0.0,
    write: Annotated[Path | None, typer.Option(help="Write the industry's prompts, filled in, as CSV")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """What the present panel of prompts can see, what a wanted width needs, and prompts ready to ask."""
    from liftos_pipelines.modules.surfacing.visibility.panel_design import Prices, panel_plan, plan_words
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.templates.loader import load_template

    config = load_client(client)
    wanted = load_template(config.industry, config.folder).targets.interval_width if width is None else width
    plan = panel_plan(
        Lake(settings.lake_uri()).read(client, "surfacing/visibility_posterior"),
        wanted,
        repeats,
        None if price is None else Prices(answer=price, prompt=prompt_price),
    )
    prompts = ready_prompts(config)
    if write is not None:
        if config.brand is None:
            raise ValueError(f"{config.folder}/client.yaml: brand: prompts name a brand and its competitors; add it")
        _write(write, prompts)
    if as_json:
        answer = {"client": client} | asdict(plan) | {"ready_prompts": len(prompts)}
        typer.echo(json.dumps(answer, indent=2, default=list))
        return
    for line in plan_words(plan, config.currency):
        typer.echo(line)
    if write is not None:
        typer.echo(f"{len(prompts)} prompts of the {config.industry or 'base'} template are in {write}.")
    elif prompts:
        typer.echo(f"{len(prompts)} prompts of the {config.industry or 'base'} template are ready: --write prompts.csv")


@surfacing_app.command("template")
def template(
    industry: Annotated[str | None, typer.Argument(help="Industry; without one, the base template")] = None,
) -> None:
    """An industry's template in words: prompts over the funnel, weights of the page audit, topics, targets."""
    from liftos_pipelines.templates.loader import describe, load_template

    typer.echo(describe(load_template(industry)))


def ready_prompts(config: ClientConfig) -> list[dict[str, str]]:
    """The prompts of the client's industry, filled in with its brand, competitors and vocabulary."""
    from liftos_pipelines.templates.loader import load_template, prompt_panel

    if config.brand is None:
        return []
    return prompt_panel(
        load_template(config.industry, config.folder),
        brand=config.brand.name,
        competitors=[competitor.name for competitor in config.brand.competitors],
    )


def _write(file: Path, prompts: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, PANEL_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(prompts)
