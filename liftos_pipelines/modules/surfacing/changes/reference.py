"""What a stable engine like this one would show: the null distribution of the scan, by simulated histories.

From an engine's past are taken its spread, carry-over, common factor and the days' residuals themselves. Histories
are then simulated with plausible carry-over (drawn from its posterior, so that not knowing it is part of the
reference), their noise resampled day by day, all series of a day together, which keeps skew and dependence; level,
spread and carry-over are estimated anew in each, as they are in reality. The thresholds are what such histories
exceed at the stated rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liftos_pipelines.modules.surfacing.changes.contrast import (
    Windows,
    carried_variance,
    contrasts,
    running,
    spans_at,
)
from liftos_pipelines.modules.surfacing.changes.noise import (
    PERSISTENCE,
    Basis,
    CarryOver,
    Ints,
    carry_over,
    demean,
    expected_correlation,
    find_basis,
    lagged_correlation,
)
from liftos_pipelines.stats import FloatArray

HISTORIES = 400
SIMULATED_DAYS = 50_000
"""Histories are fewer the longer they are, down to `MIN_HISTORIES`: their blocks are what counts."""
MIN_HISTORIES = 120
BLOCK_DAYS = 30
"""Maxima are taken over blocks of so many days: alarms closer than that are one."""
LONGEST_AHEAD = 120
TAIL = 0.2
"""Share of the block maxima to which an exponential tail is fitted."""
COMPONENTS = ("all series", "features", "one series")
_CHUNK = 3_000_000  # numbers held at once while simulating


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Upper tail of a statistic over blocks: beyond `location`, exceeded with probability `TAIL`, exponential."""

    location: FloatArray
    scale: FloatArray

    def score(self, value: FloatArray) -> FloatArray:
        """-log of the probability that a stable engine's block reaches the value (linear below the location)."""
        return np.asarray((value - self.location) / self.scale - np.log(TAIL))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An engine's null model at one moment, and what follows from it.

    `shares` : (U, len(PERSISTENCE)), expected share of variance carried over; `tail` : of each component (window x
    `COMPONENTS`); `threshold` : of the score; `day_scores` : sorted scores of single days of stable engines.
    """

    basis: Basis
    columns: Ints
    windows: Windows
    shares: FloatArray
    carry: CarryOver
    tail: Tail
    threshold: float
    score_tail: Tail
    day_scores: FloatArray
    block_years: float

    def p_value(self, score: float) -> float:
        """Probability that a stable engine's day reaches the score; exponential beyond the 99th percentile."""
        null = self.day_scores
        high = null[int(0.99 * null.size)]
        if score <= high:
            return float((null.size - np.searchsorted(null, score, side="left") + 1) / (null.size + 1))
        mean_excess = float((null[null > high] - high).mean())
        return float(0.01 * np.exp(-(score - high) / mean_excess))

    def per_year(self, score: float) -> float:
        """False alarms a year of a stable engine if this score were the threshold."""
        return float(np.exp(-float(self.score_tail.score(np.array(score)))) / self.block_years)


