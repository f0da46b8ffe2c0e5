"""Does sentiment go with the outcome, and with what delay? A description, not a cause.

Two series that each drift and persist correlate by chance. So both are rid of trend and season, prewhitened by their
own autoregression, and only then compared at every lag (Haugh 1976); the p-value is for the largest of all lags.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from liftos_pipelines.tables import ALL, table

Array = NDArray[np.float64]

_Row = tuple[int, float | None, float | None, float | None, float | None, str]
"""Lag in days, estimate, low, high, p-value, verdict."""

STATISTIC = "prewhitened cross-correlation"
ALPHA = 0.05
MIN_PERIODS = 40
MAX_ORDER = 4
VISIBLE = 0.5
"""When correlations below this cannot be seen at 80 % power, the data are called not enough."""


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Lags in periods (positive: sentiment moves first); number of surrogate series and bootstrap draws; block."""

    lags: tuple[int, ...] = (-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6)
    surrogates: int = 999
    replicates: int = 500
    block: int = 4
    seed: int = 11


def revenue_link(index: pl.DataFrame, outcome: pl.DataFrame, settings: LinkSettings | None = None) -> pl.DataFrame:
    """Cross-correlation of the client's net sentiment with its outcome, per lag.

    Parameters
    ----------
    index : `sentiment/daily_index`; the total over campaigns and sources is used, averaged over each outcome period
    outcome : `sources/marketing_outcome`; geos are summed

    Returns
    -------
    contract columns of `sentiment/revenue_link`, one row a lag, and `n_periods`, `smallest_visible`. p-values are for
    the largest of all lags, against surrogate series (see `surrogate`); intervals come from a block bootstrap of pairs.
    With too few periods the one row at lag 0 has nulls and says so.
    """
    settings = settings or LinkSettings()
    sentiment, totals, step = align(index, outcome)
    n = sentiment.size
    longest = max(abs(lag) for lag in settings.lags)
    visible = smallest_visible(n, len(settings.lags))
    if n < max(MIN_PERIODS, 3 * longest):
        verdict = (
            f"not enough data: {n} periods with both sentiment and outcome, {max(MIN_PERIODS, 3 * longest)} needed"
        )
        return _frame([(0, None, None, None, None, verdict)], n, visible)
    adjusted = adjust(sentiment, step)
    x, y = prewhiten(adjusted), prewhiten(adjust(_logged(totals), step))
    if np.std(x) < 1e-9 or np.std(y) < 1e-9:
        return _frame([(0, None, None, None, None, "not enough data: a series does not vary")], n, visible)
    lags = np.asarray(settings.lags)
    observed = np.array([correlation(x, y, lag) for lag in lags])
    rng = np.random.default_rng(settings.seed)
    largest = np.array(
        [
            max(abs(correlation(unrelated, y, lag)) for lag in lags)
            for unrelated in (surrogate(adjusted, step, rng) for _ in range(settings.surrogates))
        ]
    )
    p_values = (1 + (largest[None, :] >= np.abs(observed)[:, None]).sum(1)) / (1 + largest.size)
    rows: list[_Row] = []
    for lag, estimate, p in zip(lags, observed, p_values, strict=True):
        low, high = _interval(x, y, int(lag), settings, rng)
        rows.append(
            (int(lag) * step, float(estimate), low, high, float(p), _verdict(int(lag) * step, estimate, p, visible))
        )
    return _frame(rows, n, visible)


def smallest_visible(n: int, comparisons: int, *, power: float = 0.8) -> float:
    """Smallest correlation seen with this power at 5 % over all lags, Bonferroni (Fisher's z); 1 when none is."""
    if n <= 4:
        return 1.0
    z = stats.norm.ppf(1 - ALPHA / (2 * comparisons)) + stats.norm.ppf(power)
    return float(np.tanh(z / np.sqrt(n - 3)))


def align(index: pl.DataFrame, outcome: pl.DataFrame) -> tuple[Array, Array, int]:
    """Net sentiment and outcome on the outcome's own periods, and the period's length in days (1 or 7, usually).

    A period's date is its first day. The longest stretch in which every period has both is used.
    """
    totals = outcome.group_by("date").agg(pl.col("outcome").sum()).drop_nulls().sort("date")
    empty = np.empty(0)
    if totals.height < 2:
        return empty, empty, 1
    dates: list[date] = totals["date"].to_list()
    steps = np.diff(np.array(dates, dtype="datetime64[D]").astype(int))
    step = int(np.median(steps))
    days = (
        index.filter((pl.col("campaign_id") == ALL) & (pl.col("source") == ALL))
        .select("date", "n", "net_sentiment")
        .sort("date")
        .join_asof(totals.select("date", period="date"), on="date", strategy="backward")
        .filter((pl.col("date") - pl.col("period")).dt.total_days() < step)
    )
    means = days.group_by("period").agg(
        ((pl.col("net_sentiment") * pl.col("n")).sum() / pl.col("n").sum()).alias("net")
    )
    joined = totals.join(means, left_on="date", right_on="period", how="inner").sort("date")
    if joined.is_empty():
        return empty, empty, step
    ordinal = joined["date"].to_physical().to_numpy().astype(int)
    # Calendar months differ in length: a gap is a period missed, not a longer month.
    breaks = np.flatnonzero(np.diff(ordinal) > 1.5 * step) + 1
    longest = max(np.split(np.arange(joined.height), breaks), key=len)
    return joined["net"].to_numpy()[longest], joined["outcome"].to_numpy()[longest], step


