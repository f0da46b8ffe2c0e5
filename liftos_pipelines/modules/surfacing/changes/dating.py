"""When a change began: a posterior over the asking days before an alarm, and whether it was a break or a drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.surfacing.changes.contrast import Spans, Windows
from liftos_pipelines.modules.surfacing.changes.noise import Ints
from liftos_pipelines.stats import FloatArray

LEVEL = 0.9
LOOK_BACK = 14
"""Asking days before the longest recent window that are considered."""
DRIFT_EVIDENCE = 6.0
"""Log-likelihood by which a straight slope must beat a break to be called drift: a break is what is looked for."""


@dataclass(frozen=True, kw_only=True)
class Dating:
    """Positions of the first asking day after the change: most probable, and the 90 % interval.

    `slope_gain` : log-likelihood by which a straight slope fits better than a break (negative: worse).
    """

    best: int
    first: int
    last: int
    slope_gain: float

    @property
    def drifting(self) -> bool:
        return self.slope_gain > DRIFT_EVIDENCE


def date_change(
    contrast: Callable[[Spans], tuple[FloatArray, FloatArray]],
    unit: FloatArray,
    weights: FloatArray,
    end: int,
    windows: Windows,
    starts: Ints,
) -> Dating:
    """Posterior of the change's first day given that there was one, from the contrasts after and before each day.

    Each series' step is normal with a spread estimated from all of them (empirical Bayes), so its marginal
    likelihood at a candidate day has a closed form; candidates are equally probable beforehand.

    Parameters
    ----------
    contrast : differences and variances of `unit` series over spans
    unit, weights : (T, U); `end` : the alarm's day + 1; `starts` : (U,), first usable day of each series
    """
    begin = int(np.median(starts))
    earliest = max(begin + windows.again, end - windows.recent[-1] - max(2, round(LOOK_BACK / windows.gap)))
    candidates = np.arange(min(earliest, end - 1), end)
    spans = Spans(low=np.maximum(candidates - windows.base, 0), middle=candidates, end=np.full(candidates.size, end))
    change, variance = contrast(spans)
    with np.errstate(invalid="ignore"):
        z2 = change**2 / variance
        # Spread of the steps, at the day that fits best without it.
        known = np.isfinite(z2)
        rough = int(np.argmax(np.where(known, z2, 0).sum(axis=1)))
        step = max(float(np.nanmean(change[rough] ** 2 - variance[rough])), 0.05 * float(np.nanmean(variance[rough])))
        total = step + variance
        gain = 0.5 * z2 * step / total - 0.5 * np.log(total / variance)
    log_likelihood = np.where(known, gain, 0).sum(axis=1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    posterior /= posterior.sum()
    order = np.argsort(-posterior)
    inside = order[: int(np.searchsorted(np.cumsum(posterior[order]), LEVEL)) + 1]
    best = int(candidates[order[0]])
    return Dating(
        best=best,
        first=int(candidates[inside].min()),
        last=int(candidates[inside].max()),
        slope_gain=_slope_gain(unit, weights, max(begin, best - windows.base), end),
    )


def _slope_gain(unit: FloatArray, weights: FloatArray, begin: int, end: int) -> float:
    """Log-likelihood of the best straight slope over the span, over that of the best break in it."""
    y, w = unit[begin:end], weights[begin:end]
    if y.shape[0] < 4:
        return -np.inf
    t = np.arange(y.shape[0])
    steps = [np.where(t >= at, 1.0, 0.0) for at in range(2, y.shape[0])]
    slopes = [np.maximum(t - at, 0.0) for at in range(max(1, y.shape[0] * 2 // 3))]
    return _best_fit(slopes, y, w) - _best_fit(steps, y, w)


def _best_fit(shapes: list[FloatArray], y: FloatArray, w: FloatArray) -> float:
    """Largest log-likelihood gain over a constant, of any of the shapes with a free size for each series."""
    total = w.sum(axis=0)
    mean = (y * w).sum(axis=0) / np.maximum(total, 1e-9)
    d = np.where(w > 0, y - mean, 0.0)
    best = 0.0
    for shape in shapes:
        centred = shape[:, None] - (shape[:, None] * w).sum(axis=0) / np.maximum(total, 1e-9)
        size = (centred**2 * w).sum(axis=0)
        gain = (centred * d * w).sum(axis=0) ** 2 / np.maximum(size, 1e-9)
        best = max(best, float(0.5 * gain.sum()))
    return best
