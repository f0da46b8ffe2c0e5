"""Lift Surfacing measures: how visible each brand is, with intervals that know answers cluster by prompt."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.tables import ALL

SEED = 20240611


@lift_asset("surfacing/visibility", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1")
def visibility(context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Mention rate, share of voice, top ranks and citation share by month, with prompt-clustered intervals."""
    if answer_mentions.is_empty():
        return skipped("surfacing/visibility", "answers")
    rates = lift.visibility(answer_mentions, seed=SEED)
    newest = rates.filter(pl.col("own"), pl.col("engine") == ALL).filter(pl.col("period") == pl.col("period").max())
    values = dict(newest.select("metric", "value").iter_rows())
    return result(rates, prompts=newest["n_prompts"].max(), **{metric: values.get(metric) for metric in lift.METRICS})
