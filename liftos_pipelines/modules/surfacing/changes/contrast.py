"""Recent days against the days before them: windows of several lengths, and the variance of such contrasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.surfacing.changes.noise import PERSISTENCE, Ints
from liftos_pipelines.stats import FloatArray

RECENT_DAYS = (3, 7, 14, 28)
"""Lengths of the recent window: short ones see big changes soon, long ones small changes later."""
BASE_DAYS = 56
MIN_BASE = 14
"""Fewest asking days of history before the first test of a daily panel."""
MIN_BASE_SPARSE = 10
MIN_RECENT_SPARSE = 2
"""A single asking that looks odd may be a collection that went wrong."""
MIN_BASE_AGAIN = 7
"""Fewest asking days after a change before the next can be looked for."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Lengths in asking days, for a panel asked every `gap` days."""

    recent: tuple[int, ...]
    base: int
    minimum: int
    again: int
    gap: float

    @property
    def first(self) -> int:
        """Asking days needed before anything can be tested."""
        return self.minimum + self.recent[0]


def windows_for(median_gap_days: float) -> Windows:
    """3, 5, 10 and 21 days against the 56 before them; the same spans in fewer askings for sparser panels."""
    gap = max(median_gap_days, 1.0)
    least = RECENT_DAYS[0] if gap < 1.5 else MIN_RECENT_SPARSE
    recent = sorted({max(least, round(days / gap)) for days in RECENT_DAYS})
    base = max(MIN_BASE_SPARSE, round(BASE_DAYS / gap))
    minimum = min(base, MIN_BASE if gap < 1.5 else MIN_BASE_SPARSE)
    return Windows(recent=tuple(recent), base=base, minimum=minimum, again=min(minimum, MIN_BASE_AGAIN), gap=gap)


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Contrasts as positions: base [low, middle), recent [middle, end), (M,) each."""

    low: Ints
    middle: Ints
    end: Ints


def spans_at(end: Ints, recent: int, base: int, start: int = 0) -> Spans:
    """The contrast of each end, with nothing before `start`."""
    middle = end - recent
    return Spans(low=np.maximum(middle - base, start), middle=middle, end=end)


def carried_variance(days: Ints, answers: FloatArray, gap: float, spans: Spans) -> FloatArray:
    """Variance of each contrast of a unit AR(1), (len(PERSISTENCE), M), by the days' true distances and weights.

    Equal patterns of distances and weights are worked out once: a panel asked regularly has few.
    """
    if not spans.end.size:
        return np.empty((PERSISTENCE.size, 0))
    longest = int((spans.end - spans.low).max())
    at = spans.end[:, None] - longest + np.arange(longest)
    inside, late = at >= spans.low[:, None], at >= spans.middle[:, None]
    at = np.maximum(at, 0)
    weight = np.where(inside, answers[at], 0.0)
    recent = np.where(late, weight, 0.0)
    older = weight - recent
    c = recent / recent.sum(axis=1, keepdims=True) - older / older.sum(axis=1, keepdims=True)
    position = np.where(inside, days[at] - days[spans.end - 1][:, None], 0) / gap
    pattern = np.round(np.concatenate([c, position], axis=1), 6)
    unique, back = np.unique(pattern, axis=0, return_inverse=True)
    c, position = unique[:, :longest], unique[:, longest:]
    result = np.empty((PERSISTENCE.size, unique.shape[0]))
    for first in range(0, unique.shape[0], 200):
        part = slice(first, first + 200)
        apart = np.abs(position[part, :, None] - position[part, None, :])
        for r, rho in enumerate(PERSISTENCE):
            result[r, part] = np.einsum("ms,msr,mr->m", c[part], rho**apart, c[part], optimize=True)
    return result[:, back.reshape(-1)]


def contrasts(sums: FloatArray, counts: FloatArray, spans: Spans) -> tuple[FloatArray, FloatArray]:
    """Differences of weighted means (..., M, U), and the variance of white noise in them (M, U).

    `sums` : (..., T + 1, U), running sums of value x weight; `counts` : (T + 1, U), of the weights.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        n_recent = counts[spans.end] - counts[spans.middle]
        n_base = counts[spans.middle] - counts[spans.low]
        to_recent, to_base = 1 / n_recent, 1 / n_base
    middle = sums[..., spans.middle, :]
    change = (sums[..., spans.end, :] - middle) * to_recent - (middle - sums[..., spans.low, :]) * to_base
    return change, to_recent + to_base


def running(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Running sums of value x weight and of the weights, with a leading zero."""
    total = np.zeros((*values.shape[:-2], values.shape[-2] + 1, values.shape[-1]), dtype=values.dtype)
    np.cumsum(values * weights.astype(values.dtype), axis=-2, out=total[..., 1:, :])
    counts = np.concatenate([np.zeros((1, weights.shape[-1])), np.cumsum(weights, axis=0)])
    return total, counts.astype(values.dtype)
