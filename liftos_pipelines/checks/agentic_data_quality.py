"""Gate of the data that agents decide on."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.agentic.data_quality import GATE, GATED, OVERALL


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "data_quality"]),
    name="data_may_be_relied_on",
    partitions_def=clients_partitions,
    description=f"No source scores below {GATE:.0%} overall, or below {min(GATED.values()):.0%} in completeness or "
    "accuracy; a source whose accuracy nobody can confirm is unknown, which is neither.",
)
def data_may_be_relied_on(data_quality: pl.DataFrame) -> dg.AssetCheckResult:
    overall = data_quality.filter(pl.col("dimension") == OVERALL)
    by_status = {
        status: ", ".join(overall.filter(pl.col("status") == status)["dataset"].sort().to_list()) or "none"
        for status in ("fail", "unknown", "pass")
    }
    lowest = overall["score"].min()
    return dg.AssetCheckResult(
        passed=overall.filter(pl.col("status") == "fail").is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lowest": lowest if isinstance(lowest, float) else "unknown", "threshold": GATE, **by_status},
    )
