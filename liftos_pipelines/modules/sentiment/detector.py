"""A drop detector with a stated false-alarm rate: CUSUM of prewhitened, volume-weighted innovations.

A day's net sentiment is a level, a deviation that fades over days (AR(1)), and sampling noise that shrinks with the
day's volume. A Kalman filter turns it into innovations with unit variance while nothing changes; a one-sided CUSUM
(Page 1954) adds them up. Level, spread and persistence are estimated on a trailing baseline that ends days before
the day judged, so a drop does not hide in its own baseline. The threshold comes from simulated runs of streams like
this one, with the parameters estimated anew in each, so the cost of estimating them is in the stated rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR = 365.25
REFRESH = 3
"""Days between two updates of the baseline."""
MARGIN = 0.7
"""Thresholds are sought for this share of the stated rate: the stream that is imitated is itself only estimated."""


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """How the detector looks. Days are calendar days.

    baseline_days : longest trailing baseline; gap_days : days left out between baseline and the day judged;
    min_baseline : observed days needed before a stream is monitored (again after each alarm: the cool-down);
    slack : CUSUM allowance in standard deviations (.5 is best for a shift of one); most_a_day : no day counts for
    more standard deviations than this, so that one bad day alone is no alarm; min_volume : mentions, and
    min_days : observed days, that a drop must rest on; max_false_alarms : a year, over all of a client's streams
    """

    baseline_days: int = 112
    gap_days: int = 10
    min_baseline: int = 28
    slack: float = 0.5
    most_a_day: float = 3.5
    min_volume: int = 20
    min_days: int = 2
    max_false_alarms: float = 0.6


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A stable stream: level, variance and persistence of its days, and sampling variance (mean over days)."""

    level: float
    variance: float
    persistence: float
    sampling: float
    days: int


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """`onset` and `day` are positions: the first day of the drop and the day the threshold was crossed."""

    onset: int
    day: int
    statistic: float
    baseline_start: int
    baseline_end: int
    baseline: Baseline


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """All alarms of one stream, its threshold, the simulated rate at it, and how many days were monitored."""

    alarms: tuple[Alarm, ...]
    threshold: float
    false_alarms_per_year: float
    monitored_days: int


class _Sums:
    """Running sums from which the moments of any window come in constant time; rows are streams."""

    def __init__(self, y: Array, v: Array, n: Array) -> None:
        seen = np.isfinite(y) & np.isfinite(v)
        self.seen = seen
        self.centre = np.divide(np.where(seen, y, 0).sum(1), np.maximum(seen.sum(1), 1))
        self.y = np.where(seen, y - self.centre[:, None], 0.0)
        self.v = np.where(seen, v, 0.0)
        pair = np.zeros_like(seen)
        pair[:, 1:] = seen[:, 1:] & seen[:, :-1]
        before = np.concatenate((np.zeros((len(y), 1)), self.y[:, :-1]), axis=1)
        columns = (
            seen,
            self.y,
            self.y**2,
            self.v,
            pair,
            pair * self.y * before,
            pair * (self.y + before),
            np.where(seen, n, 0),
        )
        self.sums = np.zeros((len(columns), y.shape[0], y.shape[1] + 1))
        for k, column in enumerate(columns):
            np.cumsum(column, axis=1, out=self.sums[k, :, 1:])

    def window(self, rows: Ints, low: Ints, high: int | Ints) -> Array:
        """(8, rows) sums over positions low..high-1."""
        return self.sums[:, rows, high] - self.sums[:, rows, low]


