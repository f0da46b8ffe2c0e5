"""Insights: patterns sure enough to act on, and whether the causal model agrees."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.learning.validation import Conditions, validate
from liftos_pipelines.modules.memory.learning.validation import direction_of as direction_of
from liftos_pipelines.tables import table

MIN_CONFIDENCE = 0.8
"""The confidence above which the plan lets an insight be acted on."""

SCHEMA: dict[str, pl.DataType] = table("memory/insights").columns | {
    "action": pl.String(),
    "campaign_id": pl.String(),
    "p_success": pl.Float64(),
    "p_success_low": pl.Float64(),
    "p_success_high": pl.Float64(),
    "validation": pl.String(),
    "validation_status": pl.String(),
    "channel": pl.String(),
    "predicted_effect": pl.Float64(),
    "predicted_low": pl.Float64(),
    "predicted_high": pl.Float64(),
    "predicted_unit": pl.String(),
    "query_kind": pl.String(),
    "query_id": pl.String(),
    "at": pl.Datetime("us", "UTC"),
}


def find_insights(patterns: pl.DataFrame, campaigns: pl.DataFrame, conditions: Conditions) -> pl.DataFrame:
    """Patterns with confidence above `MIN_CONFIDENCE` as recommendations, each held against current conditions.

    `validated` is true, false or null as `validation_status` is validated, contradicted or unknown; `validation` says
    why. `predicted_*` is what Causal expects the action to gain now, where it names a channel and an amount.
    """
    sure = patterns.filter(~pl.col("abstained"), pl.col("confidence") > MIN_CONFIDENCE)
    channel_of = dict(campaigns.select("campaign_id", "channel").iter_rows()) if campaigns.height else {}
    rows = []
    for row in sure.iter_rows(named=True):
        works = row["p_success"] > 0.5
        verdict = validate(row["action"], works, channel_of.get(row["campaign_id"]), conditions)
        same = ("context", "confidence", "action", "campaign_id", "query_kind", "query_id", "at")
        rows.append(
            {name: row[name] for name in (*same, "p_success", "p_success_low", "p_success_high")}
            | {
                "insight_id": "i" + hashlib.sha256(row["pattern_id"].encode()).hexdigest()[:23],
                "recommendation": f"{'Do' if works else 'Avoid'}: {row['action']}",
                "validated": verdict.validated,
                "evidence": json.dumps(_evidence(row), sort_keys=True),
                "validation": verdict.reason,
                "validation_status": verdict.status,
                "channel": verdict.channel,
                "predicted_effect": verdict.predicted,
                "predicted_low": verdict.low,
                "predicted_high": verdict.high,
                "predicted_unit": verdict.unit,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _evidence(row: dict[str, Any]) -> dict[str, Any]:
    names = ("pattern_id", "memory_ids", "similarity", "n_evidence", "evidence_weight", "threshold")
    return {name: row[name] for name in names}
