"""Small statistics that several modules share: intervals for rates, multiplicity, clustered resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]


def wilson_interval(successes: float, trials: float, level: float = 0.9) -> tuple[float, float]:
    """Score interval for a proportion; (nan, nan) without a trial.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if trials <= 0:
        return (float("nan"), float("nan"))
    z = float(stats.norm.ppf(0.5 + level / 2))
    p = successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    return (float(max(0.0, centre - half)), float(min(1.0, centre + half)))


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Adjusted p-values that control the false-discovery rate; NaN stays NaN and does not count.

    Source: Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if known.size:
        adjusted[known] = stats.false_discovery_control(p[known], method="bh")
    return adjusted


def holm(p_values: FloatArray) -> FloatArray:
    """Adjusted p-values that control the family-wise error rate; NaN stays NaN and does not count.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def cluster_bootstrap(
    clusters: NDArray[np.generic],
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    seed: int,
    replicates: int = 1000,
) -> FloatArray:
    """Replicates of a statistic when whole clusters, not rows, are drawn with replacement.

    Parameters
    ----------
    clusters : (n,), the cluster each row belongs to
    statistic : from row positions (with repeats) to a number; NaN replicates are left out

    Returns
    -------
    (<= replicates,), finite replicates

    Source: Field and Welsh (2007), Bootstrapping clustered data.
    """
    rng = np.random.default_rng(seed)
    _, codes = np.unique(clusters, return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)] if codes.size else []
    if not rows:
        return np.empty(0)
    draws = rng.integers(0, len(rows), size=(replicates, len(rows)))
    values = np.array([statistic(np.concatenate([rows[i] for i in draw])) for draw in draws])
    return values[np.isfinite(values)]


def percentile_interval(replicates: FloatArray, level: float = 0.9) -> tuple[float, float]:
    """Central percentile interval; (nan, nan) without a replicate."""
    if replicates.size == 0:
        return (float("nan"), float("nan"))
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return (float(low), float(high))


def anytime_half_width(
    std_error: float, units: float, *, alpha: float = 0.05, planned_units: float = 1000.0, one_sided: bool = False
) -> float:
    """Half-width of an asymptotic confidence sequence: it may be looked at after every unit, for ever.

    Parameters
    ----------
    std_error : of the estimate now; `units` independent units have been seen so far
    alpha : chance that the sequence ever misses the truth
    planned_units : where the sequence is narrowest; it holds everywhere
    one_sided : a bound on one side alone, which is then narrower

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), Time-uniform central limit theory and
    asymptotic confidence sequences, theorem 2.2, the one-sided bound and the tuning of its appendix.
    """
    if units <= 0:
        return float("inf")
    growth = units * _mixing(2 * alpha if one_sided else alpha, planned_units)
    inside = 1 + np.sqrt(growth + 1) / (2 * alpha) if one_sided else np.sqrt(growth + 1) / alpha
    return float(std_error * np.sqrt(2 * (growth + 1) / growth * np.log(inside)))


def always_valid_p(z: float, units: float, *, alpha: float = 0.05, planned_units: float = 1000.0) -> float:
    """p-value that may be looked at after every unit: below `alpha` where the two-sided sequence leaves zero out.

    Source: Johari, Koomen, Pekelis and Walsh (2022), Always valid inference; the mixture is that of
    `anytime_half_width`.
    """
    if units <= 0 or not np.isfinite(z):
        return float("nan")
    growth = units * _mixing(alpha, planned_units)
    log_p = 0.5 * np.log(growth + 1) - z**2 * growth / (2 * (growth + 1))
    return float(np.exp(min(0.0, log_p)))


def _mixing(alpha: float, planned_units: float) -> float:
    return float((-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / planned_units)


def betting_interval(values: FloatArray, *, alpha: float = 0.05, points: int = 400) -> tuple[float, float]:
    """Confidence sequence of a mean in [0, 1] at its last value: exact for every sample size, and at every look.

    Parameters
    ----------
    values : (n,), in [0, 1], in the order they came, independent given the past
    points : of the grid of means; the interval is widened to it

    Raises
    ------
    ValueError : a value outside [0, 1] or not finite

    Source: Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, section 4.4
    (hedged capital, predictable plug-in bets).
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0:
        return (0.0, 1.0)
    if not np.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise ValueError(f"values from {np.nanmin(x)} to {np.nanmax(x)}: a betting sequence needs them in [0, 1]")
    t = np.arange(1, x.size + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log(1 + t)))
    grid = np.linspace(0, 1, points + 1)
    up, down = np.zeros(points + 1), np.zeros(points + 1)
    highest = np.full(points + 1, -np.inf)
    with np.errstate(divide="ignore"):
        most_up, most_down = 0.5 / grid, 0.5 / (1 - grid)
    for value, stake in zip(x, bet, strict=True):
        up += np.log1p(np.minimum(stake, most_up) * (value - grid))
        down += np.log1p(-np.minimum(stake, most_down) * (value - grid))
        np.maximum(highest, np.maximum(up, down), out=highest)
    kept = np.flatnonzero(highest - np.log(2) < np.log(1 / alpha))
    if kept.size == 0:
        centre = float(x.mean())
        return (centre, centre)
    return (float(grid[max(0, kept[0] - 1)]), float(grid[min(points, kept[-1] + 1)]))
