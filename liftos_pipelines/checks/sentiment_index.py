"""Gates of the sentiment index and its alerts: the level agrees with the authors' stars wherever there are enough of
them, and alerts keep the stated rate of false alarms.
"""

from __future__ import annotations

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.sentiment.watch.detector import DetectorSettings
from liftos_pipelines.modules.sentiment.watch.level import MIN_RATED, WORTH_SAYING, against_ratings

TOLERANCE = 1e-6
WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(
    asset=dg.AssetKey(["sentiment", "daily_index"]),
    name="level_agrees_with_ratings",
    additional_ins={
        "mention_scores": dg.AssetIn(key=["sentiment", "mention_scores"]),
        "mentions": dg.AssetIn(key=["sources", "mentions"]),
    },
    partitions_def=clients_partitions,
    description=(
        f"In no campaign, source, language or topic with {MIN_RATED} rated mentions does the corrected net sentiment "
        f"differ from that of the authors' stars by more than {WORTH_SAYING} and beyond chance (false-discovery rate "
        "10 %): there a class reads otherwise than elsewhere, and the correction does not hold."
    ),
)
def level_agrees_with_ratings(
    daily_index: pl.DataFrame, mention_scores: pl.DataFrame, mentions: pl.DataFrame
) -> dg.AssetCheckResult:
    if daily_index.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"groups_that_differ": "unknown", "groups_judged": 0.0})
    groups = against_ratings(mention_scores, mentions)
    if groups.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"groups_that_differ": "unknown", "groups_judged": 0.0})
    off = groups.filter(pl.col("differs"))
    worst = groups.sort(pl.col("difference").abs(), descending=True).row(0, named=True)
    return dg.AssetCheckResult(
        passed=off.is_empty(),
        severity=WARN,
        metadata={
            "groups_that_differ": float(off.height),
            "groups_judged": float(groups.height),
            "largest_difference": float(worst["difference"]),
            "largest_difference_in": f"{worst['kind']} {worst['name']}",
            "named": ", ".join(f"{row['kind']} {row['name']}" for row in off.iter_rows(named=True)) or "none",
            "threshold": WORTH_SAYING,
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["sentiment", "alerts"]),
    name="false_alarm_rate",
    partitions_def=clients_partitions,
    description=(
        "Each alert stands at a value that a calm stream like its own reaches at most "
        f"{DetectorSettings().max_false_alarms} times a year, and names what it is part of where that is an alert too."
    ),
)
def false_alarm_rate(alerts: pl.DataFrame) -> dg.AssetCheckResult:
    allowed = DetectorSettings().max_false_alarms
    if alerts.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"highest_rate_a_year": "unknown", "allowed": allowed})
    highest = float(alerts["false_alarms_per_year"].max())  # type: ignore[arg-type]
    leads = alerts.filter(pl.col("part_of").is_null())
    lost = alerts.filter(~pl.col("group_id").is_in(leads["alert_id"].to_list())).height
    return dg.AssetCheckResult(
        passed=highest <= allowed + TOLERANCE and lost == 0,
        severity=WARN,
        metadata={
            "highest_rate_a_year": highest,
            "allowed": allowed,
            "alerts": float(alerts.height),
            "alerts_that_lead": float(leads.height),
            "alerts_without_a_lead": float(lost),
        },
    )
