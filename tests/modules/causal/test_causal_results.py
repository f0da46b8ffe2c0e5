"""Results, curves, plan and the weights of new weeks on draws placed at the truth: no sampling needed to see them fail."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world
from modules.causal.fitted_worlds import of_small_world
from scipy import stats

from liftos_pipelines.modules.causal.answers.results import Fitted, channel_results, response_at, response_curves
from liftos_pipelines.modules.causal.engine.draws import Media, log_new_weeks
from liftos_pipelines.modules.causal.engine.marginal import window
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.plan.budget import budget_plan
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.watch.monitor import importance_update

SPEC = ModelSpec(max_lag=7, seasonality=1)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=4, geos=2, weeks=104)


def fitted_at_truth(world: World, spec: ModelSpec = SPEC, **how: Any) -> Fitted:
    """Draws scattered closely about the world's own parameters."""
    return of_small_world(world, spec, **({"n": 200, "wobble": 0.03} | how))


@pytest.fixture(scope="module")
def fitted(world: World) -> Fitted:
    return fitted_at_truth(world)


def test_contribution_roi_and_marginal_roi_are_those_of_the_world(world: World, fitted: Fitted) -> None:
    table = channel_results(fitted)
    for name in world.channels:
        rows = table.filter(pl.col("channel") == name)
        total = rows.filter(pl.col("geo") == "all").row(0, named=True)
        assert total["contribution_low"] < world.contribution[name].sum() < total["contribution_high"]
        assert total["roi_low"] < world.roi[name] < total["roi_high"]
        # Concave: the next euro returns less than the average one.
        assert 0 < total["mroi"] < total["roi"]
        assert rows.filter(pl.col("geo") != "all")["contribution"].sum() == pytest.approx(total["contribution"])


def test_without_revenue_roi_is_null_and_contributions_are_there(world: World) -> None:
    silent = World(**{**vars(world), "outcome": world.outcome.with_columns(revenue=pl.lit(None, pl.Float64))})
    table = channel_results(fitted_at_truth(silent, n=20))
    assert table["roi"].null_count() == table["mroi"].null_count() == table.height
    assert table["contribution"].null_count() == 0


def test_a_geo_without_spend_has_no_roi(world: World) -> None:
    nothing = world.media.with_columns(
        spend=pl.when((pl.col("channel") == "tv") & (pl.col("geo") == "g1")).then(0.0).otherwise("spend")
    )
    table = channel_results(fitted_at_truth(World(**{**vars(world), "media": nothing}), n=20))
    row = table.filter((pl.col("channel") == "tv") & (pl.col("geo") == "g1")).row(0, named=True)
    assert row["roi"] is None
    assert row["roi_high"] is None


def test_curves_rise_flatten_and_say_where_nothing_was_observed(fitted: Fitted) -> None:
    for _, curve in response_curves(fitted, 52).group_by("channel", maintain_order=True):
        response = curve.sort("spend")["response"].to_numpy()
        assert response[0] == 0
        assert np.all(np.diff(response) > 0)
        assert np.all(np.diff(response, 2) < 0)
        assert not curve.filter(pl.col("scale") <= 1)["beyond_observed"].any()
    design = fitted.design
    spend = design.spend[:, :, -52:].sum(axis=1)
    expected = 2.0 * spend.mean(axis=1) > design.spend.sum(axis=1).max(axis=1)
    at_two = (
        response_curves(fitted, 52)
        .filter(pl.col("scale") == 2.0)
        .sort(pl.col("channel").replace_strict({name: i for i, name in enumerate(design.channels)}))
    )
    assert at_two["beyond_observed"].to_list() == expected.tolist()


