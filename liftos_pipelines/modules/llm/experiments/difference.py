"""The difference of two arms' means with a standard error that knows the randomised unit and what was known before.

Sources: Liang and Zeger (1986) and Deng, Lu and Litz (2017) for means of calls randomised by unit; Deng, Xu, Kohavi and
Walker (2013), CUPED, and Lin (2013) for the adjustment; Welch (1947) and Satterthwaite (1946) for the degrees of
freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.llm.experiments.units import Units
from liftos_pipelines.stats import FloatArray

WORTH_ADJUSTING = 0.02
"""Share of the variance that covariates must remove; below it the plain difference is reported."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`estimate` is B less `scale` times A; NaN where it cannot be said.

    `effective` is the number of independent calls that know as much: the time of the confidence sequence.
    `variance_removed` is the share of the plain estimate's variance; None where nothing was adjusted for.
    """

    estimate: float
    error: float
    freedom: float
    effective: float
    variance_removed: float | None = None


UNKNOWN = Difference(estimate=float("nan"), error=float("nan"), freedom=float("nan"), effective=0.0)


def difference(units: Units, *, scale: float = 1.0, adjust: bool = True) -> Difference:
    """B's mean less `scale` times A's, over calls, with units as what varies.

    Parameters
    ----------
    scale : of the control; 1.2 asks whether B is more than a fifth higher
    adjust : whether the covariates may be used
    """
    calls = units.calls.sum(axis=0)
    if min(calls) == 0:
        return UNKNOWN
    means = units.sums.sum(axis=0) / calls
    estimate = float(means[1] - scale * means[0])
    if min(units.counts) < 2:
        return Difference(estimate=estimate, error=float("nan"), freedom=float("nan"), effective=0.0)
    weight = np.array([scale, 1.0])
    signed = np.array([-scale, 1.0])
    parts = (units.sums - units.calls * means) / calls * signed
    error, freedom = _error(parts, units)
    # Calls as if each were its own unit: what the design effect compares with.
    spread = np.maximum(units.squares.sum(axis=0) - calls * means**2, 0.0) / np.maximum(calls - 1, 1)
    plain = float(np.sum(weight**2 * spread / calls))
    effective = float(calls.sum() * plain / error**2) if error > 0 else 0.0
    found = Difference(estimate=estimate, error=error, freedom=freedom, effective=effective)
    if not adjust or units.covariates.shape[1] == 0 or not error > 0:
        return found
    return _adjusted(found, parts, units)


def _adjusted(found: Difference, parts: FloatArray, units: Units) -> Difference:
    """Less the chance difference of what was known before; unbiased, since the variant cannot have touched it."""
    inside = units.in_arm
    average = np.array([units.covariates[inside[:, k]].mean(axis=0) for k in (0, 1)])
    gap = average[1] - average[0]
    pieces = [
        np.where(inside[:, [k]], units.covariates - average[k], 0.0) / inside[:, k].sum() * sign
        for k, sign in ((0, -1.0), (1, 1.0))
    ]
    known = pieces[0] + pieces[1]
    slope = np.linalg.lstsq(known, parts.sum(axis=1), rcond=None)[0]
    rest = parts - np.stack([piece @ slope for piece in pieces], axis=1)
    error, freedom = _error(rest, units, lost=known.shape[1])
    removed = 1 - (error / found.error) ** 2
    if not removed >= WORTH_ADJUSTING:
        return Difference(
            estimate=found.estimate,
            error=found.error,
            freedom=found.freedom,
            effective=found.effective,
            variance_removed=0.0,
        )
    return Difference(
        estimate=found.estimate - float(gap @ slope),
        error=error,
        freedom=freedom,
        effective=found.effective,
        variance_removed=float(removed),
    )


def _error(parts: FloatArray, units: Units, lost: int = 0) -> tuple[float, float]:
    """Standard error and degrees of freedom from what each unit adds to the estimate, (n_units, 2) by arm."""
    inside = units.in_arm
    if not (inside[:, 0] & inside[:, 1]).any():
        n = inside.sum(axis=0)
        variance = (parts**2).sum(axis=0) * n / (n - 1)
        total = float(variance.sum())
        if total == 0:
            return 0.0, float("nan")
        total_units = float(n.sum())
        freedom = total**2 / float((variance**2 / (n - 1)).sum()) - lost
        correction = (total_units - 1) / max(total_units - 1 - lost, 1)
        return float(np.sqrt(total * correction)), max(freedom, 1.0)
    n_units = float(inside.any(axis=1).sum())
    if n_units < 3 + lost:
        return float("nan"), float("nan")
    total = float((parts.sum(axis=1) ** 2).sum()) * n_units / (n_units - 1 - lost)
    return float(np.sqrt(total)), n_units - 2 - lost


def design_effect(units: Units, arm: int) -> float:
    """How many correlated calls of one arm know as much as one independent call; at least 1."""
    calls, sums = units.calls[:, arm], units.sums[:, arm]
    n, groups = calls.sum(), int((calls > 0).sum())
    if n == 0 or groups == n or groups < 2:
        return 1.0
    mean = sums.sum() / n
    spread = (units.squares[:, arm].sum() - n * mean**2) / n
    if spread <= 0:
        return 1.0
    clustered = groups / (groups - 1) * float(((sums - mean * calls) ** 2).sum()) / n**2
    return max(1.0, clustered / (spread / n))
