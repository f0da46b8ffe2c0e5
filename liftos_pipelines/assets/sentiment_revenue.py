"""Lift Sentiment relates: does the outcome move with what people feel."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment import revenue


@lift_asset(
    "sentiment/revenue_link",
    ins=inputs("sentiment/daily_index", "sources/marketing_outcome"),
    kinds={"polars"},
    code_version="1",
)
def revenue_link(
    context: dg.AssetExecutionContext, daily_index: pl.DataFrame, marketing_outcome: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the outcome moves with net sentiment, and with what delay: an association, never called a cause."""
    for frame, source in ((daily_index, "mentions"), (marketing_outcome, "marketing")):
        if frame.is_empty():
            return skipped("sentiment/revenue_link", source)
    link = revenue.revenue_link(daily_index, marketing_outcome)
    strongest = link.drop_nulls("p_value").sort("p_value", pl.col("estimate").abs(), descending=[False, True]).head(1)
    return result(
        link,
        strongest_lag_days=strongest["lag_days"].item() if strongest.height else None,
        strongest_p_value=strongest["p_value"].item() if strongest.height else None,
        smallest_visible_correlation=link["smallest_visible"][0],
        verdict=(strongest if strongest.height else link)["verdict"][0],
    )