def test_the_plan_keeps_the_budget_and_its_bounds_and_gains(fitted: Fitted) -> None:
    plan = budget_plan(fitted, plan_weeks=52, band=0.3, seed=1)
    parts, total = plan.filter(pl.col("channel") != "all"), plan.filter(pl.col("channel") == "all").row(0, named=True)
    assert parts["spend_planned"].sum() == pytest.approx(parts["spend_current"].sum(), rel=1e-9)
    assert parts["scale"].is_between(0.7 - 1e-9, 1.3 + 1e-9).all()
    highest = dict(zip(fitted.design.channels, fitted.design.spend.sum(axis=1).max(axis=1), strict=True))
    for row in parts.iter_rows(named=True):
        assert row["spend_planned"] / 52 <= highest[row["channel"]] * (1 + 1e-9)
    assert total["uplift"] > 0
    assert total["uplift_low"] > 0
    assert total["uplift"] == pytest.approx(total["response_planned"] - total["response_current"])


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_is_never_worse_than_today_under_its_own_posterior(seed: int) -> None:
    fitted = fitted_at_truth(make_world(seed=seed, geos=1, weeks=60), n=50, wobble=0.5)
    total = budget_plan(fitted, plan_weeks=30, band=0.3, seed=seed).filter(pl.col("channel") == "all")
    assert total["uplift"][0] >= 0


def test_in_the_multiplicative_form_a_channel_is_worth_what_would_be_lost_without_it(world: World) -> None:
    spec = ModelSpec(max_lag=7, seasonality=1, form="multiplicative")
    fitted = fitted_at_truth(world, spec, n=20)
    fitted.draws.coefficient[:] = np.array([0.5, 0.8, 0.4]) / fitted.design.scales.spread
    lost = fitted.gained(fitted.draws, 0)
    share = 1 - np.exp(-fitted.design.scales.spread * fitted.media.contribution(fitted.draws, 0))
    np.testing.assert_allclose(lost, fitted.design.outcome * share)
    table = channel_results(fitted).filter(pl.col("geo") == "all")
    assert table["contribution"][0] == pytest.approx(lost.sum(axis=(1, 2)).mean())
    half = response_at(fitted, fitted.draws, 0, 0.5, 52)
    assert (half > 0).all()
    assert (half < response_at(fitted, fitted.draws, 0, 1.0, 52)).all()


def test_no_spend_in_the_plans_weeks_gives_no_plan_and_no_curve(world: World) -> None:
    late = world.weeks[-10]
    off = world.media.with_columns(
        pl.when(pl.col("date") >= late).then(0.0).otherwise(pl.col(name)).alias(name) for name in ("spend", "exposure")
    )
    fitted = fitted_at_truth(World(**{**vars(world), "media": off}), n=20)
    assert budget_plan(fitted, plan_weeks=8, band=0.3, seed=1).is_empty()
    assert response_curves(fitted, 8).is_empty()


def test_new_weeks_like_the_old_are_trusted_and_a_break_is_not(world: World) -> None:
    many = fitted_at_truth(world, n=2000)
    for weeks in (2, 10):
        quiet = importance_update(log_new_weeks(many.media, many.draws, weeks))
        assert quiet.trusted
        assert quiet.weights.sum() == pytest.approx(1.0)
    # From one week to the next television stops working: no draw has seen such a world.
    y = many.design.y.copy()
    lost = (many.media.contribution(many.draws, 0).mean(axis=0))[:, -10:]
    y[:, -10:] -= 3 * lost
    broken = Media(Design(**{**vars(many.design), "y": y}), many.media.structure)
    assert not importance_update(log_new_weeks(broken, many.draws, 10)).trusted
    with pytest.raises(ValueError, match="50 draws"):
        importance_update(np.zeros(50))


def test_weights_of_new_weeks_are_densities_given_the_weeks_before(world: World) -> None:
    one = fitted_at_truth(world, n=2)
    residual = (one.design.y - one.media.total(one.draws)[0]).ravel()
    covariance = one.design.baseline @ one.design.baseline.T + one.draws.sigma[0] ** 2 * np.eye(len(residual))
    _, geos, weeks = one.design.shape
    old = np.tile(window(one.design.baseline, geos, weeks, 5).mask > 0, geos)
    both = stats.multivariate_normal(np.zeros(len(residual)), covariance).logpdf(residual)
    before = stats.multivariate_normal(np.zeros(old.sum()), covariance[np.ix_(old, old)]).logpdf(residual[old])
    assert log_new_weeks(one.media, one.draws, 5)[0] == pytest.approx(both - before, abs=1e-6)
