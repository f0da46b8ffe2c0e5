"""Updates between full fits: as good as the refit they stand in for, refused where they are not, alarms at their rate."""

from __future__ import annotations

from dataclasses import replace

import arviz as az
import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.engine.draws import log_marginal
from liftos_pipelines.modules.causal.engine.fit import Engine, draws_of, fit, scales_of
from liftos_pipelines.modules.causal.engine.reading import read_fitted
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import PanelError, build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.watch.forecast_errors import ALPHA, LOOKS, Look, boundaries, judge, one_step_errors
from liftos_pipelines.modules.causal.watch.moment_matching import match_moments
from liftos_pipelines.modules.causal.watch.monitor import functional, importance_update, weighted_quantiles
from liftos_pipelines.modules.causal.watch.monitor_table import channel_update, fitted_row, updated_row
from liftos_pipelines.modules.causal.watch.update import (
    TOTAL,
    Refreshed,
    _Density,
    as_fitted,
    equal_weights,
    held_out,
    published,
    refresh,
)

SPEC = ModelSpec(chains=2, draws=1000, tune=400, folds=0, max_lag=8, seasonality=1, shock_z=None)
NEW = 4


def panel_of(world: World) -> pl.DataFrame:
    return build_panel(world.outcome, world.media, world.controls, channels=world.channels, organic=[]).frame


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    return panel_of(make_world(seed=3, geos=1, weeks=104))


def without_newest(panel: pl.DataFrame, weeks: int) -> pl.DataFrame:
    return panel.filter(pl.col("date") <= panel["date"].unique().sort()[-1 - weeks])


@pytest.fixture(scope="module")
def data(panel: pl.DataFrame) -> az.InferenceData:
    seen = without_newest(panel, NEW)
    return fit(build_design(seen, SPEC), SPEC)


def refitted(data: az.InferenceData, panel: pl.DataFrame) -> tuple:
    """What a full fit of all weeks publishes, in the same frozen units."""
    design = build_design(panel, SPEC, scales=scales_of(data))
    full = fit(design, SPEC)
    engine = Engine.of(design, SPEC)
    draws = draws_of(full, engine.media, SPEC)
    return published(engine, draws, equal_weights(len(draws)))


def apart(found: tuple, reference: tuple) -> float:
    return max(abs(mine.mean - its.mean) / its.sd for mine, its in zip(found, reference, strict=True))


def test_an_update_is_the_refit_and_the_old_fit_is_not(data: az.InferenceData, panel: pl.DataFrame) -> None:
    found = refresh(data, panel)
    assert found is not None
    assert (found.method, found.tier, found.new_weeks) == ("update", 1, NEW)
    assert not found.drift
    reference = refitted(data, panel)
    # Two samples of about 1,000 effective draws differ by some 0.05 sd by chance alone.
    assert apart(found.published, reference) < 0.15
    assert apart(found.stale, reference) > apart(found.published, reference)
    for mine, its in zip(found.published, reference, strict=True):
        assert mine.sd == pytest.approx(its.sd, rel=0.15)
        assert mine.low == pytest.approx(its.low, abs=0.35 * its.sd)


def test_nothing_new_is_no_update(data: az.InferenceData, panel: pl.DataFrame) -> None:
    assert refresh(data, without_newest(panel, NEW)) is None


def test_a_file_keeps_what_an_update_needs(data: az.InferenceData, panel: pl.DataFrame, tmp_path) -> None:
    data.to_netcdf(str(tmp_path / "fit.nc"), engine="netcdf4")
    again, direct = refresh(az.from_netcdf(str(tmp_path / "fit.nc"), engine="netcdf4"), panel), refresh(data, panel)
    assert again is not None
    assert direct is not None
    assert again.first.k_hat == pytest.approx(direct.first.k_hat, abs=1e-6)


def test_restated_weeks_are_weighed_and_told_from_new_ones(data: az.InferenceData, panel: pl.DataFrame) -> None:
    seen = without_newest(panel, NEW)
    week = seen["date"].unique().sort()[-3]
    more = seen.with_columns(outcome=pl.col("outcome") * pl.when(pl.col("date") == week).then(1.01).otherwise(1.0))
    found = refresh(data, more)
    assert found is not None
    assert (found.restated, found.new_weeks) == ((week,), 0)
    assert found.tier == 1
    assert not found.drift
    assert apart(found.published, refitted(data, more)) < 0.15


def test_restated_media_are_not_weighed_but_sampled_again(data: az.InferenceData, panel: pl.DataFrame) -> None:
    seen = without_newest(panel, NEW)
    more = seen.with_columns(pl.col("exposure__tv") * np.linspace(1, 2, seen.height))
    found = refresh(data, more)
    assert found is not None
    assert found.inputs_changed
    assert (found.method, found.tier) == ("refit", 3)


def test_a_break_is_refused_by_the_gate_and_raises_the_alarm(data: az.InferenceData, panel: pl.DataFrame) -> None:
    weeks = panel["date"].unique().sort()
    broken = panel.with_columns(
        outcome=pl.col("outcome") * pl.when(pl.col("date") > weeks[-1 - NEW]).then(0.6).otherwise(1.0)
    )
    found = refresh(data, broken)
    assert found is not None
    assert found.drift
    assert found.tier > 1
    if found.published is not None:
        assert apart(found.published, refitted(data, broken)) < 0.25


