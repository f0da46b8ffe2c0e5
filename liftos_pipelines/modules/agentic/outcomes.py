"""What came of executed actions, measured afterwards: each by the method that its kind has, or said to have none.

A message or a ticket changes nothing that could be measured. An outcome is measured when its weeks are over, or as soon
as there is enough of them, and then stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.tables import table

SPAN = timedelta(days=28)
"""How long after an action its outcome is looked for."""
OPEN, MEASURED, NONE, UNKNOWN = "open", "measured", "nothing to measure", "unknown"
Z90 = 1.6448536269514722


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An effect with its standard error, in the metric's unit, and how it was measured."""

    metric: str
    effect: float
    std_error: float
    method: str
    detail: str = ""


Measure = Callable[[Mapping[str, Any], datetime], Measured | str]
"""From an action's arguments and when it was executed to what came of it, or why that is not known (yet)."""


def outcomes(
    executed: pl.DataFrame, earlier: pl.DataFrame, measures: Mapping[str, Measure], now: datetime
) -> pl.DataFrame:
    """The `agentic/outcomes` table.

    Parameters
    ----------
    executed : action_id, action, arguments (JSON), executed_at of actions that were carried out
    earlier : the table as it was; what was measured stands
    measures : by action; one that is missing has nothing to measure
    """
    contract = table("agentic/outcomes")
    known = {row["action_id"]: row for row in earlier.filter(pl.col("status") == MEASURED).iter_rows(named=True)}
    rows = []
    for action_id, action, arguments, at in executed.select(
        "action_id", "action", "arguments", "executed_at"
    ).iter_rows():
        if action_id in known:
            rows.append({name: known[action_id][name] for name in contract.columns})
            continue
        told = json.loads(arguments)
        row: dict[str, Any] = dict.fromkeys(contract.columns)
        row |= {
            "action_id": action_id,
            "action": action,
            "subject": subject_of(action, told),
            "executed_at": at,
            "due_at": at + SPAN,
        }
        measure = measures.get(action)
        if measure is None:
            rows.append(row | {"status": NONE, "detail": f"{action} changes nothing that could be measured"})
            continue
        found = measure(told, at)
        if isinstance(found, str):
            rows.append(row | {"status": UNKNOWN if now > row["due_at"] + SPAN else OPEN, "detail": found})
            continue
        half = Z90 * found.std_error
        rows.append(
            row
            | {
                "metric": found.metric,
                "effect": found.effect,
                "low": found.effect - half,
                "high": found.effect + half,
                "std_error": found.std_error,
                "method": found.method,
                "status": MEASURED,
                "detail": found.detail,
            }
        )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns)).sort("executed_at", "action_id")


def subject_of(action: str, arguments: Mapping[str, Any]) -> str | None:
    """What an action was about, in one word."""
    if action == "shift_budget":
        return f"{arguments.get('from_channel')} to {arguments.get('to_channel')}"
    for name in ("name", "agent_id", "dataset", "campaign_id"):
        if arguments.get(name):
            return str(arguments[name])
    return None


def as_source_outcomes(found: pl.DataFrame) -> pl.DataFrame:
    """Measured outcomes in the columns of `sources/outcomes`, so that a prediction is held against them alike."""
    contract = table("sources/outcomes")
    measured = found.filter(pl.col("status") == MEASURED)
    return contract.conform(
        measured.select(
            pl.concat_str(pl.lit("agentic/outcomes "), "action_id").alias("outcome_id"),
            pl.min_horizontal("due_at", pl.col("executed_at") + SPAN).alias("decided_at"),
            pl.concat_str(pl.col("action"), pl.lit(" on "), pl.col("subject").fill_null("unknown")).alias("context"),
            "action",
            "metric",
            "effect",
            "std_error",
        )
    )
