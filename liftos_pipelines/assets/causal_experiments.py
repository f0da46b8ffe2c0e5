"""Past geo experiments read out again from the panel, beside what was reported of them."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules.causal.experiments.agreement import NO, UNKNOWN, YES, past_experiments


@lift_asset(
    "causal/experiment_readout",
    ins=inputs("causal/panel", "sources/experiments"),
    kinds={"polars", "scipy"},
    code_version="1",
)
def experiment_readout(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, experiments: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each past geo test by difference-in-differences and synthetic control, and whether the reported lift agrees."""
    for source, frame in (("marketing", panel), ("experiments", experiments)):
        if frame.is_empty():
            return skipped("causal/experiment_readout", source)
    found = past_experiments(panel, experiments)
    for row in found.filter(pl.col("agrees") != YES).iter_rows(named=True):
        context.log.info(f"{row['experiment_id']} by {row['method']}: {row['agrees']}: {row['detail']}")
    count = dict(found["agrees"].value_counts().iter_rows())
    return result(
        found,
        experiments=found["experiment_id"].n_unique(),
        **{f"agrees_{word}": count.get(word, 0) for word in (YES, NO, UNKNOWN)},
    )