def fit_reference(
    values: FloatArray,
    weights: FloatArray,
    segments: Ints,
    days: Ints,
    names: tuple[str, ...],
    brands: int,
    *,
    windows: Windows,
    columns: Ints,
    rate: float,
    seed: int,
    histories: int = HISTORIES,
) -> Reference:
    """Null model and thresholds from one engine's past.

    Parameters
    ----------
    values, weights, segments : (T, S), as in `find_basis`; `days` : (T,), day numbers, rising
    rate : false alarms a year that the threshold is for
    """
    rng = np.random.default_rng(seed)
    usable = tuple(recent for recent in windows.recent if days.size + 1 - recent >= windows.again)
    windows = replace(windows, recent=usable)
    weekdays = (days + 6) % 7  # day 1 of the calendar was a Monday
    daily = windows.gap < 1.5 and days.size >= 28
    basis = find_basis(values, weights, segments, weekdays, names, brands, daily=daily)
    unit, relative = basis.apply(values, weights, weekdays)
    if basis.has_common:
        segments = np.concatenate([segments[:, :1] * 0 + segments.max(axis=1, keepdims=True), segments], axis=1)
    unit, _ = demean(unit, relative, segments)
    residual = unit * np.sqrt(relative)
    residual = residual / np.sqrt((residual**2).mean(axis=0))
    n = days.size
    predicted = expected_correlation(days, windows.gap)
    brand_columns = _brand_columns(basis)
    carry = carry_over(lagged_correlation(residual), predicted, n, brand_columns)
    ahead = min(n, LONGEST_AHEAD)
    step = max(1, round(windows.gap))
    later = days[n - ahead :] - days[n - ahead] + days[-1] + step
    calendar = np.concatenate([days, later])
    load = np.concatenate([relative, relative[n - ahead :]])
    count = int(np.clip(SIMULATED_DAYS // calendar.size, MIN_HISTORIES, histories))
    plan = _Plan(calendar=calendar, load=load, train=n, windows=windows, predicted=predicted, features=basis)
    parts = []
    per_chunk = max(1, _CHUNK // (calendar.size * load.shape[1]))
    for first in range(0, count, per_chunk):
        size = min(per_chunk, count - first)
        parts.append(_simulate(plan, carry, residual, rng, size, weekdays if basis.weekday.any() else None))
    statistic = np.concatenate(parts)  # (N, ahead, components)
    block = int(np.clip(round(BLOCK_DAYS / windows.gap), 2, ahead))
    block_years = block * windows.gap / 365.25
    tail = _fit_tail(_block_maxima(statistic, block))
    score = tail.score(statistic).max(axis=-1)
    maxima = _block_maxima(score[..., None], block)
    score_tail = _fit_tail(maxima)
    wanted = -np.expm1(-rate * block_years)
    if wanted * maxima.shape[0] >= 10:
        threshold = float(np.quantile(maxima, 1 - wanted))
    else:
        threshold = float(score_tail.location[0] + score_tail.scale[0] * np.log(TAIL / wanted))
    return Reference(
        basis=basis,
        columns=columns,
        windows=windows,
        shares=carry.shares(),
        carry=carry,
        tail=tail,
        threshold=threshold,
        score_tail=Tail(location=score_tail.location[0], scale=score_tail.scale[0]),
        day_scores=np.sort(score, axis=None),
        block_years=block_years,
    )


def components(z: FloatArray, basis: Basis) -> FloatArray:
    """The three statistics of each contrast, (..., 3); z is NaN for a series that cannot be tested.

    Jointly over all series and over the brand-free ones `sum w (z^2 - 1) / sqrt(2 sum w^2)`, about standard normal
    when nothing changed; and the largest z^2 of one series. The weights are those of a score test against random
    shifts on the logit: a brand's rate moves per logit by its sampling variance, so its z^2 is worth that variance
    (and is 1 for a feature).
    """
    squared = z * z
    known = ~np.isnan(squared)
    squared = np.where(known, squared, 0)
    weight = basis.score_weights.astype(z.dtype)
    free = _brand_columns(basis).stop
    whole = known.all()

    def joint(first: int) -> FloatArray:
        part, w = squared[..., first:], weight[first:]
        if whole:
            return np.asarray((part @ w - w.sum()) / np.sqrt(2 * (w**2).sum()))
        there = known[..., first:]
        return np.asarray((part @ w - there @ w) / np.sqrt(2 * np.maximum(there @ w**2, 1e-9)))

    if free == weight.size:
        none = np.zeros(squared.shape[:-1], dtype=z.dtype)
        return np.stack([joint(0), none, squared.max(axis=-1, initial=0)], axis=-1)
    return np.stack([joint(0), joint(free), squared.max(axis=-1, initial=0)], axis=-1)


def _brand_columns(basis: Basis) -> slice:
    first = int(basis.has_common)
    return slice(first, first + basis.brands)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The calendar that is simulated: the past, then its last days once more, on which the scan runs."""

    calendar: Ints
    load: FloatArray
    train: int
    windows: Windows
    predicted: FloatArray
    features: Basis


def _simulate(
    plan: _Plan, carry: CarryOver, residual: FloatArray, rng: np.random.Generator, n: int, weekdays: Ints | None
) -> FloatArray:
    """Statistics on every scanned day of n simulated histories, (n, days ahead, components)."""
    share, rho = carry.draw(rng, n)
    u = _histories(plan, share, rho, residual, rng)
    train = plan.train
    if weekdays is not None:
        _remove_habits(u, (plan.calendar + 6) % 7, train)
    past, load = u[:, :train], plan.load[:train].astype(u.dtype)
    past = (past - (past * load).sum(axis=1, keepdims=True) / load.sum(axis=0)) * np.sqrt(load)
    variance = (past**2).sum(axis=1) / max(train - 1, 1)
    found = carry_over(lagged_correlation(past), plan.predicted, train, _brand_columns(plan.features)).shares()
    end = np.arange(train, plan.calendar.size) + 1
    sums, counts = running(u, plan.load)
    answers = plan.load.mean(axis=1)
    statistics = []
    for recent in plan.windows.recent:
        spans = spans_at(end, recent, plan.windows.base)
        change, white = contrasts(sums, counts, spans)
        carried = carried_variance(plan.calendar, answers, plan.windows.gap, spans).astype(u.dtype)
        spread = contrast_variance(white, found.astype(u.dtype), carried)
        z = change / np.sqrt(spread * variance[:, None, :])
        statistics.append(components(z, plan.features))
    return np.concatenate(statistics, axis=-1)


def contrast_variance(white: FloatArray, shares: FloatArray, carried: FloatArray) -> FloatArray:
    """Variance of contrasts of unit-variance series, (..., M, U).

    `white` : (M, U); `shares` : (..., U, R); `carried` : (R, M).
    """
    fresh = 1 - shares.sum(axis=-1)
    if (
        carried.shape[1]
        and np.allclose(carried, carried[:, :1], rtol=1e-5)
        and np.allclose(white, white[:1], rtol=1e-5)
    ):
        return np.asarray((fresh * white[0] + shares @ carried[:, 0])[..., None, :])
    return np.asarray(fresh[..., None, :] * white + np.swapaxes(shares @ carried, -1, -2))


def _histories(plan: _Plan, share: FloatArray, rho: Ints, residual: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Simulated unit-variance series (n, days, U): resampled days, part of them carried over."""
    n, length = share.shape[0], plan.calendar.size
    pool = residual.astype(np.float32)
    u = pool[rng.integers(0, pool.shape[0], (n, length))]
    carried = pool[rng.integers(0, pool.shape[0], (n, length))]
    if share.any():
        steps = np.diff(plan.calendar) / plan.windows.gap
        phi = PERSISTENCE[rho].astype(np.float32)
        usual, usual_innovation = phi, np.sqrt(1 - phi**2)
        for t in range(1, length):
            if abs(steps[t - 1] - 1) > 1e-9:
                power = phi ** np.float32(steps[t - 1])
                innovation = np.sqrt(1 - power**2)
            else:
                power, innovation = usual, usual_innovation
            carried[:, t] *= innovation
            carried[:, t] += power * carried[:, t - 1]
    with np.errstate(divide="ignore"):
        thinner = np.where(plan.load > 0, 1 / np.sqrt(plan.load), 0.0).astype(np.float32)
    u *= np.sqrt(1 - share, dtype=np.float32)[:, None, :] * thinner
    u += np.sqrt(share, dtype=np.float32)[:, None, :] * carried
    return u  # type: ignore[return-value]  # single precision: half the time, and ample


def _remove_habits(u: FloatArray, weekdays: Ints, train: int) -> None:
    """Estimate weekday habits on the past and take them out of all days, as is done with real ones."""
    for day in range(7):
        past = np.flatnonzero(weekdays[:train] == day)
        if past.size:
            u[:, weekdays == day] -= u[:, past].mean(axis=1, keepdims=True)


def _block_maxima(statistic: FloatArray, block: int) -> FloatArray:
    """Largest of each full block of days, (histories x blocks, components)."""
    n, days, width = statistic.shape
    whole = days // block * block
    return np.asarray(statistic[:, :whole].reshape(n, -1, block, width).max(axis=2).reshape(-1, width))


def _fit_tail(maxima: FloatArray) -> Tail:
    """Location and mean excess of the upper `TAIL` of each column (exponential tail, as of a sum of squares)."""
    location = np.quantile(maxima, 1 - TAIL, axis=0)
    above = maxima > location
    excess = np.where(above, maxima - location, 0).sum(axis=0) / np.maximum(above.sum(axis=0), 1)
    return Tail(location=location, scale=np.maximum(excess, 1e-6))
