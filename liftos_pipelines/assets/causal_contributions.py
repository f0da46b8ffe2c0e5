"""Lift Causal's answers over time: what made each week, what spend returned by quarter, the plan's steps, scenarios."""

from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.causal import spec_for
from liftos_pipelines.assets.causal_answers import SERVED, _unanswered
from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.tables import ALL


@lift_asset("causal/contributions", ins=SERVED, kinds={"arviz"}, code_version="1")
def contributions(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """What made the outcome of each week: channels, treatments such as price, and the baseline, per geo and in total.

    Weeks whose carry-in from before the data is unknown are marked; what earlier spend still did is in the baseline.
    """
    from liftos_pipelines.modules.causal.answers.contributions import contributions as by_week
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(champion):
        return _unanswered("causal/contributions", champion)
    found = by_week(reading.read_fitted(champion, panel))
    whole = found.filter(pl.col("geo") == ALL)
    total = float(whole["contribution"].sum())
    by_kind = dict(whole.group_by("kind").agg(pl.col("contribution").sum()).iter_rows())
    shares = {f"share_{kind}": part / total for kind, part in sorted(by_kind.items())}
    return result(found, **shares, carry_in_unknown_weeks=found.filter(~pl.col("carry_in_known"))["date"].n_unique())


@lift_asset("causal/returns", ins=SERVED, kinds={"arviz"}, code_version="1")
def returns(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """What spend returned, by quarter and in all: ROI, marginal ROI, cost per outcome, outcome per exposure.

    What is expected after the last week counts in columns that end in `_full`, so the newest spend is not underrated.
    """
    from liftos_pipelines.modules.causal.answers.contributions import returns as by_quarter
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(champion):
        return _unanswered("causal/returns", champion)
    found = by_quarter(reading.read_fitted(champion, panel))
    whole = found.filter((pl.col("geo") == ALL) & (pl.col("period") == ALL) & (pl.col("kind") == "paid"))
    costs = {f"cost_per_outcome_{name}": cost for name, cost in whole.select("channel", "cost_per_outcome").iter_rows()}
    return result(found, **costs)


@lift_asset("causal/plan_steps", ins=SERVED, kinds={"scipy"}, code_version="1")
def plan_steps(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """The budget plan in steps of weeks: spend of each channel in each; one step unless causal.plan.steps asks."""
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.plan import budget

    if not reading.is_fitted(champion):
        return _unanswered("causal/plan_steps", champion)
    spec = spec_for(client_of(context))
    made = budget.make_plan(
        reading.read_fitted(champion, panel),
        plan_weeks=spec.plan_weeks,
        band=spec.plan_band,
        seed=spec.seed,
        plan=spec.plan,
    )
    return result(made.steps, certificate_gap=made.solution.certificate_gap if made.solution else None)


def _outlooks(context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any) -> Any:
    from liftos_pipelines.modules.causal.engine import reading
    from liftos_pipelines.modules.causal.plan.scenario import outlooks

    asked = spec_for(client_of(context)).plan.scenarios
    fitted_with = reading.spec_of(champion)
    found = outlooks(reading.read_fitted(champion, panel), panel, fitted_with, asked, seed=fitted_with.seed)
    for note in found.notes:
        context.log.info(note)
    return found


@lift_asset("causal/scenarios", ins=SERVED, kinds={"arviz"}, code_version="1")
def scenarios(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each scenario of causal.plan.scenarios would gain over the current plan, per channel and in all."""
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(champion):
        return _unanswered("causal/scenarios", champion)
    found = _outlooks(context, panel, champion)
    if found.channels.is_empty():
        return result(found.channels, asked="nothing: causal.plan.scenarios is empty")
    whole = found.channels.filter(pl.col("channel") == ALL)
    gains = {f"uplift_{name}": uplift for name, uplift in whole.select("scenario", "uplift").iter_rows()}
    return result(found.channels, **gains, held="; ".join(found.notes) or "nothing")


@lift_asset("causal/scenario_weeks", ins=SERVED, kinds={"arviz"}, code_version="1")
def scenario_weeks(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, champion: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Expected outcome of each week of each scenario, with the interval of a week to come, per geo and in total."""
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(champion):
        return _unanswered("causal/scenario_weeks", champion)
    found = _outlooks(context, panel, champion)
    if found.weeks.is_empty():
        return result(found.weeks, asked="nothing: causal.plan.scenarios is empty")
    return result(found.weeks)
