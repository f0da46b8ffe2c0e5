"""Each rung by itself on worlds with known truth: sizes, coverage, attenuation, dated shocks; the rates are slow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from revenue_worlds import QUICK, alerts_of, ar1, linked, world

from liftos_pipelines.bench.sentiment_revenue import claims, recovery, series_of
from liftos_pipelines.modules.sentiment.revenue import LinkSeries, climb
from liftos_pipelines.modules.sentiment.revenue.describe import prepare
from liftos_pipelines.modules.sentiment.revenue.predict import forecast_gains, prediction_gain, recursion
from liftos_pipelines.modules.sentiment.revenue.response import response
from liftos_pipelines.modules.sentiment.revenue.words import MOVED, verdict
from liftos_pipelines.simulate.revenue_worlds import NULLS
from liftos_pipelines.simulate.revenue_worlds import linked as linked_world


def test_recursive_residuals_are_the_errors_of_forecasts_made_one_by_one() -> None:
    """Against the long way round: fit on the past, forecast the next week, with and without the candidate."""
    rng = np.random.default_rng(1)
    n, target = 80, rng.normal(size=80)
    design, known = rng.normal(size=(n, 3)), np.ones(80, dtype=bool)
    candidate = rng.normal(size=n)
    steps = recursion(target, design, known, own_lags=1, reach=2)
    gain, _, _ = forecast_gains(steps, target, candidate[None], (2,))
    rows = steps.rows
    columns = np.column_stack([design[rows], target[rows - 1]])
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    columns = np.column_stack([np.ones(rows.size), columns])
    prior = np.diag([1e-3, *[1 / 25.0] * 4])
    first = rows.size // 2
    alone, both = [], []
    for at in range(first, rows.size):
        past, y = columns[:at], target[rows[:at]]
        weights = np.linalg.solve(past.T @ past + prior, past.T @ y)
        alone.append(target[rows[at]] - columns[at] @ weights)
        more = np.column_stack([past, candidate[rows[:at] - 2]])
        wide = np.zeros((6, 6))
        wide[:5, :5] = prior
        weights = np.linalg.solve(more.T @ more + wide, more.T @ y)
        both.append(target[rows[at]] - np.append(columns[at], candidate[rows[at] - 2]) @ weights)
    assert gain[0, 0] == pytest.approx(1 - np.sum(np.square(both)) / np.sum(np.square(alone)), rel=1e-6)


def test_a_real_gain_exceeds_every_placebo_and_noise_does_not() -> None:
    real = prediction_gain(prepare(world(1), QUICK), forward=True)
    assert real.beats_placebos
    assert real.p_value.min() <= 0.01
    assert len(real.placebos) >= 6
    beaten = [prediction_gain(prepare(world(k, effect=0.0), QUICK), forward=True).beats_placebos for k in range(12)]
    assert np.mean(beaten) < 0.5


def test_sampling_noise_is_taken_off_the_slope() -> None:
    """With the variance known the slope is right; without it, it is pulled towards zero by the reliability."""
    corrected, plain, reliability = [], [], []
    for seed in range(25):
        series = series_of(linked_world(np.random.default_rng([1, seed]), 0.5, 2, 0.06))
        prepared = prepare(series, replace(QUICK, surrogates=1))
        found = response(prepared, series.variance)
        corrected.append(found.estimate[2])
        plain.append(response(prepared, series.variance, correct=False).estimate[2])
        reliability.append(found.reliability)
    assert np.median(plain) < 0.35
    assert 0.42 < np.median(corrected) < 0.62
    assert 0.3 < np.mean(reliability) < 0.8
    unknown = response(prepared, np.full(104, np.nan))
    assert unknown.reliability is None
    assert unknown.corrected == 0


def shocked(seed: int, loss: float) -> LinkSeries:
    """Sentiment falls three times; three weeks long the outcome loses `loss` each time."""
    rng = np.random.default_rng(seed)
    net, outcome = 0.2 + ar1(rng, 104, 0.5, 0.05), ar1(rng, 104, 0.4, 0.03)
    for week in (60, 75, 90):
        net[week : week + 3] -= 0.3
        outcome[week + 1 : week + 4] -= loss
    return linked(net, 1000 * np.exp(outcome), alerts=alerts_of(60, 75, 90))


def test_an_outcome_that_leaves_its_path_after_dated_shocks_is_seen() -> None:
    for seed in range(4):
        ladder = climb(shocked(seed, 0.12), QUICK)
        assert ladder.events is not None
        assert len(ladder.events.at) == 3
        assert ladder.events.pooled_low < -0.12 < ladder.events.pooled_high
        assert verdict(ladder).startswith(MOVED)


def test_shocks_of_sentiment_alone_move_nothing() -> None:
    moved = [climb(shocked(seed, 0.0), QUICK, full=False).claims.events for seed in range(20)]
    assert sum(moved) <= 3


def test_what_happens_in_the_shocks_own_week_does_not_count() -> None:
    """Both fall in one week: nobody sees which came first."""
    rng = np.random.default_rng(9)
    net, outcome = 0.2 + ar1(rng, 104, 0.5, 0.05), ar1(rng, 104, 0.0, 0.03)
    net[70] -= 0.5
    outcome[70] -= 0.5
    ladder = climb(linked(net, 1000 * np.exp(outcome), alerts=alerts_of(70)), QUICK)
    assert ladder.events is not None
    assert ladder.events.paths[0, 0] < -0.3
    assert not ladder.claims.events


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NULLS))
def test_false_claims_stay_at_five_per_cent(name: str) -> None:
    found = claims(NULLS[name], 300, 77)
    allowed = 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 300)
    for rung in ("overall", "description", "prediction", "events"):
        assert getattr(found, rung).mean() <= allowed, rung
    if name not in ("unrelated, rho 0", "unrelated, rho .5"):
        assert max(found.naive.mean(), found.granger.mean()) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.0, 0.04])
def test_intervals_of_the_slope_hold_it(error: float) -> None:
    parts = [recovery(slope, lag, error, 100, 31, climbed=False) for slope in (0.2, 0.5) for lag in (1, 2, 3, 4)]
    assert 0.85 <= np.mean([part.covered.mean() for part in parts]) <= 0.95
    if error:
        assert np.mean([part.uncorrected.mean() for part in parts]) < 0.75