def _moments(sums: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Days, level (centred), variance of the lasting part, persistence, sampling variance."""
    days = np.maximum(sums[0], 1)
    level = sums[1] / days
    total = np.maximum(sums[2] / days - level**2, 1e-8) * days / np.maximum(days - 1, 1)
    sampling = sums[3] / days
    pairs = np.maximum(sums[4], 1)
    lagged = (sums[5] - level * sums[6] + level**2 * sums[4]) / pairs
    # What sampling does not explain lasts; a floor keeps the filter from trusting a level that looks too still.
    variance = np.maximum(total - sampling, 0.05 * total)
    raw = lagged / variance
    # Autocorrelation is biased low in short series (Kendall 1954); the floor and cap keep the filter stable.
    persistence = np.clip(raw + (1 + 3 * np.clip(raw, 0, 0.9)) / days, 0.0, 0.9)
    return days, level, variance, persistence, sampling


def _run(
    sums: _Sums, rows: Ints, thresholds: Array, settings: DetectorSettings
) -> tuple[Ints, Ints, list[tuple[int, int, int, float, int, int]]]:
    """Run the detector on `rows` of `sums`, each with its own threshold, all at once.

    Returns alarms per run, monitored days per run, and (run, onset, day, statistic, baseline start, baseline end).
    """
    n_days = sums.y.shape[1]
    size = rows.size
    segment = np.zeros(size, dtype=np.int64)
    onset = np.zeros(size, dtype=np.int64)
    statistic, state, spread = np.zeros(size), np.zeros(size), np.full(size, np.nan)
    count, monitored = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    found: list[tuple[int, int, int, float, int, int]] = []
    first = settings.gap_days + settings.min_baseline
    for day in range(first, n_days):
        if (day - first) % REFRESH == 0:
            high = day - settings.gap_days
            low = np.minimum(np.maximum(segment, high - settings.baseline_days), high)
            past = sums.window(rows, low, high)
            days, level, variance, persistence, sampling = _moments(past)
            uncertain = (variance * (1 + persistence) / (1 - persistence) + sampling) / days
            ready = past[0] >= settings.min_baseline
        state = persistence * state
        spread = np.where(np.isnan(spread), variance, persistence**2 * spread + variance * (1 - persistence**2))
        seen = sums.seen[rows, day] & ready
        f = spread + sums.v[rows, day]
        gap = np.where(seen, sums.y[rows, day] - level - state, 0.0)
        innovation = np.maximum(gap / np.sqrt(f + uncertain), -settings.most_a_day)
        gain = np.where(seen, spread / f, 0.0)
        state, spread = state + gain * gap, spread * (1 - gain)
        grown = np.where(seen, np.maximum(0.0, statistic - innovation - settings.slack), statistic)
        onset = np.where(seen & (statistic == 0) & (grown > 0), day, onset)
        statistic = np.where(ready, grown, 0.0)
        monitored += ready
        crossed = seen & (statistic > thresholds)
        if not crossed.any():
            continue
        where = np.flatnonzero(crossed)
        behind = sums.window(rows[where], onset[where], day + 1)
        firm = (behind[7] >= settings.min_volume) & (behind[0] >= settings.min_days)
        for run in where[firm]:
            found.append((int(run), int(onset[run]), day, float(statistic[run]), int(low[run]), high))
        hit = where[firm]
        count[hit] += 1
        segment[hit], statistic[hit], state[hit], spread[hit], ready[hit] = onset[hit], 0.0, 0.0, np.nan, False
    return count, monitored, found


def baseline_of(y: Array, v: Array) -> Baseline:
    """Moments of a stretch of days taken as stable; (days,) each, NaN where nothing was seen."""
    sums = _Sums(y[None], v[None], np.zeros((1, y.size)))
    one = np.zeros(1, dtype=np.int64)
    days, level, variance, persistence, sampling = _moments(sums.window(one, one, y.size))
    return Baseline(
        level=float(level[0] + sums.centre[0]), variance=float(variance[0]), persistence=float(persistence[0]),
        sampling=float(sampling[0]), days=int(days[0]),
    )  # fmt: skip


def calibrate_threshold(
    baseline: Baseline,
    sampling: Array,
    volume: Array,
    *,
    target: float,
    settings: DetectorSettings,
    seed: int,
    streams: int = 120,
    days: int = 730,
) -> tuple[float, float]:
    """Lowest threshold whose simulated false-alarm rate a year does not exceed `target`, and that rate.

    Parameters
    ----------
    baseline : the stable stream to imitate
    sampling, volume : (m,) sampling variance and mentions of observed days, drawn from at random; NaN and 0: no post
    """
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, sampling.size, size=(streams, days))
    v, n = sampling[pick], volume[pick].astype(float)
    shocks = rng.normal(size=(streams, days)) * np.sqrt(baseline.variance * (1 - baseline.persistence**2))
    shocks[:, 0] = rng.normal(size=streams) * np.sqrt(baseline.variance)
    lasting = np.empty_like(shocks)
    lasting[:, 0] = shocks[:, 0]
    for day in range(1, days):
        lasting[:, day] = baseline.persistence * lasting[:, day - 1] + shocks[:, day]
    y = np.where(np.isfinite(v), lasting + rng.normal(size=v.shape) * np.sqrt(np.nan_to_num(v)), np.nan)
    grid = np.arange(3.0, 16.1, 1.0)
    rows = np.repeat(np.arange(streams), grid.size)
    count, monitored, _ = _run(_Sums(y, v, n), rows, np.tile(grid, streams), settings)
    alarms = count.reshape(streams, grid.size).sum(0)
    years = np.maximum(monitored.reshape(streams, grid.size).sum(0) / YEAR, 1e-9)
    # One imagined alarm more: a rate of zero in finitely many years is not zero. Rates fall with the threshold.
    rates = np.minimum.accumulate((alarms + 1.0) / years)
    if rates[-1] > target:
        return float("inf"), 0.0
    first = int(np.argmax(rates <= target))
    if first == 0 or rates[first - 1] <= rates[first]:
        return float(grid[first]), float(rates[first])
    share = np.log(rates[first - 1] / target) / np.log(rates[first - 1] / rates[first])
    return float(grid[first - 1] + share), float(min(target, rates[first - 1]))


def monitor(
    net: Array, variance: Array, volume: Array, *, target: float, settings: DetectorSettings, seed: int
) -> Monitoring | None:
    """Alarms of one stream of consecutive days, or None when it is too short to be monitored.

    Parameters
    ----------
    net, variance, volume : (days,) net sentiment, its sampling variance and mentions; NaN where nothing was posted
    target : false alarms a year that this stream may raise
    """
    sums = _Sums(net[None], variance[None], volume[None])
    seen_days = np.flatnonzero(sums.seen[0])
    if seen_days.size < settings.min_baseline or net.size <= seen_days[settings.min_baseline - 1] + settings.gap_days:
        return None
    # The threshold rests on the first stretch only, so that later data cannot move it and rewrite past alarms.
    stretch = slice(0, min(net.size, int(seen_days[0]) + settings.baseline_days))
    start = int(seen_days[0])
    threshold, rate = calibrate_threshold(
        baseline_of(net[stretch], variance[stretch]), variance[start : stretch.stop], volume[start : stretch.stop],
        target=MARGIN * target, settings=settings, seed=seed,
    )  # fmt: skip
    _, monitored, found = _run(sums, np.zeros(1, dtype=np.int64), np.array([threshold]), settings)
    alarms = tuple(
        Alarm(
            onset=onset, day=day, statistic=value, baseline_start=low, baseline_end=high,
            baseline=baseline_of(net[low:high], variance[low:high]),
        )
        for _, onset, day, value, low, high in found
    )  # fmt: skip
    return Monitoring(
        alarms=alarms, threshold=threshold, false_alarms_per_year=rate / MARGIN, monitored_days=int(monitored[0])
    )
