"""Figures of the experiments on worlds with known truth, each with the control that must fail beside it."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.bench.experiment_worlds import (
    clustered,
    correlated_past,
    daily,
    error_of,
    peek,
    split_paths,
)
from liftos_pipelines.modules.llm.experiments.difference import difference
from liftos_pipelines.modules.llm.experiments.guard import guard_mean
from liftos_pipelines.modules.llm.experiments.measured import METRICS
from liftos_pipelines.modules.llm.experiments.plan import PlanError
from liftos_pipelines.modules.llm.experiments.posterior import best_of_rates, of_difference, of_rates
from liftos_pipelines.modules.llm.experiments.quantiles import quantile_sequence
from liftos_pipelines.modules.llm.experiments.sample_size import sample_size, spread_of_rate
from liftos_pipelines.modules.llm.experiments.split import SRM_ALPHA, split_test
from liftos_pipelines.modules.llm.experiments.units import from_arrays
from liftos_pipelines.stats import always_valid_p, anytime_half_width, betting_interval

METRIC = {metric.name: metric for metric in METRICS}


def test_looking_each_day_or_after_every_unit_keeps_false_positives_below_5_percent() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random((2000, 1800)) < 0.5).astype(float), (rng.random((2000, 1800)) < 0.5).astype(float)
    each_day, each_unit = peek(a, b, daily(60), rate=True), peek(a, b, np.arange(1, 1801), rate=True)
    assert each_day.sequence <= 0.05
    assert each_unit.sequence <= 0.05
    assert each_day.naive >= 0.20
    assert each_unit.naive >= 0.35


def test_skewed_latency_keeps_them_below_5_percent_too() -> None:
    rng = np.random.default_rng(2)
    a, b = np.exp(rng.normal(0, 0.8, (1000, 1500))), np.exp(rng.normal(0, 0.8, (1000, 1500)))
    found = peek(a, b, np.arange(1, 1501))
    assert found.sequence <= 0.05
    assert found.naive >= 0.3


def test_the_planned_effect_is_found_with_80_percent_power_by_the_planned_horizon() -> None:
    planned = sample_size(0.05, spread_of_rate(0.525))
    arm = planned.horizon // 2
    rng = np.random.default_rng(3)
    a, b = (rng.random((1500, arm)) < 0.5).astype(float), (rng.random((1500, arm)) < 0.55).astype(float)
    found = peek(a, b, np.linspace(arm / 30, arm, 30).astype(int), effect=0.05, planned=planned.horizon, rate=True)
    assert found.sequence >= 0.78  # 0.80 less three standard errors of 1,500 worlds
    assert found.missed <= 0.05
    assert 2 * found.looks_used == pytest.approx(planned.expected, rel=0.05)
    assert planned.single_look < planned.horizon < 2 * planned.single_look


def test_an_impossible_plan_is_named() -> None:
    with pytest.raises(PlanError, match="effect is 0"):
        sample_size(0.0, 0.5)
    with pytest.raises(PlanError, match=r"a rate of 1\.2"):
        spread_of_rate(1.2)


def test_a_52_to_48_split_of_10000_is_found_and_an_even_one_is_not() -> None:
    arms = np.zeros(10_000, dtype=np.int64)
    arms[np.random.default_rng(4).permutation(10_000)[:5_200]] = 1
    assert split_test(arms, [0.5, 0.5]).p_value < SRM_ALPHA
    assert split_test(arms, [0.48, 0.52]).p_value > 0.5
    evidence, chi_square = split_paths(1000, 6000, 0.5, seed=5)
    assert (evidence.max(axis=1) > np.log(1 / SRM_ALPHA)).mean() <= 0.02
    assert (chi_square[:, 4:] < SRM_ALPHA).any(axis=1).mean() > 0.08  # looked at daily, a chi-square test cries wolf


def test_three_arms_of_unequal_plan_are_tested_together() -> None:
    rng = np.random.default_rng(6)
    shares = [0.6, 0.2, 0.2]
    assert not split_test(rng.choice(3, 6000, p=shares), shares).broken
    assert split_test(rng.choice(3, 6000, p=[0.6, 0.25, 0.15]), shares).broken


def test_what_was_known_before_removes_half_the_variance_at_a_correlation_of_07_without_bias() -> None:
    worlds = [correlated_past(400, 0.7, 0.2, seed) for seed in range(300)]
    adjusted, plain = [difference(units) for units in worlds], [difference(units, adjust=False) for units in worlds]
    estimates = np.array([one.estimate for one in adjusted])
    assert abs(estimates.mean() - 0.2) <= 3 * estimates.std() / np.sqrt(300)
    gained = 1 - estimates.var() / np.var([one.estimate for one in plain])
    assert gained == pytest.approx(0.49, abs=0.12)
    assert np.mean([one.variance_removed or 0.0 for one in adjusted]) == pytest.approx(0.49, abs=0.03)
    covered = [abs(one.estimate - 0.2) <= 1.645 * one.error for one in adjusted]
    assert 0.86 <= np.mean(covered) <= 0.94


def test_a_past_that_says_nothing_changes_nothing() -> None:
    units = correlated_past(2000, 0.0, 0.2, 7)
    assert difference(units).variance_removed == 0.0
    assert difference(units).estimate == difference(units, adjust=False).estimate


def test_repeated_calls_of_a_unit_count_once_where_they_say_the_same() -> None:
    ours, naive = [], []
    for seed in range(300):
        values, b = clustered(120, 10, seed)
        unit = np.repeat(np.arange(120), 10).reshape(120, 10)
        in_b = b.astype(bool)
        units = from_arrays(values[~in_b].ravel(), values[in_b].ravel(), unit[~in_b].ravel(), unit[in_b].ravel())
        estimate, error, effective = error_of(units)
        ours.append(abs(estimate) > 1.645 * error)
        assert effective < 400  # 1,200 calls
        estimate, error, _ = error_of(from_arrays(values[~in_b].ravel(), values[in_b].ravel()))
        naive.append(abs(estimate) > 1.645 * error)
    assert np.mean(ours) <= 0.15
    assert np.mean(naive) >= 0.4


def guard_rates(metric: str, a: np.ndarray, b: np.ndarray, looks: np.ndarray) -> tuple[float, float]:
    broken = cleared = 0
    for own_a, own_b in zip(a, b, strict=True):
        said = {guard_mean(from_arrays(own_a[:n], own_b[:n]), METRIC[metric], alpha=0.05).status for n in looks}
        broken += "broken" in said
        cleared += "cleared" in said
    return broken / len(a), cleared / len(a)


def test_a_guardrail_at_its_margin_is_rarely_called_broken_and_harm_beyond_it_is_found() -> None:
    rng = np.random.default_rng(8)
    a = 100 * np.exp(rng.normal(0, 0.5, (150, 900)))
    at_margin = 120 * np.exp(rng.normal(0, 0.5, (150, 900)))
    assert guard_rates("latency_ms", a, at_margin, daily(60, 15))[0] <= 0.05
    assert guard_rates("latency_ms", a, at_margin / 1.2, daily(60, 15)) == (0.0, pytest.approx(1.0, abs=0.1))
    assert guard_rates("latency_ms", a, at_margin * 1.2, daily(60, 15))[0] >= 0.8


def test_the_quantile_sequence_holds_the_tail_at_every_look() -> None:
    truth = float(np.exp(0.5 * 1.6448536))
    missed = 0
    for seed in range(200):
        values = np.exp(np.random.default_rng(seed).normal(0, 0.5, 1500))
        bounds = [quantile_sequence(values[:n], 0.95, alpha=0.05)[1:] for n in daily(100, 15)]
        missed += any(not low <= truth <= high for low, high in bounds)
    assert missed / 200 <= 0.05
    _, low, high = quantile_sequence(values, 0.95, alpha=0.05)
    assert 0.7 * truth < low < high < 1.4 * truth
    assert quantile_sequence(values[:5], 0.95, alpha=0.05)[2] == np.inf


def test_a_betting_sequence_holds_a_small_samples_mean() -> None:
    missed = 0
    for seed in range(200):
        low, high = betting_interval((np.random.default_rng(seed).random(60) < 0.1).astype(float))
        missed += not low <= 0.1 <= high
    assert missed / 200 <= 0.05
    assert betting_interval(np.empty(0)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="needs them in"):
        betting_interval(np.array([0.5, 1.5]))


def test_the_always_valid_p_agrees_with_the_sequence() -> None:
    for units in (80.0, 1000.0, 40_000.0):
        z = anytime_half_width(1.0, units)
        assert always_valid_p(z, units) == pytest.approx(0.05)
        assert anytime_half_width(1.0, units, one_sided=True) < z


def test_posteriors_agree_with_draws() -> None:
    rng = np.random.default_rng(9)
    found = of_rates(50, 100, 60, 100, region=0.02)
    draws = rng.beta(60.5, 40.5, 200_000) - rng.beta(50.5, 50.5, 200_000)
    assert found.p_b_better == pytest.approx((draws > 0).mean(), abs=0.005)
    assert found.loss_b == pytest.approx(np.maximum(-draws, 0).mean(), abs=2e-4)
    assert found.loss_a == pytest.approx(np.maximum(draws, 0).mean(), abs=1e-3)
    assert found.equal == pytest.approx((np.abs(draws) < 0.02).mean(), abs=0.005)
    worse = of_rates(50, 100, 60, 100, sign=-1.0)
    assert (worse.loss_a, worse.loss_b) == (found.loss_b, found.loss_a)
    scaled = of_difference(0.3, 0.2, 8)
    t = 0.3 + 0.2 * rng.standard_t(8, 400_000)
    assert scaled.loss_b == pytest.approx(np.maximum(-t, 0).mean(), abs=5e-4)
    arms = rng.beta([50.5, 60.5, 55.5], [50.5, 40.5, 45.5], (200_000, 3)).argmax(axis=1)
    best = best_of_rates(np.array([50, 60, 55.0]), np.full(3, 100.0), sign=1.0)
    assert best == pytest.approx(np.bincount(arms) / 200_000, abs=0.005)
