"""Results, curves, plan, monitor and verdicts on draws placed at the truth: no sampling needed to see them fail."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import HALF, RETENTION, World, make_world
from scipy import stats

from liftos_pipelines.modules.causal import validation
from liftos_pipelines.modules.causal.design import Design, build_design
from liftos_pipelines.modules.causal.draws import Draws, Media, coefficients, draw_baseline, log_new_weeks
from liftos_pipelines.modules.causal.model import effect_prior, window
from liftos_pipelines.modules.causal.monitor import importance_update
from liftos_pipelines.modules.causal.panel import build_panel
from liftos_pipelines.modules.causal.plan import _project, allocate, budget_plan
from liftos_pipelines.modules.causal.results import Fitted, channel_results, response_curves
from liftos_pipelines.modules.causal.spec import ModelSpec

SPEC = ModelSpec(max_lag=7, seasonality=1)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=4, geos=2, weeks=104)


def fitted_at_truth(world: World, n: int = 200, wobble: float = 0.03, spec: ModelSpec = SPEC) -> Fitted:
    """Draws scattered closely about the world's own parameters."""
    design = build_design(build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame, spec)
    media, rng = Media(design, spec.saturation, spec.max_lag), np.random.default_rng(0)
    names = list(design.channels)
    near = lambda values: np.asarray(values) * np.exp(wobble * rng.normal(size=(n, len(names))))  # noqa: E731
    draws = coefficients(
        media,
        effect_prior(design, spec),
        retention=np.clip(near([RETENTION[c] for c in names]), 0, 0.95),
        shape=near([HALF[c] * 0.6 / design.scales.media[i] for i, c in enumerate(names)]),
        log_effect=np.log(near([world.roi[c] for c in names])),
        geo_effect=np.ones((n, len(names), len(design.geos))),
        sigma=np.full(n, 0.2),
    )
    beta = draw_baseline(media, draws, window(design), rng)
    return Fitted(design=design, media=media, draws=Draws(**{**vars(draws), "beta": beta}))


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


def test_no_spend_in_the_plans_weeks_gives_no_plan_and_no_curve(world: World) -> None:
    late = world.weeks[-10]
    off = world.media.with_columns(
        pl.when(pl.col("date") >= late).then(0.0).otherwise(pl.col(name)).alias(name) for name in ("spend", "exposure")
    )
    fitted = fitted_at_truth(World(**{**vars(world), "media": off}), n=20)
    assert budget_plan(fitted, plan_weeks=8, band=0.3, seed=1).is_empty()
    assert response_curves(fitted, 8).is_empty()


def test_the_allocation_is_the_best_of_a_fine_grid() -> None:
    spend, low, high = np.array([1.0, 2.0, 3.0]), np.full(3, 0.7), np.full(3, 1.3)
    grid = np.tile(np.linspace(0.7, 1.3, 13), (3, 1))
    half = np.array([0.3, 1.0, 4.0])[:, None]
    mean = np.array([2.0, 5.0, 9.0])[:, None] * grid / (grid + half)
    found = allocate(spend, low, high, grid, mean, seed=0).scales
    value = lambda s: sum(np.interp(s[c], grid[c], mean[c]) for c in range(3))  # noqa: E731
    fine = np.linspace(0.7, 1.3, 121)
    a, b = np.meshgrid(fine, fine)
    c = (6 - a - 2 * b) / 3
    inside = (c >= 0.7) & (c <= 1.3)
    best = max(value((x, y, z)) for x, y, z in zip(a[inside][::7], b[inside][::7], c[inside][::7], strict=True))
    assert found @ spend == pytest.approx(6.0)
    assert value(found) >= best - 1e-3
    assert value(np.ones(3)) < best - 1e-3  # today's split would not pass


def test_a_projection_holds_the_budget_within_bounds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        share = rng.dirichlet(np.ones(4))
        low, high = np.full(4, 0.7), 1 + rng.uniform(0, 0.3, 4)
        scales = _project(rng.uniform(0.0, 2.0, 4), share, low, high)
        assert share @ scales == pytest.approx(1.0)
        assert np.all((scales >= low - 1e-12) & (scales <= high + 1e-12))


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
    broken = Media(Design(**{**vars(many.design), "y": y}), SPEC.saturation, SPEC.max_lag)
    assert not importance_update(log_new_weeks(broken, many.draws, 10)).trusted
    with pytest.raises(ValueError, match="50 draws"):
        importance_update(np.zeros(50))


