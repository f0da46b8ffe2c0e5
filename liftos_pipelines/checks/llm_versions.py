"""Gates of Lift LLM's versions: nothing that serves got worse, inputs and outputs are what they were."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.llm.versions.drift import ALPHA as DRIFT_ALPHA
from liftos_pipelines.modules.llm.versions.regression import ALPHA, TOO_FEW, WORSE


@dg.asset_check(
    asset=dg.AssetKey(["llm", "regressions"]),
    name="nothing_got_worse",
    partitions_def=clients_partitions,
    description=f"No prompt's newest deployment does worse than the one before it (always-valid p below {ALPHA}).",
)
def nothing_got_worse(regressions: pl.DataFrame) -> dg.AssetCheckResult:
    worse = regressions.filter(pl.col("verdict") == WORSE)
    told = [f"{prompt}: {metric}" for prompt, metric in worse.select("prompt_name", "metric").iter_rows()]
    return dg.AssetCheckResult(
        passed=worse.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "worse": ", ".join(told) or "none",
            "judged": float((regressions["verdict"] != TOO_FEW).sum()),
            "not_enough_calls": float((regressions["verdict"] == TOO_FEW).sum()),
            "level": ALPHA,
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["llm", "drift"]),
    name="calls_are_what_they_were",
    partitions_def=clients_partitions,
    description=f"No input or output drifted in the newest week (Benjamini-Hochberg at {DRIFT_ALPHA}).",
)
def calls_are_what_they_were(drift: pl.DataFrame) -> dg.AssetCheckResult:
    moved = drift.filter("drifted")
    told = [f"{prompt}: {quantity}" for prompt, quantity in moved.select("prompt_name", "quantity").iter_rows()]
    return dg.AssetCheckResult(
        passed=moved.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "drifted": ", ".join(told) or "none",
            "tests": float(drift["p_value_adjusted"].count()),
            "not_enough_days": float(drift["p_value_adjusted"].null_count()),
        },
    )
