"""Gates of Lift Eval: verdicts that can be recomputed, promises that hold, drift that is worth a look."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.eval.drift import drifted_columns
from liftos_pipelines.modules.eval.trust import degraded, recompute

LOSS_WARNING = 0.02
"""Estimated loss of accuracy from which drift is more than a hint."""


@dg.asset_check(
    asset=dg.AssetKey(["eval", "trust_scores"]),
    name="verdicts_recompute",
    blocking=True,
    partitions_def=clients_partitions,
    description="Every verdict and probability follows from the counters stored in its own row.",
)
def verdicts_recompute(trust_scores: pl.DataFrame) -> dg.AssetCheckResult:
    wrong = [
        f"{row['module']}.{row['slo']}"
        for row in trust_scores.iter_rows(named=True)
        if recompute(row) != (row["met"], row["probability_met"])
    ]
    return dg.AssetCheckResult(
        passed=not wrong, metadata={"rows_that_differ": float(len(wrong)), "which": ", ".join(wrong) or "none"}
    )


@dg.asset_check(
    asset=dg.AssetKey(["eval", "trust_scores"]),
    name="promises_hold",
    partitions_def=clients_partitions,
    description="No promise that could be measured is more likely broken than kept.",
)
def promises_hold(trust_scores: pl.DataFrame) -> dg.AssetCheckResult:
    broken = degraded(trust_scores).sort("probability_met")
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "broken": float(broken.height),
            "unknown": float(trust_scores["probability_met"].null_count()),
            "which": ", ".join(f"{row['module']}.{row['slo']}" for row in broken.iter_rows(named=True)) or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["eval", "drift"]),
    name="no_costly_drift",
    partitions_def=clients_partitions,
    description=f"No watched column drifted, and drift is estimated to cost less than {LOSS_WARNING:.0%} of accuracy.",
)
def no_costly_drift(drift: pl.DataFrame) -> dg.AssetCheckResult:
    columns = drifted_columns(drift) if drift.height else drift
    losses = drift["estimated_performance_loss"].drop_nulls()
    largest = float(losses.max()) if losses.len() else None  # type: ignore[arg-type]
    return dg.AssetCheckResult(
        passed=columns.is_empty() and (largest is None or largest < LOSS_WARNING),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "drifted_columns": float(columns.height),
            "which": ", ".join(f"{row['dataset']}.{row['column']}" for row in columns.iter_rows(named=True)) or "none",
            "estimated_performance_loss": "unknown" if largest is None else largest,
        },
    )