def test_a_new_lift_test_is_weighed_like_new_weeks(data: az.InferenceData, panel: pl.DataFrame) -> None:
    seen = without_newest(panel, NEW)
    weeks = seen["date"].unique().sort()
    fitted = read_fitted(data, seen)
    gained = fitted.gained(fitted.draws, 0)[:, :, -12:].sum(axis=(1, 2))
    test = pl.DataFrame(
        {
            "experiment_id": ["e1"],
            "channel": ["tv"],
            "geos": [None],
            "start": [weeks[-12]],
            "end": [weeks[-1]],
            "incremental_outcome": [float(gained.mean() + gained.std())],
            "std_error": [float(gained.std())],
            "spend": [None],
        },
        schema_overrides={"geos": pl.List(pl.String), "spend": pl.Float64},
    )
    found = refresh(data, seen, test)
    assert found is not None
    assert found.new_tests == ("e1",)
    assert found.tier == 1
    assert not found.drift
    assert found.published[0].mean > found.stale[0].mean
    assert found.published[0].sd < found.stale[0].sd


def test_a_panel_that_lost_weeks_says_so(data: az.InferenceData, panel: pl.DataFrame) -> None:
    short = panel.filter(pl.col("date") != panel["date"].unique().sort()[50])
    with pytest.raises(PanelError, match="refit"):
        refresh(data, short)


def test_rows_say_what_was_done_and_fresh_returns_stand_beside_stale_ones(
    data: az.InferenceData, panel: pl.DataFrame
) -> None:
    found = refresh(data, panel)
    assert found is not None
    as_of = panel["date"].max()
    row = updated_row(as_of, found)
    table = channel_update(row)
    assert table["channel"].to_list() == ["tv", "search", "social"]
    assert (table["roi_low"] < table["roi"]).all()
    assert (table["roi"] != table["roi_stale"]).all()
    assert table["method"].unique().to_list() == ["update"]
    nothing = channel_update(updated_row(as_of, replace(found, method="refit", tier=4, published=None, final=None)))
    assert nothing["roi"].null_count() == 3
    assert nothing["roi_stale"].null_count() == 0
    seen = without_newest(panel, NEW)
    design, quantities = as_fitted(data, seen)
    same = channel_update(fitted_row(as_of, held_out(data), design, quantities, 0.1))
    assert same["roi"].to_list() == same["roi_stale"].to_list()


def test_the_density_of_a_weight_is_that_of_the_new_weeks(data: az.InferenceData, panel: pl.DataFrame) -> None:
    """Up to the prior's part, which the same coefficients on more weeks change a little, and a constant."""
    design = build_design(panel, SPEC, scales=scales_of(data))
    engine = Engine.of(design, SPEC)
    z = data.unconstrained["z"].to_numpy().reshape(-1, data.unconstrained.sizes["parameter"])[:50]
    part = replace(engine)
    full = _Density(part)(z)
    from liftos_pipelines.modules.causal.watch.update import _unpacked

    draws = _unpacked(z, _Density(part).packed, engine)
    mine = log_marginal(engine.media, draws, engine.window())
    prior_only = full - mine
    # The prior does not see the outcome: with another outcome the same difference remains.
    other = Engine.of(replace(design, y=design.y * 0.9), SPEC)
    again = _Density(other)(z) - log_marginal(other.media, draws, other.window())
    assert np.ptp(prior_only - again) < 1e-6


# --- weights and maps ---------------------------------------------------------------------------------------------


def gaussian(mean: np.ndarray, root: np.ndarray):
    inverse = np.linalg.inv(root)
    return lambda z: -0.5 * np.square((z - mean) @ inverse.T).sum(axis=1)


@pytest.mark.parametrize(("shift", "stretch"), [(4.0, 1.0), (0.0, 3.0), (3.0, 2.0)])
def test_moved_draws_reach_a_target_that_weights_do_not(shift: float, stretch: float) -> None:
    rng = np.random.default_rng(1)
    d = 5
    z = rng.standard_normal((2000, d))
    root = stretch * np.linalg.cholesky(0.5 * np.eye(d) + 0.5)
    target = gaussian(np.full(d, shift), root)
    proposal = gaussian(np.zeros(d), np.eye(d))(z)
    plain = importance_update(target(z) - proposal)
    assert not plain.trusted
    matched = match_moments(z, proposal, target)
    assert matched.update.trusted
    mean = matched.update.weights @ matched.z
    assert np.abs(mean - shift).max() < 0.2 * stretch
    spread = np.sqrt(matched.update.weights @ (matched.z - mean) ** 2)
    assert spread == pytest.approx(np.full(d, stretch), rel=0.15)
    # The dummy: weights of the unmoved draws, normalised and used all the same.
    narrow = np.sqrt(plain.weights @ (z - plain.weights @ z) ** 2)
    assert np.abs(narrow / stretch - 1).max() > np.abs(spread / stretch - 1).max()


