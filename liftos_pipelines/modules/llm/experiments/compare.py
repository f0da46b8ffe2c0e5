"""One metric of two arms: the estimate, what it means, and a sequence that may be looked at every day.

The reported interval is a 90 % fixed-sample one; what is decided rests on an anytime-valid 95 % confidence sequence, so
that looking daily does not raise false positives. Small samples of bounded metrics get a betting sequence, which is
exact; the rest is asymptotic from fifty units an arm on.

Sources: Waudby-Smith et al. (2021) asymptotic confidence sequences; Waudby-Smith and Ramdas (2024) betting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.llm.experiments import posterior
from liftos_pipelines.modules.llm.experiments.adaptive import Randomised, weighted_difference
from liftos_pipelines.modules.llm.experiments.difference import Difference, design_effect, difference
from liftos_pipelines.modules.llm.experiments.measured import Metric
from liftos_pipelines.modules.llm.experiments.units import Units, from_arrays
from liftos_pipelines.stats import FloatArray, always_valid_p, anytime_half_width, betting_interval

Verdict = Literal["better", "worse", "open", "unknown"]

ALPHA = 0.05
"""Chance that a difference is ever found where there is none, per comparison."""
MIN_UNITS = 50
"""Independent units an arm needs before the sequence's normal limit is trusted."""
MIN_EVENTS = 10
"""Events and non-events, over both arms, that a rate needs for the same reason."""
ADAPTIVE_UNITS, ADAPTIVE_EVENTS = 100, 20
"""The same in each arm where shares moved with the results: weights make the limit come later (measured: without it a
rate of .1 is missed by 9.8 % of the sequences, with it by 2 to 3 %)."""
PLANNED_UNITS = 1000.0
BETTING_UNITS = 2000
"""Above so many units in an arm a betting sequence is not asked: the wait is long and the gain small."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B against A on one metric, in the metric's unit; NaN where it cannot be said.

    `verdict` is B's: better or worse by the sequence, open, or unknown with the `reason`.
    `method` names what the sequence rests on: asymptotic, betting, inverse propensity, quantile.
    """

    estimate: float = float("nan")
    posterior: posterior.Posterior = posterior.UNKNOWN
    cs_low: float = float("nan")
    cs_high: float = float("nan")
    p_value: float = float("nan")
    mean_a: float = float("nan")
    mean_b: float = float("nan")
    n_a: int = 0
    n_b: int = 0
    units: int = 0
    units_a: int = 0
    units_b: int = 0
    variance_removed: float | None = None
    covariates: tuple[str, ...] = ()
    method: str = "none"
    verdict: Verdict = "unknown"
    reason: str = ""


def compare(
    a: FloatArray,
    b: FloatArray,
    metric: Metric,
    *,
    clusters_a: NDArray[np.generic] | None = None,
    clusters_b: NDArray[np.generic] | None = None,
    alpha: float = ALPHA,
    planned_units: float = PLANNED_UNITS,
) -> Comparison:
    """Compare two arms' values, (n_a,) and (n_b,); 0 or 1 for a rate.

    Parameters
    ----------
    clusters_a, clusters_b : the unit each value belongs to; values of one unit are not independent
    alpha : error of the anytime-valid sequence
    """
    return compare_units(from_arrays(a, b, clusters_a, clusters_b), metric, alpha=alpha, planned_units=planned_units)


