"""What memory has learned and Causal agrees with, as far as it is advice."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Insight:
    """A validated insight: what to do (or avoid) in a campaign's situation, and the pattern that says so."""

    insight_id: str
    pattern_id: str
    campaign_id: str | None
    recommendation: str
    p_success: float | None
    support: int
    evidence: str


def validated_insights(insights: pl.DataFrame) -> list[Insight]:
    """Rows of `memory/insights` that were validated; what Causal contradicts or cannot judge is no advice.

    Of several about one campaign that recommend the same, the surest stands for them.
    """
    wanted = {"validated", "confidence", "p_success", "campaign_id", "validation"}
    if insights.is_empty() or not wanted <= set(insights.columns):
        return []
    chosen = (
        insights.filter(pl.col("validated").fill_null(False))
        .sort("confidence", "insight_id", descending=[True, False])
        .unique(["campaign_id", "recommendation"], keep="first", maintain_order=True)
    )
    found = []
    for row in chosen.iter_rows(named=True):
        grounds = _grounds(row["evidence"])
        if grounds.get("pattern_id"):
            found.append(
                Insight(
                    insight_id=row["insight_id"],
                    pattern_id=str(grounds["pattern_id"]),
                    campaign_id=row["campaign_id"],
                    recommendation=row["recommendation"],
                    p_success=row["p_success"],
                    support=int(str(grounds.get("n_evidence") or 0)),
                    evidence=f"confidence {row['confidence']:.2f} from {grounds.get('n_evidence')} like situations; "
                    f"{row['validation']}",
                )
            )
    return found


def _grounds(text: str | None) -> dict[str, object]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
