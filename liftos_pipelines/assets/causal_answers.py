"""Lift Causal's answers, from the model that serves: returns of channels, response curves, the budget plan."""

from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.causal import spec_for
from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result
from liftos_pipelines.tables import ALL, table

SERVED = inputs("causal/panel", "causal/champion")


def _unanswered(name: str, champion: Any) -> dg.MaterializeResult[pl.DataFrame]:
    """An empty table that says why: there is no source, or no model has passed the publish gate."""
    return result(table(name).empty(), status=str(champion.attrs["status"]))


@lift_asset("causal/channel_results", ins=SERVED, kinds={"arviz"}, code_version="1")
def channel_results(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each channel contributed, its ROI and marginal ROI, per geo and in total, with 90 % intervals."""
    from liftos_pipelines.modules.causal.answers import results
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.report import plots

    if not reading.is_fitted(champion):
        return _unanswered("causal/channel_results", champion)
    estimated = results.channel_results(reading.read_fitted(champion, panel))
    total = estimated.filter(pl.col("geo") == ALL)
    picture = plots.forest_plot(estimated)
    paid = total.filter(pl.col("kind") == "paid")
    described: dict[str, Any] = {f"roi_{name}": roi for name, roi in paid.select("channel", "roi").iter_rows()}
    if picture:
        described["roi"] = dg.MetadataValue.md(picture)
    return result(estimated, media_share=total["contribution_share"].sum(), **described)


@lift_asset("causal/response_curves", ins=SERVED, kinds={"arviz"}, code_version="1")
def response_curves(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Response of each channel to its spend over the plan's weeks, with carry-over at steady state; 90 % intervals."""
    from liftos_pipelines.modules.causal.answers import results
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(champion):
        return _unanswered("causal/response_curves", champion)
    spec = spec_for(client_of(context))
    curves = results.response_curves(reading.read_fitted(champion, panel), spec.plan_weeks)
    beyond = curves["beyond_observed"].sum() if curves.height else None
    return result(curves, points_beyond_observed=beyond)


@lift_asset("causal/budget_plan", ins=SERVED, kinds={"scipy"}, code_version="1")
def budget_plan(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """The budget better spread, as causal.plan asks, within bounds and what was observed; uplift with a 90 % interval.

    `certificate_gap` is the most that moving 1 % of the budget between two places would still gain, as a share.
    """
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.plan import budget

    if not reading.is_fitted(champion):
        return _unanswered("causal/budget_plan", champion)
    spec = spec_for(client_of(context))
    fitted = reading.read_fitted(champion, panel)
    planned = budget.budget_plan(
        fitted, plan_weeks=spec.plan_weeks, band=spec.plan_band, seed=spec.seed, plan=spec.plan
    )
    if planned.is_empty():
        context.log.warning("no channel spent anything in the plan's weeks: there is no budget to spread")
        return result(planned, status="unknown: nothing was spent in the plan's weeks")
    whole = planned.filter(pl.col("channel") == ALL).row(0, named=True)
    return result(
        planned,
        uplift=whole["uplift"],
        uplift_low=whole["uplift_low"],
        uplift_high=whole["uplift_high"],
        uplift_share=whole["uplift"] / whole["response_current"],
        unit=planned["unit"][0],
        certificate_gap=whole["certificate_gap"],
        kkt_residual=whole["kkt_residual"],
    )
