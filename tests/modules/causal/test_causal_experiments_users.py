"""Tests that randomise users: rates, means, the split, and how many users are needed."""

import numpy as np
import pytest
from scipy import stats

from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError
from liftos_pipelines.modules.causal.experiments.sample_size import (
    lift_for_means,
    power_for_means,
    users_for_means,
    users_for_proportions,
)
from liftos_pipelines.modules.causal.experiments.users import split_p_value, two_means, two_proportions


def test_intervals_and_p_values_of_two_rates_keep_to_their_level() -> None:
    rng = np.random.default_rng(1)
    runs, covered, alarms = 2000, 0, 0
    for _ in range(runs):
        found = two_proportions(int(rng.binomial(2000, 0.05)), 2000, int(rng.binomial(2000, 0.06)), 2000)
        covered += found.low <= 0.01 <= found.high
        quiet = two_proportions(int(rng.binomial(2000, 0.05)), 2000, int(rng.binomial(2000, 0.05)), 2000)
        alarms += quiet.p_value <= 0.05
    assert 0.88 <= covered / runs <= 0.92
    assert 0.035 <= alarms / runs <= 0.065


def test_two_rates_by_hand() -> None:
    found = two_proportions(56, 70, 48, 80, level=0.95)
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10.
    assert (-found.high, -found.low) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.added == pytest.approx(80 * found.effect)


def test_few_conversions_are_judged_exactly() -> None:
    found = two_proportions(0, 50, 4, 50)
    assert found.p_value == pytest.approx(stats.fisher_exact([[0, 50], [4, 46]])[1])
    assert "Fisher" in found.notes[0]


def test_means_of_unequal_spread_are_covered_where_one_spread_for_both_is_not() -> None:
    rng = np.random.default_rng(2)
    runs, covered, pooled = 1500, 0, 0
    for _ in range(runs):
        a, b = rng.normal(0, 1, 80), rng.normal(1, 5, 20)
        found = two_means(a, b, shares=(0.8, 0.2))
        covered += found.low <= 1 <= found.high
        same = stats.ttest_ind(b, a).confidence_interval(0.9)
        pooled += same.low <= 1 <= same.high
    assert 0.88 <= covered / runs <= 0.92
    assert pooled / runs < 0.75


def test_a_split_that_lost_users_is_not_trusted() -> None:
    assert split_p_value((5000, 5000)) == pytest.approx(1)
    lost = two_proportions(250, 5000, 260, 4600)
    assert lost.srm_p < 0.001
    assert not lost.trusted
    assert "not as planned" in lost.notes[-1]
    assert two_proportions(90, 900, 10, 100, shares=(0.9, 0.1)).trusted
    rng = np.random.default_rng(3)
    heads = rng.binomial(1000, 0.5, 2000)
    assert np.mean([split_p_value((int(n), 1000 - int(n))) <= 0.05 for n in heads]) == pytest.approx(0.05, abs=0.02)


def test_sizes_for_rates_are_near_the_rule_of_thumb_and_give_the_power() -> None:
    n, m = users_for_proportions(0.02, 0.10)
    assert n == m
    assert n == pytest.approx(16 * 0.02 * 0.98 / 0.002**2, rel=0.04)
    n, m = users_for_proportions(0.10, 0.20, power=0.9, ratio=2)
    assert m == pytest.approx(2 * n, abs=2)
    rng = np.random.default_rng(4)
    a, b = rng.binomial(n, 0.10, 3000), rng.binomial(m, 0.12, 3000)
    shares = (1 / 3, 2 / 3)
    power = np.mean(
        [two_proportions(int(x), n, int(y), m, shares=shares).p_value <= 0.05 for x, y in zip(a, b, strict=True)]
    )
    assert power == pytest.approx(0.9, abs=0.02)


def test_sizes_for_means_are_those_of_the_books() -> None:
    # Cohen (1988), table 2.4.1: d = 0.5 at 5 % and 80 % needs 64 in each group.
    assert users_for_means(0.5, 1.0) == (64, 64)
    assert power_for_means(0.5, 1.0, 64, 64) == pytest.approx(0.8015, abs=1e-3)
    assert power_for_means(0.5, 1.0, 63, 63) < 0.8
    assert lift_for_means(1.0, 64, 64) == pytest.approx(0.499, abs=0.002)
    a, b = users_for_means(0.5, 1.0, ratio=3)
    assert b == 3 * a


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: two_proportions(5, 0, 1, 10), "group A has 5 conversions of 0 users"),
        (lambda: two_proportions(5, 10, 11, 10), "group B has 11 conversions of 10 users"),
        (lambda: two_means(np.array([1.0]), np.array([1.0, 2.0])), "group A needs two users"),
        (lambda: two_means(np.array([1.0, np.nan]), np.array([1.0, 2.0])), "finite"),
        (lambda: two_means(np.ones(5), np.ones(5)), "no spread"),
        (lambda: split_p_value((0, 0)), "cannot be held"),
        (lambda: split_p_value((5, 5), (1.0, 0.0)), "cannot be held"),
        (lambda: users_for_proportions(0.9, 0.2), "must differ and lie in"),
        (lambda: users_for_proportions(0.1, 0.0), "must differ and lie in"),
        (lambda: users_for_proportions(0.1, 0.1, power=1.0), "alpha < power < 1"),
        (lambda: users_for_means(0.0, 1.0), "nothing a test can be sized for"),
        (lambda: users_for_means(1e-9, 1.0), "too many users"),
    ],
)
def test_what_cannot_be_tested_or_sized_is_refused(call: object, said: str) -> None:
    assert callable(call)
    with pytest.raises(ExperimentError, match=said):
        call()
