"""Insights: patterns sure enough to act on, and whether the causal model agrees."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import polars as pl

from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder, words

MIN_CONFIDENCE = 0.8
"""The confidence above which the plan lets an insight be acted on."""

_UP = "increase increased raise raised scale boost boosted double doubled grow expand extend add"
_DOWN = "decrease decreased reduce reduced cut lower lowered pause paused stop stopped halve halved"
MORE, LESS = frozenset(_UP.split()), frozenset(_DOWN.split())
Move = Literal["more", "less"]
SCHEMA: dict[str, pl.DataType] = table("memory/insights").columns | {
    "action": pl.String(),
    "campaign_id": pl.String(),
    "p_success": pl.Float64(),
    "p_success_low": pl.Float64(),
    "p_success_high": pl.Float64(),
    "validation": pl.String(),
}


def find_insights(
    patterns: pl.DataFrame, campaigns: pl.DataFrame, budget_plan: pl.DataFrame, channel_results: pl.DataFrame
) -> pl.DataFrame:
    """Patterns with confidence above `MIN_CONFIDENCE` as recommendations, checked against the causal model.

    `validated` is true when the causal model recommends the same direction of spend for the channel that the
    action names (or that its campaign runs on), false when it recommends the other, null when it cannot tell.
    """
    sure = patterns.filter(~pl.col("abstained"), pl.col("confidence") > MIN_CONFIDENCE)
    channel_of = dict(campaigns.select("campaign_id", "channel").iter_rows()) if campaigns.height else {}
    advice = causal_direction(budget_plan, channel_results)
    rows = []
    for row in sure.iter_rows(named=True):
        works = row["p_success"] > 0.5
        validated, why = validate(row["action"], works, channel_of.get(row["campaign_id"]), advice)
        rows.append(
            {
                "insight_id": "i" + hashlib.sha256(row["pattern_id"].encode()).hexdigest()[:23],
                "context": row["context"],
                "recommendation": f"{'Do' if works else 'Avoid'}: {row['action']}",
                "confidence": row["confidence"],
                "validated": validated,
                "evidence": json.dumps(_evidence(row), sort_keys=True),
                "action": row["action"],
                "campaign_id": row["campaign_id"],
                "p_success": row["p_success"],
                "p_success_low": row["p_success_low"],
                "p_success_high": row["p_success_high"],
                "validation": why,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def causal_direction(budget_plan: pl.DataFrame, channel_results: pl.DataFrame) -> dict[str, Move | None]:
    """What the causal model says of each channel's spend: more, less, or None when it cannot tell.

    A planned change counts when the whole 90 % interval of its uplift is on the good side; without a plan,
    the marginal ROI's interval decides: wholly above 1 is more, wholly below 1 is less.
    """
    advice: dict[str, Move | None] = {}
    for row in channel_results.filter(pl.col("geo") == "all").iter_rows(named=True):
        low, high = row["mroi_low"], row["mroi_high"]
        sure: Move | None = None
        if low is not None and high is not None:
            sure = "more" if low > 1 else "less" if high < 1 else None
        advice[row["channel"]] = sure
    for row in budget_plan.iter_rows(named=True):
        change = (row["spend_planned"] or 0.0) - (row["spend_current"] or 0.0)
        low, high = row["uplift_low"], row["uplift_high"]
        if low is None or high is None or change == 0:
            continue
        if change > 0 and low > 0:
            advice[row["channel"]] = "more"
        elif change < 0 and high < 0:
            # Spending less loses outcome; the plan takes it because the money does more elsewhere.
            advice[row["channel"]] = "less"
    return advice


def validate(action: str, works: bool, channel: str | None, advice: dict[str, Move | None]) -> tuple[bool | None, str]:
    """Whether the causal model agrees with doing (or avoiding) an action, and why it says so."""
    move = direction_of(action)
    if move is None:
        return None, "the action does not say whether spend goes up or down"
    finder = NameFinder([Name(name=name, aliases=(name.replace("_", " "),)) for name in advice])
    named = {hit.name for hit in finder.find(action)} or ({channel} if channel else set())
    if len(named) != 1:
        return None, "the action concerns no single channel"
    about = named.pop()
    causal = advice.get(about)
    if causal is None:
        return None, f"the causal model has no sure direction for channel {about}"
    wanted: Move = move if works else ("less" if move == "more" else "more")
    agrees = causal == wanted
    verb = "agrees" if agrees else "disagrees"
    return agrees, f"the causal model {verb}: {causal} spend on channel {about}"


def direction_of(action: str) -> Move | None:
    """Whether an action moves spend up or down, by its words; None when it says neither or both."""
    said = set(words(action))
    more, less = bool(said & MORE), bool(said & LESS)
    if more == less:
        return None
    return "more" if more else "less"


def _evidence(row: dict[str, Any]) -> dict[str, Any]:
    names = ("pattern_id", "memory_ids", "similarity", "n_evidence", "evidence_weight", "threshold")
    return {name: row[name] for name in names}
