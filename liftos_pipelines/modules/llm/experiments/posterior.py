"""What the data say of two arms in probabilities: which is better, and what a wrong choice would cost.

Beta posteriors with Jeffreys priors for rates, Student's t for means (flat prior). They describe; the decision itself
rests on the confidence sequence, which alone holds at every look.

Source: Stucchio (2015), Bayesian A/B testing at VWO, for the expected loss; Kruschke (2013) for the region of
practical equivalence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from liftos_pipelines.stats import FloatArray

LEVEL = 0.9
GRID = 200
QUANTILES = 200


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Of B minus A in the metric's unit, 90 % interval. `loss_a` is what keeping A costs on average, `loss_b` what
    shipping B costs, both in the metric's unit; `equal` is P(|B - A| < region). NaN where it cannot be said."""

    low: float
    high: float
    p_b_better: float
    loss_a: float
    loss_b: float
    equal: float


UNKNOWN = Posterior(
    low=float("nan"), high=float("nan"), p_b_better=float("nan"), loss_a=float("nan"), loss_b=float("nan"),
    equal=float("nan"),
)  # fmt: skip


def of_rates(
    hits_a: float, n_a: float, hits_b: float, n_b: float, *, sign: float = 1.0, region: float | None = None
) -> Posterior:
    """Two rates from counts, which may be fractions where calls of one unit were counted for less than one.

    Parameters
    ----------
    sign : 1 where more is better, -1 where less is
    region : half-width of what counts as equal; None: not asked
    """
    shapes = ((0.5 + hits_a, 0.5 + n_a - hits_a), (0.5 + hits_b, 0.5 + n_b - hits_b))
    x = _beta_grid(shapes)
    in_a, in_b = (special.betainc(first, second, x) for first, second in shapes)
    above = _chance(in_a, in_b)
    # E max(B - A, 0) is the area where A is below and B above a threshold.
    gain = float(np.trapezoid(in_a * (1 - in_b), x))
    fall = float(np.trapezoid(in_b * (1 - in_a), x))
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    at_a, at_b = (np.interp(levels, cdf, x) for cdf in (in_a, in_b))
    differences = (at_b[:, None] - at_a[None, :]).ravel()
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Posterior(
        low=float(low),
        high=float(high),
        p_b_better=above if sign > 0 else 1 - above,
        loss_a=gain if sign > 0 else fall,
        loss_b=fall if sign > 0 else gain,
        equal=float("nan") if region is None else float((np.abs(differences) < region).mean()),
    )


def of_difference(
    estimate: float, error: float, freedom: float, *, sign: float = 1.0, region: float | None = None
) -> Posterior:
    """A difference of means with its standard error and degrees of freedom, by Student's t."""
    if not error > 0 or not freedom > 1:
        return UNKNOWN
    spread = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    better = float(stats.t.cdf(sign * estimate / error, freedom))
    inside = float("nan")
    if region is not None:
        inside = float(np.diff(stats.t.cdf((np.array([-region, region]) - estimate) / error, freedom))[0])
    return Posterior(
        low=estimate - spread,
        high=estimate + spread,
        p_b_better=better,
        loss_a=error * _mean_above(-sign * estimate / error, freedom),
        loss_b=error * _mean_above(sign * estimate / error, freedom),
        equal=inside,
    )


def _mean_above(threshold: float, freedom: float) -> float:
    """E max(T - threshold, 0) of Student's t."""
    density = float(stats.t.pdf(threshold, freedom))
    tail = float(stats.t.sf(threshold, freedom))
    return max(0.0, density * (freedom + threshold**2) / (freedom - 1) - threshold * tail)


def best_of_rates(hits: FloatArray, n: FloatArray, *, sign: float) -> FloatArray:
    """(n_arms,), the probability of each arm to have the best rate."""
    shapes = [(0.5 + h, 0.5 + m - h) for h, m in zip(hits, n, strict=True)]
    x = _beta_grid(shapes)
    return _best([special.betainc(first, second, x) for first, second in shapes], sign)


def best_of_means(means: FloatArray, errors: FloatArray, *, sign: float) -> FloatArray:
    """(n_arms,), the probability of each arm to have the best mean, by the normal limit."""
    x = np.sort(np.concatenate([m + e * np.linspace(-8, 8, GRID) for m, e in zip(means, errors, strict=True)]))
    return _best([special.ndtr((x - m) / e) for m, e in zip(means, errors, strict=True)], sign)


def _best(cdfs: list[FloatArray], sign: float) -> FloatArray:
    found = []
    for k, own in enumerate(cdfs):
        others = [other if sign > 0 else 1 - other for j, other in enumerate(cdfs) if j != k]
        found.append(_chance(np.prod(others, axis=0), own))
    share = np.array(found)
    return share / share.sum()


def _chance(value: FloatArray, cdf: FloatArray) -> float:
    """Mean of `value` under the distribution that `cdf` says, both on one grid."""
    return float(np.clip(np.sum((value[1:] + value[:-1]) / 2 * np.diff(cdf)), 0.0, 1.0))


def _beta_grid(shapes: Sequence[tuple[float, float]]) -> FloatArray:
    """Points where any of some Beta distributions has mass, and the ends."""
    pieces = [np.array([0.0, 1.0])]
    for first, second in shapes:
        mean, total = first / (first + second), first + second
        spread = np.sqrt(mean * (1 - mean) / (total + 1))
        pieces.append(np.clip(mean + spread * np.linspace(-9, 12 if mean < 0.5 else 9, GRID), 0, 1))
        pieces.append(np.clip(mean - spread * np.linspace(9, 12, GRID // 10), 0, 1))
    return np.unique(np.concatenate(pieces))
