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


def anytime_half_width(std_error: float, units: float, *, alpha: float = 0.05, planned_units: float = 1000.0) -> float:
    """Half-width of an asymptotic confidence sequence: it may be looked at after every unit, for ever.

    Parameters
    ----------
    std_error : of the estimate now; `units` independent units have been seen so far
    alpha : chance that the sequence ever misses the truth
    planned_units : where the sequence is narrowest; it holds everywhere

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), Time-uniform central limit theory and
    asymptotic confidence sequences, theorem 2.2 and the tuning of its appendix.
    """
    if units <= 0:
        return float("inf")
    mixing = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / planned_units
    growth = units * mixing
    return float(std_error * np.sqrt(2 * (growth + 1) / growth * np.log(np.sqrt(growth + 1) / alpha)))
