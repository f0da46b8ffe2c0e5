"""What was measured, and how sure it is: one measurement, its interval, and the probability that a promise holds.

Everything here is a function of numbers that `eval/trust_scores` stores in the row (kind, value, counters,
standard error, degrees of freedom, design effect), so that a verdict can be recomputed from the row alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FORMULA_VERSION = "trust-1"
"""Changes whenever a number here would come out differently from the same counters."""

LEVEL = 0.9
PRIOR = 0.5  # Jeffreys' Beta(1/2, 1/2) for a rate: intervals close to nominal coverage (Brown et al. 2001)

Kind = Literal["rate", "mean", "quantile", "fact", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value with what its uncertainty is made of.

    `rate`: `successes` of `trials`, thinned by `design_effect` (1 = independent). `mean`: `std_error` with
    `dof`. `quantile`: `level` of the distribution; `successes` of `trials` lie on the promised side. `fact`:
    known without error (an age, a verified ledger). `unknown`: `reason` says why.
    """

    kind: Kind
    value: float | None = None
    successes: float | None = None
    trials: float | None = None
    design_effect: float | None = None
    std_error: float | None = None
    dof: float | None = None
    level: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    newest: datetime | None = None
    reason: str = ""


def unknown(reason: str, *, n: int = 0, newest: datetime | None = None) -> Measurement:
    """Not measured, and why."""
    return Measurement(kind="unknown", reason=reason, n=n, newest=newest)


def fact(value: float, *, n: int, newest: datetime | None = None, reason: str = "") -> Measurement:
    """Something known without sampling error."""
    return Measurement(kind="fact", value=value, n=n, newest=newest, reason=reason)


def rate(
    hits: NDArray[np.bool_], clusters: NDArray[np.generic] | None, *, newest: datetime | None = None
) -> Measurement:
    """Share of hits among rows that may hang together within clusters (a day, a run, a prompt).

    Parameters
    ----------
    hits : (n,) bool
    clusters : (n,) the cluster of each row; None when rows are independent
    """
    n = int(hits.size)
    if n == 0:
        return unknown("no observation in the window", newest=newest)
    share = float(hits.mean())
    effect = 1.0
    if clusters is not None and 0 < share < 1:
        error = _cluster_error(hits.astype(float), clusters)[0]
        if np.isfinite(error):
            effect = max(1.0, error**2 / (share * (1 - share) / n))
    measured = Measurement(
        kind="rate", value=share, successes=float(hits.sum()), trials=float(n), design_effect=effect, n=n, newest=newest
    )
    low, high = (float(bound) for bound in _beta(measured).interval(LEVEL))
    return replace(measured, low=low, high=high)


def mean(
    values: NDArray[np.float64], clusters: NDArray[np.generic] | None, *, newest: datetime | None = None
) -> Measurement:
    """Mean with a standard error that lets rows of one cluster hang together; Student's t over clusters.

    Source: Cameron and Miller (2015), A practitioner's guide to cluster-robust inference.
    """
    n = int(values.size)
    if n == 0:
        return unknown("no observation in the window", newest=newest)
    groups = np.arange(n) if clusters is None else clusters
    error, dof = _cluster_error(values, groups)
    value = float(values.mean())
    if not np.isfinite(error) or error == 0.0:
        why = "one cluster only: its spread cannot be measured" if not np.isfinite(error) else "no variation"
        return Measurement(kind="mean", value=value, n=n, newest=newest, reason=why)
    return estimate(value, error, dof=dof, n=n, newest=newest)


def estimate(
    value: float,
    std_error: float,
    *,
    n: int,
    dof: float | None = None,
    newest: datetime | None = None,
    reason: str = "",
) -> Measurement:
    """A value that comes with its standard error; normal unless `dof` is given."""
    half = std_error * float(stats.t.ppf(0.5 + LEVEL / 2, dof) if dof else stats.norm.ppf(0.5 + LEVEL / 2))
    return Measurement(
        kind="mean", value=value, std_error=std_error, dof=dof, low=value - half, high=value + half, n=n,
        newest=newest, reason=reason,
    )  # fmt: skip


def quantile(
    values: NDArray[np.float64],
    clusters: NDArray[np.generic] | None,
    *,
    level: float,
    threshold: float,
    newest: datetime | None = None,
) -> Measurement:
    """A quantile of the values, judged by the share of them at or below the threshold.

    "The 95th percentile is at most T" says the same as "at least 95 % are at most T", which is a rate: exact
    at any distribution, and no density has to be estimated. The interval is by order statistics.
    """
    n = int(values.size)
    if n == 0:
        return unknown("no observation in the window", newest=newest)
    within = rate(values <= threshold, clusters)
    effective = n / (within.design_effect or 1.0)
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * np.sqrt(level * (1 - level) / effective)
    low, high = np.quantile(values, [max(0.0, level - half), min(1.0, level + half)])
    return replace(
        within, kind="quantile", value=float(np.quantile(values, level)), level=level, low=float(low),
        high=float(high), newest=newest,
    )  # fmt: skip


def probability_met(measured: Measurement, direction: str, threshold: float) -> float | None:
    """Posterior probability that the promise holds, or None where nothing supports one.

    Rates: Beta posterior from Jeffreys' prior and counters thinned by the design effect. Means: Student's t
    (normal without `dof`). Facts: 1 or 0. A value without a measured spread has no probability.
    """
    if measured.kind == "unknown" or measured.value is None:
        return None
    at_least = direction == "at_least"
    if measured.kind == "fact":
        return float(measured.value >= threshold if at_least else measured.value <= threshold)
    if measured.kind == "rate":
        posterior = _beta(measured)
        return float(posterior.sf(threshold) if at_least else posterior.cdf(threshold))
    if measured.kind == "quantile":
        within = float(_beta(measured).sf(measured.level))
        return 1 - within if at_least else within
    if not measured.std_error:
        return None
    z = (measured.value - threshold) / measured.std_error * (1 if at_least else -1)
    return float(stats.t.cdf(z, measured.dof) if measured.dof else stats.norm.cdf(z))


def _beta(measured: Measurement) -> stats.distributions.rv_frozen:
    assert measured.successes is not None
    assert measured.trials is not None
    thin = measured.design_effect or 1.0
    return stats.beta(PRIOR + measured.successes / thin, PRIOR + (measured.trials - measured.successes) / thin)


def _cluster_error(values: NDArray[np.float64], clusters: NDArray[np.generic]) -> tuple[float, float]:
    """Cluster-robust standard error of a mean and its degrees of freedom; nan with a single cluster."""
    _, codes = np.unique(clusters, return_inverse=True)
    groups = int(codes.max()) + 1
    if groups < 2:
        return float("nan"), 0.0
    sums = np.bincount(codes, weights=values - values.mean(), minlength=groups)
    return float(np.sqrt(groups / (groups - 1) * np.sum(sums**2)) / values.size), float(groups - 1)
