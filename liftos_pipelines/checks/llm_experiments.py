"""Gates of Lift LLM's experiments: units split as planned, no guardrail broken."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.llm.experiments.split import SRM_ALPHA


@dg.asset_check(
    asset=dg.AssetKey(["llm", "experiments"]),
    name="sample_ratio",
    partitions_def=clients_partitions,
    description=f"Units came to the arms as planned (anytime-valid p >= {SRM_ALPHA}, so that looking daily is safe).",
)
def sample_ratio(experiments: pl.DataFrame) -> dg.AssetCheckResult:
    broken = experiments.filter(pl.col("srm_p_value") < SRM_ALPHA)
    lowest = experiments["srm_p_value"].min()
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "lowest_p_value": lowest if isinstance(lowest, float) else "unknown",
            "experiments": ", ".join(broken["experiment"].unique().sort().to_list()) or "none",
            "threshold": SRM_ALPHA,
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["llm", "experiments"]),
    name="guardrails",
    partitions_def=clients_partitions,
    description="No variant is shown to be worse by more than its margin on a metric that guards its experiment.",
)
def guardrails(experiments: pl.DataFrame) -> dg.AssetCheckResult:
    if "guardrail" not in experiments.columns:
        return dg.AssetCheckResult(passed=True, metadata={"broken": "unknown"})
    counts = dict(experiments["guardrail"].drop_nulls().value_counts().iter_rows())
    broken = experiments.filter(pl.col("guardrail") == "broken")
    names = [f"{row['experiment']} {row['variant_b']}: {row['reason']}" for row in broken.iter_rows(named=True)]
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "broken": "; ".join(names) or "none",
            **{f"{name}_guardrails": float(counts.get(name, 0)) for name in ("cleared", "open", "broken", "unknown")},
        },
    )
