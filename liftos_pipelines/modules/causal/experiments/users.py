"""Tests that randomise users: two rates, two means, and whether the split is what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError, FloatArray
from liftos_pipelines.stats import wilson_interval

SRM_ALPHA = 0.001
"""A split this unlikely means that units were lost on the way: the effect is then not to be believed."""
MIN_EXPECTED = 5


@dataclass(frozen=True, kw_only=True)
class UserTest:
    """`effect` of B less A per user with its 90 % interval; `added` is that times the users of B.

    `srm_p` is the chi-square p-value of the split; below 0.001 `trusted` is False and a note says why.
    """

    effect: float
    low: float
    high: float
    p_value: float
    added: float
    n_a: int
    n_b: int
    srm_p: float
    trusted: bool
    notes: tuple[str, ...]


def split_p_value(counts: Sequence[int], shares: Sequence[float] = (0.5, 0.5)) -> float:
    """Chi-square p-value that units were split as planned (sample ratio mismatch).

    Source: Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments.

    Raises
    ------
    ExperimentError : shares that are not positive or not one a group, no unit
    """
    planned = np.asarray(shares, dtype=float)
    if len(planned) != len(counts) or (planned <= 0).any() or min(counts) < 0 or sum(counts) == 0:
        raise ExperimentError(f"a split of {list(counts)} cannot be held against planned shares {list(shares)}")
    return float(stats.chisquare(counts, sum(counts) * planned / planned.sum()).pvalue)


def two_proportions(
    converted_a: int, n_a: int, converted_b: int, n_b: int, *, shares: Sequence[float] = (0.5, 0.5), level: float = 0.9
) -> UserTest:
    """Difference of two rates: interval from the two score intervals, p-value by the pooled score test.

    Sources: Newcombe (1998), Interval estimation for the difference between independent proportions, method 10;
    Fisher's exact test where fewer than five conversions are expected in a group.

    Raises
    ------
    ExperimentError : no user in a group, or more conversions than users, naming the numbers
    """
    for name, converted, n in (("A", converted_a, n_a), ("B", converted_b, n_b)):
        if n <= 0 or not 0 <= converted <= n:
            raise ExperimentError(f"group {name} has {converted} conversions of {n} users")
    a, b = converted_a / n_a, converted_b / n_b
    low_a, high_a = wilson_interval(converted_a, n_a, level)
    low_b, high_b = wilson_interval(converted_b, n_b, level)
    effect = b - a
    low = effect - float(np.hypot(b - low_b, high_a - a))
    high = effect + float(np.hypot(high_b - b, a - low_a))
    pooled = (converted_a + converted_b) / (n_a + n_b)
    notes: tuple[str, ...] = ()
    if min(pooled, 1 - pooled) * min(n_a, n_b) < MIN_EXPECTED:
        table = [[converted_a, n_a - converted_a], [converted_b, n_b - converted_b]]
        p_value = float(stats.fisher_exact(table)[1])
        notes = ("few conversions: p-value by Fisher's exact test",)
    else:
        error = float(np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b)))
        p_value = float(2 * stats.norm.sf(abs(effect) / error))
    return _judged(effect, low, high, p_value, n_a, n_b, shares, notes)


def two_means(a: FloatArray, b: FloatArray, *, shares: Sequence[float] = (0.5, 0.5), level: float = 0.9) -> UserTest:
    """Difference of two means, one value a user, spreads unequal. Source: Welch (1947).

    Raises
    ------
    ExperimentError : fewer than two users in a group, a value that is not a number, no spread at all
    """
    for name, values in (("A", a), ("B", b)):
        if len(values) < 2 or not np.isfinite(values).all():
            raise ExperimentError(f"group {name} needs two users or more, each with a finite value")
    if float(np.var(a)) + float(np.var(b)) == 0:
        raise ExperimentError("all users have the same value: there is no spread to test against")
    found = stats.ttest_ind(b, a, equal_var=False)
    interval = found.confidence_interval(level)
    effect = float(np.mean(b) - np.mean(a))
    low, high = float(interval.low), float(interval.high)
    return _judged(effect, low, high, float(found.pvalue), len(a), len(b), shares, ())


def _judged(
    effect: float,
    low: float,
    high: float,
    p: float,
    n_a: int,
    n_b: int,
    shares: Sequence[float],
    notes: tuple[str, ...],
) -> UserTest:
    srm = split_p_value((n_a, n_b), shares)
    if srm < SRM_ALPHA:
        notes += (
            f"users are split {n_a:,} to {n_b:,}, not as planned (p = {srm:.2g}): find out why before reading on",
        )
    return UserTest(
        effect=effect,
        low=low,
        high=high,
        p_value=p,
        added=effect * n_b,
        n_a=n_a,
        n_b=n_b,
        srm_p=srm,
        trusted=srm >= SRM_ALPHA,
        notes=notes,
    )
