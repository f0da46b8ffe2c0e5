"""Lift Causal's watch between full fits: whether the last fit stands for the newest weeks, and what follows."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import inputs, lift_asset, result, skipped
from liftos_pipelines.modules.causal.monitor import monitor_row
from liftos_pipelines.resources.posterior_io import ABSENT, UNKNOWN
from liftos_pipelines.tables import table


@lift_asset(
    "causal/monitor",
    # Watched each day, also before a new client's first weekly fit.
    ins=inputs("causal/panel")
    | {"mmm_posterior": dg.AssetIn(key=["causal", "mmm_posterior"], metadata={ABSENT: UNKNOWN})},
    kinds={"arviz"},
    code_version="1",
)
def monitor(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the last full fit still stands for the newest weeks: k-hat and effective draws of importance weights."""
    from liftos_pipelines.modules.causal import reading

    if panel.is_empty():
        return skipped("causal/monitor", "marketing")
    if not reading.is_fitted(mmm_posterior):
        return result(table("causal/monitor").empty(), status=str(mmm_posterior.attrs["status"]))
    found = reading.newest_update(mmm_posterior, panel)
    if found is None:
        return result(table("causal/monitor").empty(), status="unknown: no newer week and no validation fit")
    method, update, weeks, fitted_until = found
    as_of = panel["date"].max()
    assert isinstance(as_of, date)
    row = monitor_row(as_of, method, update, weeks=weeks, fitted_until=fitted_until)
    return result(
        row, method=method, k_hat=update.k_hat, ess=update.ess, new_weeks=weeks, drift_flag=not update.trusted
    )
