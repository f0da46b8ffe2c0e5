"""What an event did to the outcome: observed minus a counterfactual from everything known before it.

The outcome is a Gaussian process: trend, season, media and controls with normal coefficients, plus errors that are
autocorrelated. Its hyperparameters (how much the regressors explain, how long errors last) are averaged over a grid by
marginal likelihood; the noise scale is integrated out, so the counterfactual of the window is a mixture of Student-t
distributions. Placebo windows before the event, which by construction had no effect, widen the interval when the
model was too sure of itself there.
Sources: Brodersen et al. (2015), Inferring causal impact using Bayesian structural time-series models; Abadie et al.
(2010) for placebo windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray, geometric_adstock

YEAR_DAYS = 365.25
LEAST_BEFORE = {7: 26, 1: 56}
"""Fewest steps before the event, by days in a step: half a year of weeks, eight weeks of days."""
LONGEST_SHARE = 0.5
"""A window longer than this share of the time before it is a forecast, not an impact."""
PERSISTENCE = (0.0, 0.3, 0.6, 0.85)
SIGNAL = (0.3, 1.0, 3.0)
"""Prior sd of standardised coefficients, in sd of the outcome."""
PLACEBOS = 20
CARRY = 0.5


class ImpactUnknown(ValueError):
    """The data cannot say what the event did; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The national outcome with what explains it; all arrays run over `dates`, evenly spaced by `step` days."""

    dates: tuple[date, ...]
    step: int
    outcome: FloatArray
    price: FloatArray | None
    media: FloatArray
    """(n_channels, n_dates), exposure."""
    controls: FloatArray
    """(n_controls, n_dates)."""


@dataclass(frozen=True, kw_only=True)
class Impact:
    """Effect over the window in outcome (negative: lost) with its 90 % interval.

    `placebo_ratio`: spread of standardised placebo effects, 1 when the model's own uncertainty is right; intervals
    are already widened by it. `placebo_p`: share of placebo windows at least as extreme.
    """

    window_start: date
    window_end: date
    effect: float
    effect_low: float
    effect_high: float
    probability_harmful: float
    expected: float
    observed: float
    revenue_at_risk: float | None
    n_pre: int
    n_window: int
    n_placebo: int
    placebo_ratio: float | None
    placebo_p: float | None


def national_series(
    outcome: pl.DataFrame, media: pl.DataFrame, controls: pl.DataFrame, *, mediators: tuple[str, ...] = ()
) -> Series:
    """Sum the geos of the three tables `sources/marketing_*`; controls are means over geos.

    Dates with a geo missing are cut off at the end (data still arriving) and an error elsewhere.

    Raises
    ------
    ImpactUnknown : fewer than two dates, uneven dates, or a missing value
    """
    if outcome["date"].n_unique() < 2:
        raise ImpactUnknown(f"the outcome has {outcome['date'].n_unique()} date(s)")
    geos = outcome["geo"].n_unique()
    by_date = (
        outcome.group_by("date")
        .agg(
            pl.col("outcome").sum(),
            pl.col("outcome").null_count().alias("holes"),
            pl.when(pl.col("revenue").null_count() == 0).then(pl.col("revenue").sum()).alias("revenue"),
            pl.len().alias("n"),
        )
        .sort("date")
    )
    while by_date.height and by_date["n"][-1] < geos:
        by_date = by_date.head(-1)
    partial = by_date.filter((pl.col("n") < geos) | (pl.col("holes") > 0))
    if partial.height:
        raise ImpactUnknown(f"the outcome is incomplete on {partial['date'][0]}: fill the gap")
    dates = by_date["date"].to_list()
    steps = {(after - before).days for before, after in pairwise(dates)}
    if len(steps) != 1 or not steps <= set(LEAST_BEFORE):
        raise ImpactUnknown(f"dates are {sorted(steps)} days apart; the impact needs every day or every week")
    revenue = by_date["revenue"]
    known = revenue.null_count() == 0 and bool((by_date["outcome"] > 0).all())
    exposure = media.with_columns(pl.coalesce("exposure", "spend").alias("x"))
    kept = controls.filter(~pl.col("control").is_in(list(mediators)))
    return Series(
        dates=tuple(dates),
        step=steps.pop(),
        outcome=by_date["outcome"].to_numpy().astype(float),
        price=(revenue / by_date["outcome"]).to_numpy().astype(float) if known else None,
        media=_pivot(exposure.group_by("date", "channel").agg(pl.col("x").sum()), "channel", "x", dates),
        controls=_pivot(kept.group_by("date", "control").agg(pl.col("value").mean()), "control", "value", dates),
    )


def _pivot(rows: pl.DataFrame, name: str, value: str, dates: list[date]) -> FloatArray:
    """(n_names, n_dates); a name that lacks a date is left out: it could not be used over the window."""
    series = []
    for _, part in sorted(rows.partition_by(name, as_dict=True).items()):
        whole = pl.DataFrame({"date": dates}).join(part, on="date", how="left")[value]
        if whole.null_count() == 0 and whole.n_unique() > 1:
            series.append(whole.to_numpy().astype(float))
    return np.stack(series) if series else np.empty((0, len(dates)))


def estimate_impact(series: Series, start: date, end: date) -> Impact:
    """The effect of an event over the dates from `start` to `end`.

    A weekly row counts when at least four of its days lie in the window, or else the one week that holds it.

    Raises
    ------
    ImpactUnknown : the window lies outside the data, or too little lies before it
    """
    window = _window(series, start, end)
    first, length = int(window[0]), len(window)
    least = LEAST_BEFORE[series.step]
    if first < least:
        raise ImpactUnknown(f"{first} steps of {series.step} day(s) before the window; at least {least} are needed")
    if length > LONGEST_SHARE * first:
        raise ImpactUnknown(f"the window has {length} steps, more than half of the {first} before it")
    process = _Process(series, first)
    weights, means, sds, freedom = process.counterfactual(first, length)
    observed = float(series.outcome[window].sum())
    placebo = _placebos(process, series, first, length, least)
    ratio = float(np.sqrt(np.mean(np.square(placebo)))) if len(placebo) >= 8 else None
    widened = sds * max(1.0, ratio or 1.0)
    low, high, harmful = _mixture(observed - means, widened, weights, freedom)
    centre = float(weights @ (observed - means))
    spread = float(np.sqrt(weights @ (sds**2 + (observed - means - centre) ** 2)))
    price = None if series.price is None else float(np.average(series.price[:first][-52:]))
    return Impact(
        window_start=series.dates[first],
        window_end=series.dates[int(window[-1])] + timedelta(days=series.step - 1),
        effect=centre,
        effect_low=low,
        effect_high=high,
        probability_harmful=harmful,
        expected=observed - centre,
        observed=observed,
        revenue_at_risk=None if price is None else max(0.0, -centre) * price,
        n_pre=first,
        n_window=length,
        n_placebo=len(placebo),
        placebo_ratio=ratio,
        placebo_p=_rank(placebo, centre / spread),
    )


def _window(series: Series, start: date, end: date) -> NDArray[np.int64]:
    begins = np.array([(day - start).days for day in series.dates])
    ends = np.array([(end - day).days for day in series.dates])
    inside = np.minimum(series.step - 1, ends) - np.maximum(0, -begins) + 1
    chosen = np.flatnonzero(inside >= series.step / 2)
    if not chosen.size and inside.max() >= 1:
        chosen = np.array([int(np.argmax(inside))])
    if not chosen.size:
        raise ImpactUnknown(
            f"the window {start} to {end} lies outside the outcome's dates {series.dates[0]} to "
            f"{series.dates[-1] + timedelta(days=series.step - 1)}"
        )
    return np.asarray(chosen, dtype=np.int64)


class _Process:
    """The Gaussian process over all dates, its hyperparameters weighed by the dates before the event."""

    def __init__(self, series: Series, first: int) -> None:
        before = series.outcome[:first]
        self.level, self.scale = float(before.mean()), float(before.std()) or 1.0
        self.y = (series.outcome - self.level) / self.scale
        design = _regressors(series, first)
        distance = np.abs(np.subtract.outer(np.arange(len(self.y)), np.arange(len(self.y))))
        gram = design @ design.T
        # The level and the noise are separate: the level is known only through the data.
        self.kernels = [
            signal**2 * gram + 25.0 + persistence**distance for signal in SIGNAL for persistence in PERSISTENCE
        ]
        evidence = np.array([self._evidence(kernel, first) for kernel in self.kernels])
        self.weights = np.exp(evidence - evidence.max())
        self.weights /= self.weights.sum()
        keep = self.weights > 0.01
        self.kernels = [kernel for kernel, kept in zip(self.kernels, keep, strict=True) if kept]
        self.weights = self.weights[keep] / self.weights[keep].sum()

    def _evidence(self, kernel: FloatArray, first: int) -> float:
        """Log marginal likelihood of the dates before, noise scale integrated with a 1/scale prior."""
        from scipy.linalg import solve_triangular

        root = np.linalg.cholesky(kernel[:first, :first])
        white = solve_triangular(root, self.y[:first], lower=True)
        return float(-np.log(np.diag(root)).sum() - first / 2 * np.log(white @ white))

    def counterfactual(self, first: int, length: int) -> tuple[FloatArray, FloatArray, FloatArray, int]:
        """Mixture of the window's sum given all dates before `first`: weights, means, scales, degrees of freedom."""
        from scipy.linalg import cho_factor, cho_solve

        means, sds = [], []
        after = slice(first, first + length)
        for kernel in self.kernels:
            factor = cho_factor(kernel[:first, :first], lower=True)
            cross = kernel[:first, after].sum(axis=1)
            gain = cho_solve(factor, cross)
            variance = kernel[after, after].sum() - cross @ gain
            noise = self.y[:first] @ cho_solve(factor, self.y[:first]) / first
            means.append(length * self.level + self.scale * float(gain @ self.y[:first]))
            sds.append(self.scale * float(np.sqrt(max(variance, 0.0) * noise)))
        return self.weights, np.array(means), np.array(sds), first