def test_draws_that_are_good_enough_stay_where_they_are() -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((1000, 3))
    matched = match_moments(z, np.zeros(1000), lambda at: 0.1 * at[:, 0])
    assert matched.moves == ()
    assert matched.z is z


def test_a_quantity_can_be_out_of_reach_where_the_weights_are_not() -> None:
    rng = np.random.default_rng(3)
    ratio = 0.1 * rng.standard_normal(2000)
    update = importance_update(ratio)
    mild, wild = rng.gamma(9, size=2000), rng.pareto(0.8, size=2000)
    assert update.trusted
    assert functional("mild", mild, update, ratio).trusted(update.good_k)
    assert not functional("wild", wild, update, ratio).trusted(update.good_k)


def test_weighted_quantiles_are_plain_ones_under_equal_weights() -> None:
    values = np.random.default_rng(4).normal(size=4001)
    low, high = weighted_quantiles(values, np.full(4001, 1 / 4001), (0.05, 0.95))
    assert low == pytest.approx(np.quantile(values, 0.05), abs=0.01)
    assert high == pytest.approx(np.quantile(values, 0.95), abs=0.01)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="50 draws"):
        importance_update(np.zeros(50))


# --- the scan for a break -----------------------------------------------------------------------------------------


def scan(z: np.ndarray, looks: list[Look]) -> bool:
    return judge(z, looks).alarm


def naive(z: np.ndarray, signature: np.ndarray) -> bool:
    """The dummy: the same score against 5 % of a single look at a single start, each week anew."""
    for weeks in range(2, len(z) + 1):
        starts = signature[:weeks, : weeks - 1]
        if np.abs(z[:weeks] @ (starts / np.linalg.norm(starts, axis=0))).max() > 1.96:
            return True
    return False


def test_looking_each_week_raises_false_alarms_at_the_promised_rate_only() -> None:
    rng = np.random.default_rng(5)
    fading = np.linalg.inv(np.linalg.cholesky(np.eye(LOOKS) + 0.15)) @ np.tril(np.ones((LOOKS, LOOKS)))
    paths, looks = rng.standard_normal((1000, LOOKS)), boundaries(fading)
    alarms = np.mean([scan(z, looks) for z in paths])
    # 5 % of 1,000 paths plus and minus three standard errors.
    assert alarms == pytest.approx(ALPHA, abs=3 * np.sqrt(ALPHA * (1 - ALPHA) / 1000))
    assert np.mean([naive(z, fading) for z in paths]) > 0.3


def test_a_break_of_two_sd_is_found_and_one_odd_week_is_not() -> None:
    rng = np.random.default_rng(6)
    flat = boundaries(np.tril(np.ones((LOOKS, LOOKS))))
    noise = rng.standard_normal((200, LOOKS))
    broken = noise + 2.0 * (np.arange(LOOKS) >= 4)
    assert np.mean([scan(z, flat) for z in broken]) > 0.9
    odd = noise.copy()
    odd[:, 6] += 8.0
    assert np.mean([scan(z, flat) for z in odd]) < 0.2


def test_forecast_errors_of_a_stable_world_are_standard_normal(data: az.InferenceData, panel: pl.DataFrame) -> None:
    """Sixty worlds of one fit: new weeks drawn again from the model itself."""
    design = build_design(panel, SPEC, scales=scales_of(data))
    engine = Engine.of(design, SPEC)
    seen = without_newest(panel, NEW)
    draws = read_fitted(data, seen).draws
    rng = np.random.default_rng(7)
    z = []
    rows = rng.choice(len(draws), 60, replace=False)
    mean = engine.media.total(draws.take(rows))
    for i, row in enumerate(rows):
        one = draws.take([row])
        # Coefficients of trend pieces that begin after the fit come from their prior.
        beta = np.concatenate([one.beta[0], rng.standard_normal(design.baseline.shape[1] - one.beta.shape[1])])
        named = dict(zip(build_design(seen, SPEC, scales=scales_of(data)).columns, one.beta[0], strict=True))
        beta = np.array(
            [named.get(name, extra) for name, extra in zip(design.columns, rng.standard_normal(len(beta)), strict=True)]
        )
        y = design.y.copy()
        y[:, -NEW:] = (mean[i] + (design.baseline @ beta).reshape(1, -1))[:, -NEW:]
        y[:, -NEW:] += one.sigma[0] * rng.standard_normal((1, NEW))
        world = Engine.of(replace(design, y=y), SPEC)
        z.append(one_step_errors(world.media, draws, NEW).z)
    z = np.array(z)
    assert abs(z.mean()) < 3 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=3 / np.sqrt(2 * z.size))
    assert abs(np.corrcoef(z[:, 0], z[:, 1])[0, 1]) < 0.4


def test_the_total_is_published_too(data: az.InferenceData, panel: pl.DataFrame) -> None:
    found = refresh(data, panel)
    assert isinstance(found, Refreshed)
    assert [one.name for one in found.published] == ["tv", "search", "social", TOTAL]
    assert all(one.ess >= 400 for one in found.published)
