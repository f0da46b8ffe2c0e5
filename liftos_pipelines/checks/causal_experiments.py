"""Whether past lift tests, which the model takes as evidence, are what the panel shows."""

from __future__ import annotations

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.causal.experiments.agreement import NO, UNKNOWN, YES

READOUT = dg.AssetKey(["causal", "experiment_readout"])


@dg.asset_check(
    asset=READOUT,
    name="experiment_agreement",
    partitions_def=clients_partitions,
    description="No reported lift is contradicted by the panel; what the panel cannot say is counted, not passed over.",
)
def experiment_agreement(experiment_readout: pl.DataFrame) -> dg.AssetCheckResult:
    """Warns: the panel may be the one that is wrong."""
    against = experiment_readout.filter(pl.col("agrees") == NO)
    count = dict(experiment_readout["agrees"].value_counts().iter_rows())
    metadata: dict[str, float | str] = {f"agrees_{word}": float(count.get(word, 0)) for word in (YES, NO, UNKNOWN)}
    metadata["contradicted"] = (
        "; ".join(f"{row['experiment_id']} ({row['method']}): {row['detail']}" for row in against.iter_rows(named=True))
        or "none"
    )
    return dg.AssetCheckResult(passed=against.is_empty(), severity=dg.AssetCheckSeverity.WARN, metadata=metadata)
