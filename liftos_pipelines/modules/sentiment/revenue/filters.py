"""What is taken out of a series before it is compared: trend, season, drivers, own past, a single week's outlier.

All functions take many series of one calendar at once, (n_series, n_periods), and a mask of the periods that are known.
An unknown period is drawn in a straight line between its neighbours where it serves as another's past; it is never
compared with anything itself (its innovation is zero).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from liftos_pipelines.modules.sentiment.revenue.series import YEAR_DAYS, Array, Mask

BURN = 60
EPISODE, OUTLIER = 4.0, 3.0
"""Levels and innovations beyond this many robust standard deviations are cut back: one week must not make a link."""


def calendar(n: int, step: int) -> Array:
    """(n, k): constant, a smooth trend (a degree more each year, 2 to 5), two harmonics of the year (from 1.5 years
    on) and, if daily, the weekday."""
    time = np.arange(n, dtype=float)
    years = n * step / YEAR_DAYS
    degree = int(np.clip(1 + years, 2, 5))
    columns = [np.polynomial.legendre.legvander(2 * time / max(n - 1, 1) - 1, degree)]
    if years >= 1.5:
        columns.append(
            np.stack(
                [f(2 * np.pi * k * time * step / YEAR_DAYS) for k in (1, 2) for f in (np.sin, np.cos)], axis=1
            )
        )  # fmt: skip
    if step == 1:
        columns.append((time[:, None] % 7 == np.arange(6)).astype(float))
    return np.concatenate(columns, axis=1)


def standardised(block: Array, known: Mask) -> Array:
    """Columns with mean 0 and spread 1 over the known periods; constant ones are dropped, unknown rows zero."""
    if not block.size:
        return np.empty((block.shape[0], 0))
    inside = block[known]
    spread = inside.std(axis=0)
    keep = spread > 1e-12
    scaled = (block[:, keep] - inside[:, keep].mean(axis=0)) / spread[keep]
    return np.where(known[:, None], scaled, 0.0)


def residual_maker(design: Array, known: Mask) -> Array:
    """(n, n) matrix that takes out what `design` explains over the known periods, and bridges the unknown ones."""
    rows = np.where(known[:, None], design, 0.0)
    return bridge(known) @ (np.diag(known.astype(float)) - rows @ np.linalg.pinv(rows, rcond=1e-9))


def bridge(known: Mask) -> Array:
    """(n, n) matrix that leaves known periods as they are and interpolates the others."""
    at, held = np.arange(known.size), np.flatnonzero(known)
    columns = np.zeros((known.size, known.size))
    for place, unit in zip(held, np.eye(held.size), strict=True):
        columns[:, place] = np.interp(at, held, unit)
    return columns


def orders(step: int) -> int:
    """Longest own memory looked for: four periods, or a week of days."""
    return 7 if step == 1 else 4


def autoregression(series: Array, known: Mask, longest: int) -> tuple[Array, Array, Mask]:
    """Autoregressions whose orders (0 to `longest`) BIC chooses.

    Returns
    -------
    (n_series, longest) weights, zero beyond the order; (n_series, n_periods) innovations; (n_periods,) where they exist
    """
    s, n = series.shape
    usable = known.copy()
    usable[:longest] = False
    rows = np.flatnonzero(usable)
    past = np.stack([np.ones((s, rows.size)), *(series[:, rows - k] for k in range(1, longest + 1))], axis=2)
    target = series[:, rows]
    gram = past.transpose(0, 2, 1) @ past
    gram[:, np.arange(1, longest + 1), np.arange(1, longest + 1)] *= 1 + 1e-9
    moments = (past.transpose(0, 2, 1) @ target[:, :, None])[:, :, 0]
    total = (target**2).sum(axis=1)
    found = np.zeros((longest + 1, s, longest + 1))
    score = np.empty((longest + 1, s))
    floor = 1e-12 * np.maximum(total, 1e-12)
    for order in range(longest + 1):
        k = order + 1
        weights = np.linalg.solve(gram[:, :k, :k] + 1e-12 * np.eye(k), moments[:, :k, None])[:, :, 0]
        found[order, :, :k] = weights
        left = np.maximum(total - (weights * moments[:, :k]).sum(axis=1), floor)
        score[order] = rows.size * np.log(left) + k * np.log(rows.size)
    best = found[score.argmin(axis=0), np.arange(s)]
    innovations = np.zeros((s, n))
    innovations[:, rows] = target - (past @ best[:, :, None])[:, :, 0]
    return best[:, 1:], innovations, usable


def cleaned(series: Array, known: Mask, maker: Array, longest: int) -> Array:
    """One series with outlying periods cut back: levels beyond four robust standard deviations of the adjusted series
    (an episode of some weeks), then single innovations beyond three."""
    result = series.copy()
    for _ in range(3):  # a deep episode bends the season fitted beside it, so it is looked at again once cut
        adjusted = maker @ np.where(known, result, 0.0)
        result = np.where(known, result - _excess(adjusted, known, EPISODE), result)
    for _ in range(2):
        _, innovations, usable = autoregression((maker @ np.where(known, result, 0.0))[None], known, longest)
        result = np.where(usable, result - _excess(innovations[0], usable, OUTLIER), result)
    return result


def _excess(values: Array, known: Mask, most: float) -> Array:
    """What lies beyond so many robust standard deviations; nothing where most values are the same."""
    inside = values[known]
    scale = 1.4826 * float(np.median(np.abs(inside - np.median(inside)))) if inside.size else 0.0
    return values - np.clip(values, -most * scale, most * scale) if scale > 0 else np.zeros_like(values)


def surrogates(series: Array, known: Mask, maker: Array, longest: int, count: int, rng: np.random.Generator) -> Array:
    """Adjusted series that are like `series` and have nothing to do with anything, (count, n_periods).

    Its autoregression is run with its innovations drawn at random, and the result goes through the same adjustment, so
    that what that does to short and persistent series is in the reference too.
    Source: Buehlmann (1997), Sieve bootstrap for time series.
    """
    weights, innovations, usable = autoregression(series[None], known, longest)
    pool = innovations[0][usable]
    shocks = rng.choice(pool - pool.mean(), size=(count, known.size + BURN))
    root = np.abs(np.roots(np.concatenate(([1.0], -weights[0])))).max(initial=0.0)
    # A root on or beyond the unit circle would not come back; it is drawn in to where the series stays bounded.
    damped = weights[0] * (min(1.0, 0.99 / root) if root > 0 else 1.0) ** np.arange(1, longest + 1)
    drawn: Array = lfilter([1.0], np.concatenate(([1.0], -damped)), shocks, axis=1)[:, BURN:]
    return np.where(known, drawn, 0.0) @ maker.T