def compare_units(
    units: Units,
    metric: Metric,
    *,
    alpha: float = ALPHA,
    planned_units: float = PLANNED_UNITS,
    region: float | None = None,
    adaptive: Randomised | None = None,
    arms: tuple[int, int] = (0, 1),
) -> Comparison:
    """Compare two arms on a rate or a mean.

    Parameters
    ----------
    units : of both arms
    region : half-width of what counts as equal, in the metric's unit
    adaptive : all units with their propensities, where the shares moved with the results; decides the estimate
    arms : positions of control and other arm in `adaptive`
    """
    found = _described(units)
    if min(units.n_calls) == 0:
        return replace(found, reason=f"no value in {'arm a' if units.n_calls[0] == 0 else 'arm b'}")
    measured = difference(units) if adaptive is None else weighted_difference(adaptive, control=arms[0], other=arms[1])
    found = replace(
        found,
        estimate=measured.estimate,
        variance_removed=measured.variance_removed,
        covariates=units.covariate_names if measured.variance_removed else (),
        posterior=_posterior(units, measured, metric, region, adaptive is not None),
    )
    doubt = distrust(units, metric, adaptive=adaptive is not None)
    if doubt is None and not measured.error > 0:
        doubt = "the metric does not vary" if measured.error == 0 else "too few units for a standard error"
    if doubt is None:
        half = anytime_half_width(measured.error, measured.effective, alpha=alpha, planned_units=planned_units)
        z = measured.estimate / measured.error
        found = replace(
            found,
            cs_low=measured.estimate - half,
            cs_high=measured.estimate + half,
            p_value=always_valid_p(z, measured.effective, alpha=alpha, planned_units=planned_units),
            method="asymptotic" if adaptive is None else "inverse propensity",
        )
    elif metric.bounded and adaptive is None and max(units.counts) <= BETTING_UNITS:
        low, high = bounded_difference(units, alpha=alpha)
        found = replace(found, cs_low=low, cs_high=high, method="betting")
    return _judged(found, metric, doubt)


def distrust(units: Units, metric: Metric, *, adaptive: bool = False) -> str | None:
    """Why the normal limit is not to be trusted yet; None where it is."""
    needed = ADAPTIVE_UNITS if adaptive else MIN_UNITS
    if min(units.counts) < needed:
        return f"{min(units.counts)} units in an arm, {needed} needed"
    if metric.kind == "rate" and adaptive:
        events, calls = units.sums.sum(axis=0), units.calls.sum(axis=0)
        if min(events.min(), (calls - events).min()) < ADAPTIVE_EVENTS:
            return f"fewer than {ADAPTIVE_EVENTS} events or non-events in an arm"
    elif metric.kind == "rate":
        events = float(units.sums.sum())
        if min(events, sum(units.n_calls) - events) < MIN_EVENTS:
            return f"fewer than {MIN_EVENTS} events or non-events"
    return None


def bounded_difference(units: Units, *, alpha: float, scale: float = 1.0) -> tuple[float, float]:
    """Bounds of B less `scale` times A, each unit counting once, by a betting sequence an arm."""
    bounds = []
    for arm in (0, 1):
        inside = units.in_arm[:, arm]
        bounds.append(betting_interval(units.sums[inside, arm] / units.calls[inside, arm], alpha=alpha / 2))
    (low_a, high_a), (low_b, high_b) = bounds
    return (low_b - scale * high_a, high_b - scale * low_a)


def _described(units: Units) -> Comparison:
    mean_a, mean_b = units.means if min(units.n_calls) else (float("nan"), float("nan"))
    return Comparison(
        mean_a=mean_a,
        mean_b=mean_b,
        n_a=units.n_calls[0],
        n_b=units.n_calls[1],
        units=int(units.in_arm.any(axis=1).sum()),
        units_a=units.counts[0],
        units_b=units.counts[1],
    )


def _posterior(
    units: Units, measured: Difference, metric: Metric, region: float | None, adaptive: bool
) -> posterior.Posterior:
    """By counts for a plain rate; adjusted or weighted estimates have no counts and go by Student's t."""
    if metric.kind == "rate" and not measured.variance_removed and not adaptive:
        effects = [design_effect(units, arm) for arm in (0, 1)]
        (hits_a, hits_b), (n_a, n_b) = units.sums.sum(axis=0) / effects, units.calls.sum(axis=0) / effects
        return posterior.of_rates(hits_a, n_a, hits_b, n_b, sign=metric.sign, region=region)
    return posterior.of_difference(measured.estimate, measured.error, measured.freedom, sign=metric.sign, region=region)


def _judged(found: Comparison, metric: Metric, doubt: str | None) -> Comparison:
    low, high = sorted((metric.sign * found.cs_low, metric.sign * found.cs_high))
    if low > 0:
        return replace(found, verdict="better", reason="B is better: the confidence sequence leaves zero out")
    if high < 0:
        return replace(found, verdict="worse", reason="B is worse: the confidence sequence leaves zero out")
    if doubt is not None:
        return replace(found, verdict="unknown", reason=doubt)
    return replace(found, verdict="open", reason="the confidence sequence still holds zero")
