"""What became of insights that were acted on, and how often insights that said .9 were right.

An insight is acted on by the first decision after it that took its action for its campaign: an agent's proposal, or an
outcome that the client measured. Being right is a probability, because effects are measured with error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.learning.evidence import direction, success_probability
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import table
from liftos_pipelines.text import fold

HORIZON = timedelta(days=90)
"""An action taken later than this is not put down to the insight."""
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Borders of the calibration table; `MIN_CONFIDENCE` is one of them."""

OUTCOMES = table("memory/insight_outcomes").columns
CALIBRATION = table("memory/insight_calibration").columns


def insight_outcomes(insights: pl.DataFrame, proposals: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Each insight with the action that followed it and what was measured of it; `acted_on` false where none did.

    Parameters
    ----------
    insights : `memory/insights`; proposals : `agentic/proposals`; items : current memories
    """
    if insights.is_empty():
        return pl.DataFrame(schema=OUTCOMES)
    measured = items.filter(
        pl.col("kind") == "outcome",
        pl.col("superseded_at").is_null(),
        pl.all_horizontal(pl.col("effect", "std_error", "action", "valid_from").is_not_null()),
    ).sort("valid_from", "memory_id")
    by_action = _grouped(measured.iter_rows(named=True), lambda row: (row["campaign_id"], _same(row["action"])))
    decided = _grouped(
        proposals.filter(pl.col("status") != "denied").sort("proposed_at", "action_id").iter_rows(named=True),
        lambda row: _same(row["action"]),
    )
    rows = []
    for insight in insights.iter_rows(named=True):
        key = _same(insight["action"])
        outcome = _first(by_action.get((insight["campaign_id"], key), []), "valid_from", insight["at"])
        proposal = next(
            (
                row
                for row in decided.get(key, [])
                if row["action_id"] == insight["query_id"]
                or (row["event_id"] and row["event_id"] == insight["query_id"])
            ),
            None,
        )
        rows.append(_row(insight, outcome, proposal))
    return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


def _row(
    insight: Mapping[str, Any], outcome: Mapping[str, Any] | None, proposal: Mapping[str, Any] | None
) -> dict[str, Any]:
    works = insight["p_success"] > 0.5
    said = max(insight["p_success"], 1 - insight["p_success"])
    row = dict.fromkeys(OUTCOMES) | {
        "insight_id": insight["insight_id"],
        "recommendation": insight["recommendation"],
        "campaign_id": insight["campaign_id"],
        "made_at": insight["at"],
        "confidence": insight["confidence"],
        "said": said,
        "validation_status": insight["validation_status"],
        "acted_on": outcome is not None or proposal is not None,
    }
    if proposal is not None:
        row |= {"action_id": proposal["action_id"], "acted_at": proposal["proposed_at"]}
    if outcome is not None:
        good = success_probability(
            np.array([outcome["effect"]]), np.array([outcome["std_error"]]), np.array([direction(outcome["metric"])])
        )[0]
        row |= {
            "memory_id": outcome["memory_id"],
            "acted_at": outcome["valid_from"],
            "metric": outcome["metric"],
            "effect": outcome["effect"],
            "std_error": outcome["std_error"],
            "p_right": float(good if works else 1 - good),
        }
    return row


def _grouped(rows: Any, key: Any) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _same(action: str) -> str:
    return fold(action).strip(" .")


def _first(rows: list[dict[str, Any]], column: str, after: datetime | None) -> dict[str, Any] | None:
    """The first decision at or after a moment, within the horizon; without a moment nothing followed it."""
    if after is None:
        return None
    return next((row for row in rows if after <= row[column] <= after + HORIZON), None)


def calibration(said: NDArray[np.float64], right: NDArray[np.float64], source: str) -> pl.DataFrame:
    """How often a direction that was said with a probability was right, by bins of it.

    Parameters
    ----------
    said : (n,) probability of the likelier direction, .5 to 1; right : (n,) probability that it was right
    source : what was asked ("acted on", "replayed")
    """
    rows = []
    bins = np.clip(np.searchsorted(CUTS, said, side="right") - 1, 0, len(CUTS) - 2)
    for code in range(len(CUTS) - 1):
        mine = bins == code
        n = int(mine.sum())
        if not n:
            continue
        low, high = wilson_interval(float(right[mine].sum()), n)
        rows.append(
            {
                "source": source,
                "from": CUTS[code],
                "to": CUTS[code + 1],
                "n": n,
                "said": float(said[mine].mean()),
                "was": float(right[mine].mean()),
                "low": low,
                "high": high,
            }
        )
    return pl.DataFrame(rows, schema=CALIBRATION, orient="row")


def calibration_error(frame: pl.DataFrame) -> float | None:
    """Mean distance of what was said and what was, weighed by how often (expected calibration error)."""
    n = frame["n"].to_numpy().astype(float)
    gap = np.abs(frame["said"].to_numpy() - frame["was"].to_numpy())
    return float((gap * n).sum() / n.sum()) if n.sum() else None
