"""Rung 1, description: prewhitened cross-correlation at every lag, its largest against unrelated series.

Two series that each drift and persist correlate by chance. So both are rid of trend, season and known drivers, then of
their own past, and only then compared (Haugh 1976, Checking the independence of two covariance-stationary time series).
If sentiment does not come first, innovations of sentiment are unrelated to later innovations of the outcome even where
the outcome moves sentiment (Pierce and Haugh 1977), so each side of lag 0 can be read by itself.

One episode must not make a link (an outage that people complain about is one observation, however deep). What is tested
is therefore the correlation that is left whichever month is left out; unrelated series go through the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.sentiment.revenue.filters import (
    autoregression,
    bridge,
    calendar,
    cleaned,
    orders,
    residual_maker,
    standardised,
    surrogates,
)
from liftos_pipelines.modules.sentiment.revenue.series import Array, LinkSeries, Mask
from liftos_pipelines.modules.sentiment.revenue.settings import ALPHA, LEVEL, LinkSettings


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Series rid of outliers, trend, season and drivers; surrogates of sentiment; lags.

    `outcome` is cleaned but not adjusted (prediction takes trend and drivers out as it goes); `adjusted_*` are.
    """

    known: Mask
    step: int
    lags: tuple[int, ...]
    design: Array
    maker: Array
    sentiment: Array
    outcome: Array
    adjusted_sentiment: Array
    adjusted_outcome: Array
    unrelated_sentiment: Array
    unrelated_outcome: Array


@dataclass(frozen=True, kw_only=True)
class Correlations:
    """Per lag (positive: sentiment first): correlation, what is left of it without the month that matters most, 90 %
    interval, p-value of what is left for the largest of all lags."""

    lags: tuple[int, ...]
    estimate: Array
    steady: Array
    low: Array
    high: Array
    p_value: Array
    band: float
    """What `steady` stays below at every lag in 95 % of unrelated series."""
    ratio: float
    """Spread of the outcome's innovations over that of sentiment's: correlation to slope."""


def prepare(series: LinkSeries, settings: LinkSettings) -> Prepared:
    """Take out what is not to be compared, and draw the surrogates that every rung shares."""
    known, step = series.known, series.step
    design = np.concatenate([calendar(known.size, step), standardised(series.drivers, known)], axis=1)
    maker, longest = residual_maker(design, known), orders(step)
    filled = [np.where(known, values, 0.0) for values in (series.sentiment, series.outcome)]
    sentiment, outcome = (cleaned(values, known, maker, longest) for values in filled)
    adjusted = [maker @ sentiment, maker @ outcome]
    rng = np.random.default_rng(settings.seed)
    reach = settings.lag(step)
    return Prepared(
        known=known,
        step=step,
        lags=tuple(range(-reach, reach + 1)),
        design=design,
        maker=maker,
        sentiment=bridge(known) @ sentiment,
        outcome=bridge(known) @ outcome,
        adjusted_sentiment=adjusted[0],
        adjusted_outcome=adjusted[1],
        unrelated_sentiment=surrogates(adjusted[0], known, maker, longest, settings.surrogates, rng),
        unrelated_outcome=surrogates(adjusted[1], known, maker, longest, settings.surrogates, rng),
    )


def correlations(prepared: Prepared, settings: LinkSettings, *, intervals: bool = True) -> Correlations:
    """Rung 1 on prepared series; without intervals for simulations."""
    longest = orders(prepared.step)
    both = np.stack([prepared.adjusted_sentiment, prepared.adjusted_outcome])
    _, (u, v), usable = autoregression(both, prepared.known, longest)
    _, others, _ = autoregression(prepared.unrelated_sentiment, prepared.known, longest)
    observed = cross_correlation(u[None], v[None], prepared.lags)[0]
    width = settings.window(prepared.step) + 1
    steady = steady_correlation(u[None], v[None], prepared.lags, width)[0]
    largest = np.abs(steady_correlation(others, v[None], prepared.lags, width)).max(axis=1)
    p = (1 + (largest[None, :] >= np.abs(steady)[:, None] - 1e-12).sum(axis=1)) / (1 + largest.size)
    low, high = np.full((2, observed.size), np.nan)
    if intervals:
        rng = np.random.default_rng(settings.seed + 1)
        pairs = [_interval(u, v, usable, lag, settings, rng) for lag in prepared.lags]
        low, high = np.array(pairs).T
    return Correlations(
        lags=prepared.lags,
        estimate=observed,
        steady=steady,
        low=low,
        high=high,
        p_value=p,
        band=float(np.quantile(largest, 1 - ALPHA)),
        ratio=float(v[usable].std() / max(u[usable].std(), 1e-12)),
    )


