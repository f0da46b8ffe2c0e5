"""`liftos explain`: why an action was taken, from the event to the outcome, in words and as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from liftos_pipelines.spine.explanation import NOTHING, Expected, Explanation

STYLES = {"ok": "green", "waiting": "yellow", "denied": "magenta", "failed": "red", "unknown": "yellow", "none": "dim"}


def explain(
    client: Annotated[str, typer.Argument(help="Client id, the name of its folder")],
    identifier: Annotated[
        str, typer.Argument(metavar="ID|last", help="Action, decision or approval id, or a ledger entry's hash")
    ],
    html: Annotated[Path | None, typer.Option(help="Write the page with the picture to this file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Say why an action was taken: event, evidence, memory, policy, approval, execution, outcome, proof."""
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.spine.explanation import dumps
    from liftos_pipelines.spine.explanation_page import explanation_page

    load_client(client)
    found = explained(client, identifier)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(explanation_page(found), encoding="utf-8")
    if as_json:
        typer.echo(dumps(found))
        return
    _print(console, in_words(found))
    if html is not None:
        console.print(f"Written to {html}", highlight=False)


def explained(client: str, identifier: str) -> Explanation:
    """The explanation of one decision from all stores of this home.

    Raises
    ------
    UnknownId : no decision, or several, go by it
    """
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.accountability import decision_of
    from liftos_pipelines.spine.explanation import explain as explain_decision
    from liftos_pipelines.tracing_sources import records_about

    spine = open_spine()
    decision = decision_of(spine, client, identifier)
    records, missing = records_about(client, decision)
    expected: list[Expected] | None = None
    try:
        expected = _expected(client, decision.action_id)
    except Exception as error:  # a lake in trouble must not keep the rest from being told
        missing = [*missing, f"eval/predictions could not be read: {str(error).splitlines()[0]}"]
    return explain_decision(decision, records, expected=expected, audit=spine.verify_ledger(client), missing=missing)


def _expected(client: str, action_id: str | None) -> list[Expected]:
    """What was measured of the action afterwards, and what was predicted of it."""
    import polars as pl

    from liftos_pipelines import settings
    from liftos_pipelines.modules.agentic import outcomes
    from liftos_pipelines.resources.lake import Lake

    if action_id is None:
        return []
    lake = Lake(settings.lake_uri())
    measured = lake.read(client, "agentic/outcomes").filter(pl.col("action_id") == action_id)
    found = [
        Expected(
            what=row["metric"] or f"effect of {row['action']}",
            due_at=row["due_at"],
            status=NOTHING if row["status"] == outcomes.NONE else row["status"],
            outcome=row["effect"],
            std_error=row["std_error"],
            measured_by=row["method"],
            detail=row["detail"],
        )
        for row in measured.iter_rows(named=True)
    ]
    predictions = lake.read(client, "eval/predictions")
    if predictions.is_empty() or "key" not in predictions.columns:
        return found
    mine = predictions.filter((pl.col("module") == "agentic") & (pl.col("key") == action_id))
    # The same outcome is not told twice: what was measured of the action comes first.
    return found + [
        Expected(
            what=row["what"],
            due_at=row["due_at"],
            status=row["status"],
            predicted=row["predicted"],
            low=row["low"],
            high=row["high"],
            outcome=row["outcome"],
            std_error=row.get("outcome_std_error"),
            measured_by=row.get("measured_by"),
        )
        for row in mine.iter_rows(named=True)
        if not found or row["predicted"] is not None
    ]


def _print(console: Console, told: Text) -> None:
    """Lines keep their indent where a terminal is too narrow for them; a pipe gets each whole."""
    if not console.is_terminal:
        console.print(told, soft_wrap=True)
        return
    for line in told.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip())
        console.print(Padding(line[indent:], (0, 0, 0, indent), expand=False) if indent else line)


def in_words(found: Explanation) -> Text:
    """The stages for a terminal."""
    text = Text(f"{found.sentence}\n", style="bold")
    for stage in found.stages:
        when = f"  {stage.at:%Y-%m-%d %H:%M}" if stage.at else ""
        text.append(f"\n{stage.title}", style="bold not dim")
        text.append(f"  {stage.status}", style=f"{STYLES[stage.status]} not bold")
        text.append(f"  {stage.short}{when}\n", style="not bold")
        for line in stage.lines:
            text.append(f"  {line}\n", style="dim not bold")
    for line in found.missing:
        text.append(f"\nnote: {line}\n", style="yellow not bold")
    return text