def _regressors(series: Series, first: int) -> FloatArray:
    """(n_dates, n_columns), standardised on the dates before the event."""
    days = np.array([(day - series.dates[0]).days for day in series.dates], dtype=float)
    phase = np.array([day.timetuple().tm_yday for day in series.dates]) / YEAR_DAYS
    columns = [days]
    if days[first - 1] >= 0.75 * YEAR_DAYS:  # less than that cannot tell a season from a trend
        columns += [wave(2 * np.pi * order * phase) for order in (1, 2) for wave in (np.sin, np.cos)]
    if series.step == 1:
        weekday = np.array([day.weekday() for day in series.dates])
        columns += [(weekday == number).astype(float) for number in range(6)]
    if len(series.media):
        lags = 8 if series.step == 7 else 28
        carried = geometric_adstock(
            series.media[:, None, :], np.full(len(series.media), CARRY ** (series.step / 7)), lags
        )[:, 0]
        positive = [np.median(row[row > 0]) if np.any(row > 0) else 1.0 for row in carried]
        columns += [row / (row + middle) for row, middle in zip(carried, positive, strict=True)]
    columns += list(series.controls)
    standard = []
    for column in columns:
        spread = float(np.std(column[:first]))
        if spread > 1e-12:
            standard.append((column - column[:first].mean()) / spread)
    return np.stack(standard, axis=1) / np.sqrt(len(standard))