def adjust(series: Array, step: int) -> Array:
    """Residuals from a quadratic trend, two harmonics of the year (from 1.5 years on) and, if daily, the weekday."""
    time = np.arange(series.size, dtype=float)
    scaled = time / max(time[-1], 1)
    columns = [np.ones_like(time), scaled, scaled**2]
    period = 365.25 / step
    if series.size >= 1.5 * period:
        columns += [f(2 * np.pi * k * time / period) for k in (1, 2) for f in (np.sin, np.cos)]
    if step == 1:
        columns += [(time % 7 == day).astype(float) for day in range(6)]
    design = np.stack(columns, axis=1)
    return series - design @ np.linalg.lstsq(design, series, rcond=None)[0]


def prewhiten(series: Array) -> Array:
    """Residuals of an autoregression whose order (0 to 4) BIC chooses; the first four values are spent."""
    return _autoregression(series)[1]


def surrogate(series: Array, step: int, rng: np.random.Generator) -> Array:
    """A prewhitened series that is like `series` and has nothing to do with anything (sieve bootstrap).

    Its autoregression is run with residuals drawn at random, and the result is adjusted and prewhitened as the real
    series was, so that what those steps do to short and persistent series is in the reference distribution too.
    Source: Buehlmann (1997), Sieve bootstrap for time series.
    """
    weights, residuals = _autoregression(series)
    order, burn = weights.size, 60
    shocks = rng.choice(residuals - residuals.mean(), size=series.size + burn)
    # An estimated root may touch the unit circle; such a series would not come back.
    drawn = lfilter([1.0], np.concatenate(([1.0], -weights)), shocks)[burn:] if order else shocks[burn:]
    return prewhiten(adjust(drawn if np.isfinite(drawn).all() else shocks[burn:], step))


def _autoregression(series: Array) -> tuple[Array, Array]:
    """Weights (without the mean) and residuals of the autoregression of lowest BIC."""
    target = series[MAX_ORDER:]
    best_score = float("inf")
    best: tuple[Array, Array] = (np.empty(0), target - target.mean())
    for order in range(MAX_ORDER + 1):
        past = [series[MAX_ORDER - k : -k] for k in range(1, order + 1)]
        design = np.stack([np.ones(target.size), *past], axis=1)
        found: Array = np.asarray(np.linalg.lstsq(design, target, rcond=None)[0], dtype=np.float64)
        residual: Array = np.asarray(target - design @ found, dtype=np.float64)
        spread = max(float(residual @ residual) / target.size, 1e-12)
        score = target.size * float(np.log(spread)) + (order + 1) * float(np.log(target.size))
        if score < best_score:
            best_score, best = score, (found[1:], residual)
    return best


def correlation(x: Array, y: Array, lag: int) -> float:
    """Correlation of x at t with y at t + lag; both of mean zero."""
    a, b = (x[: x.size - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[: y.size + lag])
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def _interval(x: Array, y: Array, lag: int, settings: LinkSettings, rng: np.random.Generator) -> tuple[float, float]:
    """90 % percentile interval from blocks of consecutive pairs, drawn with replacement (Kuensch 1989)."""
    a, b = (x[: x.size - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[: y.size + lag])
    per_draw = int(np.ceil(a.size / settings.block))
    starts = rng.integers(0, a.size - settings.block + 1, size=(settings.replicates, per_draw))
    at = (starts[:, :, None] + np.arange(settings.block)).reshape(settings.replicates, -1)[:, : a.size]
    u, w = a[at], b[at]
    u, w = u - u.mean(1, keepdims=True), w - w.mean(1, keepdims=True)
    draws = (u * w).sum(1) / np.sqrt((u**2).sum(1) * (w**2).sum(1))
    low, high = np.percentile(draws, [5, 95])
    return float(low), float(high)


def _logged(values: Array) -> Array:
    # Outcomes grow in proportion; a series with zeros or losses is taken as it is.
    return np.log(values) if (values > 0).all() else values


def _verdict(lag_days: int, estimate: float, p: float, visible: float) -> str:
    if p <= ALPHA:
        first = "sentiment first" if lag_days > 0 else "outcome first" if lag_days < 0 else "same period"
        sign = "up" if estimate > 0 else "down"
        return f"association (not a cause): outcome goes {sign} with sentiment, {first}"
    if visible > VISIBLE:
        return f"not enough data: |r| below {visible:.2f} cannot be seen"
    return f"no association found: |r| below {visible:.2f} cannot be seen"


def _frame(rows: list[_Row], n: int, visible: float) -> pl.DataFrame:
    schema = table("sentiment/revenue_link").columns
    return pl.DataFrame(
        [(lag, STATISTIC, estimate, low, high, p, verdict) for lag, estimate, low, high, p, verdict in rows],
        schema=schema,
        orient="row",
    ).with_columns(n_periods=pl.lit(n, pl.Int64), smallest_visible=pl.lit(visible, pl.Float64))