def cross_correlation(u: Array, v: Array, lags: tuple[int, ...]) -> Array:
    """(n_series, n_lags) correlation of u at t with v at t + lag; innovations of mean zero, zero where unknown."""
    n = u.shape[1]
    scale = np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1))
    products = [
        (u[:, : n - lag] * v[:, lag:]).sum(axis=1) if lag >= 0 else (u[:, -lag:] * v[:, : n + lag]).sum(axis=1)
        for lag in lags
    ]
    return np.stack(products, axis=1) / np.maximum(scale, 1e-300)[:, None]


def steady_correlation(u: Array, v: Array, lags: tuple[int, ...], width: int) -> Array:
    """(n_series, n_lags) weakest correlation when any `width` consecutive periods are left out; 0 if its sign turns.

    Lags are at most `width` long. One of u and v may hold a single series.
    """
    n, step = u.shape[1], max(1, width // 2)
    starts = np.append(np.arange(0, n - width, step), n - width)
    spare = [_without(values**2, starts, starts + width) for values in (u, v)]
    scale = np.sqrt(np.maximum(spare[0] * spare[1], 1e-300))
    weakest = []
    for lag in lags:
        reach = abs(lag)
        products = u[:, : n - lag] * v[:, lag:] if lag >= 0 else u[:, reach:] * v[:, : n - reach]
        # A product of periods t and t + reach goes when either is left out.
        left = _without(products, np.maximum(starts - reach, 0), np.minimum(starts + width, n - reach)) / scale
        sign = np.sign(left[:, :1])
        weakest.append(sign[:, 0] * np.maximum((left * sign).min(axis=1), 0.0))
    return np.stack(weakest, axis=1)


def _without(values: Array, first: NDArray[np.int64], last: NDArray[np.int64]) -> Array:
    """(n_series, n_windows) totals without the periods from `first` to before `last`."""
    sums = np.concatenate((np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)), axis=1)
    return np.asarray(sums[:, -1:] - (sums[:, last] - sums[:, first]))


def smallest_visible(n: int, comparisons: int, *, power: float = 0.8) -> float:
    """Smallest correlation seen with this power at 5 % over all lags, Bonferroni (Fisher's z); 1 when none is."""
    if n <= 4:
        return 1.0
    z = stats.norm.ppf(1 - ALPHA / (2 * comparisons)) + stats.norm.ppf(power)
    return float(np.tanh(z / np.sqrt(n - 3)))


def power_curve(prepared: Prepared, found: Correlations, settings: LinkSettings) -> tuple[Array, Array]:
    """Chance of rung 1 to see a link of each size, put into this very outcome.

    Unrelated sentiment is added to the outcome one period late, as it is and times a slope, and looked for in the sum.

    Returns
    -------
    (n_sizes,) correlations of the innovations; (n_sizes,) share of worlds in which the right lag is significant
    """
    longest = orders(prepared.step)
    drawn = prepared.unrelated_sentiment[: settings.power_worlds]
    moved = np.concatenate((np.zeros((drawn.shape[0], 1)), drawn[:, :-1]), axis=1)
    _, u, _ = autoregression(drawn, prepared.known, longest)
    sizes = np.array([0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75])
    seen = []
    for size in sizes:
        slope = size / np.sqrt(1 - size**2) * found.ratio
        outcome = np.where(prepared.known, prepared.adjusted_outcome + slope * moved, 0.0) @ prepared.maker.T
        _, v, _ = autoregression(outcome, prepared.known, longest)
        left = steady_correlation(u, v, (1,), settings.window(prepared.step) + 1)
        seen.append(float(np.mean(np.abs(left[:, 0]) > found.band)))
    return sizes, np.maximum.accumulate(seen)


def visible_by_simulation(sizes: Array, seen: Array, power: float = 0.8) -> float:
    """Smallest correlation seen with this power, between the sizes tried; 1 when none is."""
    if seen.max() < power:
        return 1.0
    return float(np.interp(power, np.concatenate(([0.0], seen)), np.concatenate(([0.0], sizes))))


def _interval(
    u: Array, v: Array, usable: Mask, lag: int, settings: LinkSettings, rng: np.random.Generator
) -> tuple[float, float]:
    """90 % percentile interval from blocks of consecutive pairs, drawn with replacement (Kuensch 1989)."""
    n = u.size
    a, b = (u[: n - lag], v[lag:]) if lag >= 0 else (u[-lag:], v[: n + lag])
    both = (usable[: n - lag] & usable[lag:]) if lag >= 0 else (usable[-lag:] & usable[: n + lag])
    a, b = a[both], b[both]
    block = min(settings.block, a.size)
    starts = rng.integers(0, a.size - block + 1, size=(settings.replicates, -(-a.size // block)))
    at = (starts[:, :, None] + np.arange(block)).reshape(settings.replicates, -1)[:, : a.size]
    x, y = a[at], b[at]
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    draws = (x * y).sum(axis=1) / np.maximum(scale, 1e-300)
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