def _placebos(process: _Process, series: Series, first: int, length: int, least: int) -> FloatArray:
    """Standardised effects of windows of the same length that end before the event."""
    earliest = max(least, first // 2, 2 * length)
    if first - length <= earliest:
        return np.empty(0)
    found = []
    for start in np.unique(np.linspace(earliest, first - length, PLACEBOS).astype(int)).tolist():
        weights, means, sds, _ = process.counterfactual(start, length)
        effect = float(series.outcome[start : start + length].sum()) - means
        centre = float(weights @ effect)
        found.append(centre / float(np.sqrt(weights @ (sds**2 + (effect - centre) ** 2))))
    return np.array(found)


def _rank(placebo: FloatArray, effect: float) -> float | None:
    """Share of windows, the event's own among them, at least as extreme as the event."""
    if not len(placebo):
        return None
    return float((1 + np.sum(np.abs(placebo) >= abs(effect))) / (1 + len(placebo)))


def _mixture(centres: FloatArray, scales: FloatArray, weights: FloatArray, freedom: int) -> tuple[float, float, float]:
    """5 % and 95 % quantile of a mixture of Student-t distributions, and its probability below zero."""
    from scipy import stats
    from scipy.optimize import brentq

    def below(value: float) -> float:
        return float(weights @ stats.t.cdf((value - centres) / scales, freedom))

    reach = 50 * float(scales.max()) + float(np.ptp(centres))
    bounds = (float(centres.min()) - reach, float(centres.max()) + reach)
    low, high = (float(brentq(lambda value, p=p: below(value) - p, *bounds)) for p in (0.05, 0.95))
    return low, high, below(0.0)
