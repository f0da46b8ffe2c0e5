"""The chance of success from measured effects, on effects whose truth is known."""

from __future__ import annotations

import numpy as np
from scipy import stats

from liftos_pipelines.modules.memory.learning.effects import posterior, prior_sd
from liftos_pipelines.modules.memory.learning.realised import calibration, calibration_error


def simulated(seed: int, worlds: int, tries: int, error: float) -> tuple[np.ndarray, ...]:
    """Means of usual size one, occasions that differ by .6 of it; posterior and the truth of each world."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(worlds):
        mean, between = rng.normal(), 0.6
        seen = mean + rng.normal(0, between, tries) + rng.normal(0, error, tries)
        found = posterior(seen, np.full(tries, error), np.ones(tries), 1.0)
        rate = stats.norm.cdf(mean / between)
        rows.append((found.mean, found.low, found.high, rate, found.effect_low <= mean <= found.effect_high))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def test_intervals_cover_and_chances_are_calibrated() -> None:
    said, low, high, truth, covered = simulated(seed=3, worlds=600, tries=6, error=0.4)
    assert 0.86 <= covered.mean() <= 0.95
    assert 0.85 <= ((low - 1e-3 <= truth) & (truth <= high + 1e-3)).mean() <= 0.97
    sure = said > 0.8
    assert abs(said[sure].mean() - truth[sure].mean()) < 0.05
    counted = stats.norm.cdf(np.where(said > 0.5, 1, -1) * 9.0)  # the dummy: what happened will always happen
    assert np.mean((said - truth) ** 2) < np.mean((counted - truth) ** 2)


def test_a_large_error_says_little_and_a_clear_effect_much() -> None:
    ones = np.ones(3)
    vague = posterior(ones, np.full(3, 10.0), ones, 1.0)
    clear = posterior(ones, np.full(3, 0.1), ones, 1.0)
    assert abs(vague.mean - 0.5) < 0.05
    assert clear.mean > 0.85
    assert vague.high - vague.low > clear.high - clear.low


def test_nothing_relevant_leaves_the_prior() -> None:
    found = posterior(np.ones(3), np.ones(3), np.zeros(3), 1.0)
    assert np.isclose(found.mean, 0.5)
    assert found.weight == 0
    assert np.isclose(found.p_mostly_succeeds, 0.5)


def test_usual_effects_are_read_through_their_errors() -> None:
    rng = np.random.default_rng(5)
    true = rng.normal(0, 1, 400)
    assert abs(prior_sd(true + rng.normal(0, 0.5, 400), np.full(400, 0.5)) - 1) < 0.15
    assert prior_sd(np.empty(0), np.empty(0)) == 1.0


def test_a_table_of_calibration_shows_who_boasts() -> None:
    rng = np.random.default_rng(7)
    said = rng.uniform(0.5, 1, 2000)
    honest = calibration(said, (rng.random(2000) < said).astype(float), "honest")
    boaster = calibration(np.full(2000, 0.95), (rng.random(2000) < 0.6).astype(float), "boaster")
    assert calibration_error(honest) < 0.03 < 0.3 < calibration_error(boaster)
    assert honest["n"].sum() == 2000
    assert ((honest["low"] <= honest["said"]) & (honest["said"] <= honest["high"])).mean() >= 0.5
    assert calibration_error(honest.clear()) is None
