"""Weekdays and holidays taken out of daily series, so that a usual Sunday is no drop.

A step's season term is the mean, over earlier steps of the same weekday, of its distance from the level around it. Each
distance is kept within robust bounds, so that one outlier or a shift of level does not make a pattern; and the
terms are shrunk by how much of their spread chance alone explains, so that a series without a pattern is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CYCLES = 16
"""Earlier cycles (weeks) that a term is the mean of."""
FIRST_CYCLES = 4
"""Cycles at the start that serve until there are later ones: they lie before the first step judged."""
BOUND = 2.5
"""Robust standard deviations at which a distance from the level around it is cut."""


def seasonal_terms(y: Array, *, period: int, gap: int) -> Array:
    """What each step is above or below its level for being that step of the cycle.

    Parameters
    ----------
    y : (rows, steps), NaN where nothing was observed
    period : steps of a cycle, 7 for days of the week
    gap : a term rests on steps at least so much earlier; only the first `FIRST_CYCLES` cycles use their own steps

    Returns
    -------
    (rows, steps), 0 where too little was seen. Shrinkage: the moment estimate of Efron and Morris (1975).
    """
    steps = y.shape[1]
    if period < 2 or steps < FIRST_CYCLES * period:
        return np.zeros_like(y)
    apart = y - _around(y, period)
    scale = _robust_scale(apart[:, : CYCLES * period])
    seen = np.isfinite(apart)
    kept = np.where(seen, np.clip(apart, -BOUND * scale[:, None], BOUND * scale[:, None]), 0.0)
    # Sums over the same step of earlier cycles: position t holds all of t, t - period, t - 2 period, ...
    sums, squares, counts = (_every(part, period) for part in (kept, kept**2, seen.astype(float)))
    lag = -(-(gap + 1) // period) * period
    place = np.arange(steps)
    last, start = place - lag, place - lag - CYCLES * period
    early = place < (FIRST_CYCLES - 1) * period + lag
    last = np.where(early, (FIRST_CYCLES - 1) * period + place % period, last)
    start = np.where(early, -1, start)

    def window(total: Array) -> Array:
        upto = total[:, last]
        return upto - np.where(start >= 0, total[:, np.maximum(start, 0)], 0.0)

    n = window(counts)
    mean = window(sums) / np.maximum(n, 1)
    spread = np.maximum(window(squares) / np.maximum(n, 1) - mean**2, 0.0) * n / np.maximum(n - 1, 1)
    # Chance alone spreads the cycle's means by (variance within) / n: what they spread more is the pattern.
    chance = np.where(n > 1, spread / np.maximum(n, 1), 0.0)
    share = 1 - _over_cycle(chance, period) / np.maximum(_over_cycle(mean**2, period), 1e-12)
    return np.where(n > 1, np.clip(share, 0.0, 1.0) * mean, 0.0)


def holiday_mask(first: date, steps: int, holidays: Iterable[date]) -> NDArray[np.bool_]:
    """(steps,) true on the days named as holidays, of a series of consecutive days from `first`."""
    named = frozenset(holidays)
    return np.array([first + timedelta(days=day) in named for day in range(steps)], dtype=bool)


def _around(y: Array, period: int) -> Array:
    """Mean of the whole cycle around each step, which holds every step of the cycle once."""
    half = period // 2
    seen = np.isfinite(y)
    total = np.concatenate((np.zeros((len(y), 1)), np.cumsum(np.where(seen, y, 0.0), axis=1)), axis=1)
    count = np.concatenate((np.zeros((len(y), 1)), np.cumsum(seen, axis=1)), axis=1)
    place = np.arange(y.shape[1])
    # At the ends the nearest whole cycle serves.
    low = np.clip(place - half, 0, max(y.shape[1] - period, 0))
    high = np.minimum(low + period, y.shape[1])
    n = count[:, high] - count[:, low]
    return np.where(n >= max(2, period // 2), (total[:, high] - total[:, low]) / np.maximum(n, 1), np.nan)


def _robust_scale(apart: Array) -> Array:
    """1.4826 times the median absolute value of each row; infinite where nothing was seen."""
    size = np.sort(np.abs(apart), axis=1)  # NaN go last
    n = np.isfinite(size).sum(axis=1)
    middle = size[np.arange(len(size)), np.maximum(n // 2, 0).clip(max=size.shape[1] - 1)]
    return np.where(n > 0, 1.4826 * np.nan_to_num(middle), np.inf)


def _every(values: Array, period: int) -> Array:
    """Running sums along each step of the cycle."""
    out = values.copy()
    for start in range(period):
        np.cumsum(values[:, start::period], axis=1, out=out[:, start::period])
    return out


def _over_cycle(values: Array, period: int) -> Array:
    """Mean over the steps of the cycle that ends at each step (of the first whole cycle, before there is one)."""
    total = np.concatenate((np.zeros((len(values), 1)), np.cumsum(values, axis=1)), axis=1)
    high = np.maximum(np.arange(values.shape[1]) + 1, period)
    return (total[:, high] - total[:, high - period]) / period
