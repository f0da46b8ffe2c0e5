"""How many units a test needs, from formulas; where the client's own history exists, `power` simulates instead."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError

ALPHA, POWER = 0.05, 0.8
LARGEST = 1e9
CERTAIN = 20.0
"""So many times the critical value, and the test rejects whatever the chance errors are."""


def users_for_proportions(
    rate: float, lift: float, *, alpha: float = ALPHA, power: float = POWER, ratio: float = 1.0
) -> tuple[int, int]:
    """Users of A and of B to find a relative `lift` over `rate`, two-sided; B has `ratio` times the users of A.

    Source: Fleiss, Levin and Paik (2003), Statistical methods for rates and proportions, formula 4.14 (4.19 for
    unequal groups), without the continuity correction.

    Raises
    ------
    ExperimentError : rates not strictly between 0 and 1, no lift, alpha or power out of range
    """
    other = rate * (1 + lift)
    if not 0 < rate < 1 or not 0 < other < 1 or lift == 0:
        raise ExperimentError(f"rates of {rate} and {other:.4g} must differ and lie in (0, 1)")
    _check_levels(alpha, power, ratio)
    z_alpha, z_power = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    pooled = (rate + ratio * other) / (1 + ratio)
    spread = z_alpha * np.sqrt((1 + ratio) * pooled * (1 - pooled))
    spread += z_power * np.sqrt(ratio * rate * (1 - rate) + other * (1 - other))
    n = float(spread**2 / (ratio * (other - rate) ** 2))
    return ceil(n), ceil(n * ratio)


def power_for_means(difference: float, sd: float, n_a: int, n_b: int, *, alpha: float = ALPHA) -> float:
    """Exact power of the two-sided t test with one spread, by the noncentral t.

    Source: Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 2.
    """
    return t_power(difference / (sd * np.sqrt(1 / n_a + 1 / n_b)), n_a + n_b - 2, alpha)


def t_power(noncentrality: float, dof: float, alpha: float = ALPHA) -> float:
    """Chance that a two-sided t test rejects when its statistic is noncentral t."""
    bound = float(stats.t.ppf(1 - alpha / 2, dof))
    size = abs(noncentrality)
    if size > bound * CERTAIN:
        return 1.0
    # The far tail underflows to NaN in the library; what is missed there is less than any power is stated to.
    other = float(stats.nct.cdf(-bound, dof, size))
    return float(stats.nct.sf(bound, dof, size)) + (other if np.isfinite(other) else 0.0)


def users_for_means(
    difference: float, sd: float, *, alpha: float = ALPHA, power: float = POWER, ratio: float = 1.0
) -> tuple[int, int]:
    """Users of A and of B to find a `difference` of means, two-sided, exact.

    Raises
    ------
    ExperimentError : no difference, no spread, alpha or power out of range, more than a thousand million users
    """
    if difference == 0 or not sd > 0:
        raise ExperimentError(f"a difference of {difference} with a spread of {sd} is nothing a test can be sized for")
    _check_levels(alpha, power, ratio)

    def enough(n: int) -> bool:
        return power_for_means(difference, sd, n, max(2, ceil(n * ratio)), alpha=alpha) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > LARGEST:
            raise ExperimentError(f"a difference of {difference} against a spread of {sd} needs too many users")
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high, max(2, ceil(high * ratio))


def did_power_iid(lift: float, sd: float, *, n_treated: int, n_control: int, n_pre: int, n_window: int) -> float:
    """Power of the difference-in-differences t test at 5 % when geo-weeks are independent with relative spread `sd`.

    Only a yardstick for the simulation: real geo-weeks are not independent, and power is lower.
    """
    error = sd * np.sqrt((1 / n_treated + 1 / n_control) * (1 / n_pre + 1 / n_window))
    dof = (1 / n_treated + 1 / n_control) ** 2
    dof /= 1 / (n_treated**2 * (n_treated - 1)) + 1 / (n_control**2 * (n_control - 1))
    return t_power(lift / float(error), dof)


def lift_for_means(sd: float, n_a: int, n_b: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest difference that the t test finds with the given power."""
    _check_levels(alpha, power, 1.0)
    unit = sd * np.sqrt(1 / n_a + 1 / n_b)
    return float(brentq(lambda value: power_for_means(value, sd, n_a, n_b, alpha=alpha) - power, 0, 60 * unit))


def _check_levels(alpha: float, power: float, ratio: float) -> None:
    if not 0 < alpha < power < 1 or ratio <= 0:
        raise ExperimentError(f"alpha {alpha}, power {power} and ratio {ratio}: 0 < alpha < power < 1, ratio above 0")
