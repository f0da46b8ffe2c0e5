"""Gates of Lift LLM: scores in range, outputs supported by their context."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

UNSUPPORTED_WARNING = 0.2
"""Share of calls with a context that state something it does not support."""


@dg.asset_check(
    asset=dg.AssetKey(["llm", "call_scores"]),
    name="groundedness_in_range",
    blocking=True,
    partitions_def=clients_partitions,
    description="Groundedness lies in [0, 1] and costs are not negative, where they are measured.",
)
def groundedness_in_range(call_scores: pl.DataFrame) -> dg.AssetCheckResult:
    outside = call_scores.filter(~pl.col("groundedness").is_between(0, 1) | (pl.col("cost") < 0)).height
    return dg.AssetCheckResult(passed=outside == 0, metadata={"rows_outside": float(outside)})


@dg.asset_check(
    asset=dg.AssetKey(["llm", "call_scores"]),
    name="outputs_supported",
    partitions_def=clients_partitions,
    description=f"At most {UNSUPPORTED_WARNING:.0%} of the calls that had a context say what it does not support.",
)
def outputs_supported(call_scores: pl.DataFrame) -> dg.AssetCheckResult:
    measured = call_scores.drop_nulls("groundedness")
    if measured.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"unsupported_share": "unknown"})
    found = measured.filter((pl.col("numeric_conflicts").list.len() > 0) | (pl.col("ungrounded_spans").list.len() > 0))
    share = found.height / measured.height
    return dg.AssetCheckResult(
        passed=share <= UNSUPPORTED_WARNING,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"unsupported_share": share, "calls": float(measured.height), "threshold": UNSUPPORTED_WARNING},
    )
