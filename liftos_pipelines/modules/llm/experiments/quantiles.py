"""Confidence sequences of a quantile, so that a tail latency may be watched at every look.

For the true quantile, the calls at or below it are coin flips of a known rate; a beta mixture of bets against that rate
is a test martingale, and the sequence holds all order statistics it does not rule out. Exact for independent calls;
where calls of a unit resemble one another, counts are shrunk by the design effect of the tail indicator.

Source: Howard and Ramdas (2022), Sequential estimation of quantiles with applications to A/B testing and best-arm
identification; Robbins (1970) for the mixture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from liftos_pipelines.stats import FloatArray

CONCENTRATION = 200.0


def quantile_sequence(
    values: FloatArray, level: float, *, alpha: float, clusters: NDArray[np.int64] | None = None
) -> tuple[float, float, float]:
    """Sample quantile with bounds that hold at every look; infinite where the sample is too small to bound it.

    Parameters
    ----------
    values : (n,)
    level : in (0, 1), such as 0.95
    alpha : chance that the bounds ever miss the quantile, both sides together
    clusters : (n,), the unit of each value
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = ordered.size
    if n == 0:
        return (float("nan"), -np.inf, np.inf)
    at = float(np.quantile(ordered, level))
    effect = _tail_effect(values <= at, clusters) if clusters is not None else 1.0
    total = n / effect
    below = np.arange(n + 1) / effect
    kept = np.flatnonzero(_log_martingale(below, total, level) < np.log(1 / alpha))
    # The quantile's own count is among the kept ones: it lies between the order statistics around them.
    low = -np.inf if kept[0] == 0 else float(ordered[kept[0] - 1])
    high = np.inf if kept[-1] >= n else float(ordered[kept[-1]])
    return (at, low, high)


def _log_martingale(below: FloatArray, total: float, level: float) -> FloatArray:
    prior = np.array([level, 1 - level]) * CONCENTRATION
    mixed = special.betaln(prior[0] + below, prior[1] + total - below) - special.betaln(*prior)
    return np.asarray(mixed - below * np.log(level) - (total - below) * np.log(1 - level))


def _tail_effect(below: NDArray[np.bool_], clusters: NDArray[np.int64]) -> float:
    _, codes = np.unique(clusters, return_inverse=True)
    groups, n, rate = int(codes.max()) + 1, below.size, float(below.mean())
    if groups in (1, n) or rate in (0.0, 1.0):
        return 1.0
    sums = np.bincount(codes, weights=below - rate)
    clustered = groups / (groups - 1) * float((sums**2).sum()) / n**2
    return max(1.0, clustered / (rate * (1 - rate) / n))