def test_weights_of_new_weeks_are_densities_given_the_weeks_before(world: World) -> None:
    one = fitted_at_truth(world, n=2)
    residual = one.design.y.ravel() - one.media.total(one.draws)[0]
    covariance = one.design.baseline @ one.design.baseline.T + one.draws.sigma[0] ** 2 * np.eye(len(residual))
    old = window(one.design, 5).mask > 0
    both = stats.multivariate_normal(np.zeros(len(residual)), covariance).logpdf(residual)
    before = stats.multivariate_normal(np.zeros(old.sum()), covariance[np.ix_(old, old)]).logpdf(residual[old])
    assert log_new_weeks(one.media, one.draws, 5)[0] == pytest.approx(both - before, abs=1e-6)


def idata(r: float = 0.0, diverging: int = 0, predicted: np.ndarray | None = None) -> Any:
    """A posterior of white noise, its second chain shifted by `r`."""
    import arviz as az

    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 500, 3))
    values[1] += r
    flags = np.zeros((2, 500), dtype=bool)
    flags[0, :diverging] = True
    data = az.from_dict(
        posterior={"log_effect": values}, sample_stats={"diverging": flags, "energy": rng.normal(size=(2, 500))}
    )
    if predicted is not None:
        import xarray as xr

        data.add_groups({"predictions": xr.Dataset({"outcome": (("sample", "geo", "week"), predicted)})})
    return data


def status(checks: list[validation.Check]) -> dict[str, str]:
    return {check.check: check.status for check in checks}


def test_verdicts_follow_the_thresholds() -> None:
    good = status(validation.sampling_checks(idata()))
    assert set(good.values()) == {"pass"}
    bad = status(validation.sampling_checks(idata(r=3.0, diverging=40)))
    assert (bad["r_hat"], bad["ess_bulk"], bad["divergences"]) == ("fail", "fail", "fail")
    assert status(validation.sampling_checks(idata(diverging=1)))["divergences"] == "warn"
    still = idata()
    still.posterior["sigma"] = still.posterior["log_effect"][:, :, 0] * 0.0
    stuck = {check.check: check for check in validation.sampling_checks(still)}
    assert stuck["r_hat"].status == "fail"
    assert "sigma" in stuck["r_hat"].detail


def test_held_out_weeks_are_scored_against_the_year_before(fitted: Fitted) -> None:
    actual = fitted.design.outcome[:, -10:]
    rng = np.random.default_rng(0)
    right = actual[None] * (1 + 0.05 * rng.normal(size=(500, *actual.shape)))
    checks = validation.holdout_checks(idata(predicted=right), fitted.design)
    assert set(status(checks).values()) == {"pass"}
    wrong = validation.holdout_checks(idata(predicted=right * 1.5), fitted.design)
    assert set(status(wrong).values()) == {"warn"}
    absent = validation.holdout_checks(idata(), fitted.design)
    assert {check.value for check in absent} == {None}
    assert set(status(absent).values()) == {"unknown"}


def test_a_baseline_below_zero_and_twin_channels_are_seen(world: World, fitted: Fitted) -> None:
    assert validation.negative_baseline(fitted).status == "pass"
    huge = Draws(**{**vars(fitted.draws), "coefficient": fitted.draws.coefficient * 20})
    assert validation.negative_baseline(Fitted(design=fitted.design, media=fitted.media, draws=huge)).status == "fail"
    assert validation.multicollinearity(fitted).status == "pass"
    twin = world.media.filter(pl.col("channel") == "tv").with_columns(
        channel=pl.lit("social"), exposure=pl.col("exposure") * (1 + 0.01 * pl.int_range(pl.len()).mod(3))
    )
    twins = World(**{**vars(world), "media": pl.concat([world.media.filter(pl.col("channel") != "social"), twin])})
    assert validation.multicollinearity(fitted_at_truth(twins, n=20)).status == "warn"
