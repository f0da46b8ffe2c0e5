"""`liftos sentiment`: read a text as the assets read it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

sentiment_app = typer.Typer(no_args_is_help=True, help="Sentiment: read single texts as the assets do.")
console = Console(width=None if sys.stdout.isatty() else 160)


@sentiment_app.callback()
def sentiment() -> None:
    """Keeps `read` a command of its own while it is the only one."""


@sentiment_app.command("read")
def read(
    texts: Annotated[list[str], typer.Argument(help="One text an argument")],
    client: Annotated[str | None, typer.Option(help="Read with this client's model, names and topics")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the texts, where it is known")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """What the sentiment assets say of a text: language, sentiment, emotions, topics, and of whom it speaks."""
    import polars as pl

    from liftos_pipelines.modules.sentiment.reading.scoring import score_mentions

    reading, subjects = _reader(client)
    mentions = pl.DataFrame({"mention_id": [str(n) for n in range(len(texts))], "text": texts}).with_columns(
        language=pl.lit(language, dtype=pl.String)
    )
    rows = score_mentions(mentions, reading, subjects).to_dicts()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(header_style="bold")
    for column in ("text", "language", "sentiment", "negative", "neutral", "positive", "feels", "topics", "about"):
        table.add_column(column, overflow="fold")
    for text, row in zip(texts, rows, strict=True):
        table.add_row(text, *_cells(row))
    console.print(table)


def _reader(client: str | None) -> tuple[Any, Any]:
    from liftos_pipelines import settings
    from liftos_pipelines.modules.sentiment.reading.scoring import Reading, Subjects
    from liftos_pipelines.resources.sentiment_encoder import open_reader
    from liftos_pipelines.resources.sentiment_model import SentimentModelResource, packaged_model, second_identifier
    from liftos_pipelines.templates.loader import load_template

    if client is None:
        packaged, _ = open_reader(packaged_model())
        topics = load_template(None).topics
        return Reading(packaged=packaged, fallback=second_identifier()), Subjects(topics=topics)
    from liftos_pipelines.assets.sentiment import subjects_of
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.resources.sentiment_reading import open_reading

    config, lake = load_client(client), Lake(settings.lake_uri())
    reading, _ = open_reading(SentimentModelResource(), lake, config)
    return reading, subjects_of(config, lake.read(client, "sources/campaigns"))


def _cells(row: dict[str, Any]) -> list[str]:
    if row["p_negative"] is None:
        return [row["language"], f"unknown: {row['reason']}", "", "", "", "", "", ""]
    shares = [f"{row[f'p_{name}']:.2f}" for name in ("negative", "neutral", "positive")]
    fine = [f"{one['name']} {one['probability']:.2f}" for one in row["emotions_fine"]]
    basic = sorted(((value, name) for name, value in row["emotions"].items() if value is not None), reverse=True)
    feels = fine or [f"{name} {value:.2f}" for value, name in basic[:2]]
    about = [
        f"{one['name']}: {one['compared'] or one['label']} ({one['net_sentiment']:+.2f})" for one in row["targets"]
    ]
    label = row["label"] + (" (unsure)" if row["abstained"] else "")
    language = row["language"] + (", mixed" if row["mixed"] else "")
    return [language, label, *shares, ", ".join(feels), ", ".join(row["topics"]), "; ".join(about)]
