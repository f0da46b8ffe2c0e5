"""A sequential detector with a stated rate of false alarms, for one stream or many together.

A day's net sentiment is a level, a weekday's usual difference, a deviation that fades over days (AR(1)), and sampling
noise that shrinks with the day's volume. A Kalman filter turns it into innovations with unit variance while nothing
changes; a CUSUM (Page 1954) adds them up. Level, spread and persistence are estimated on a trailing baseline that
ends days before the day judged, so a drop does not hide in its own baseline. What a value of the CUSUM means comes from
simulated runs of streams like this one, with everything estimated anew in each, so the cost of estimating is in the
stated rate. The same core reads counts (square roots, hours of a day, both directions): see `DetectorSettings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.watch.calendar_terms import seasonal_terms
from liftos_pipelines.modules.sentiment.watch.discovery import horizon, step_up

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REFRESH = 3
"""Steps between two updates of the baseline."""
MARGIN = 0.85
"""Rates are kept to this share of the stated one: the stream that is imitated is itself only estimated."""
TAIL_ERROR = 0.25
"""Relative standard error of a tail's slope: streams that are alike get slopes that differ by a fifth to a fourth."""
RUNS, RUN_STEPS = 200, 280
"""Simulated runs a stream, and steps monitored in each."""
AT_ONCE = 1600
"""Simulated runs held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """How the detector looks. Days stand for steps where a series has others.

    baseline_days : longest trailing baseline; gap_days : days left out between baseline and the day judged;
    min_baseline : observed days needed before a stream is watched, again after each alarm: with `gap_days` the
    cool-down; slack : CUSUM allowance in standard deviations (.5 is best for a shift of one); most_a_day : no day
    counts for more standard deviations than this, so that one bad day alone is no alarm; min_volume : mentions that a
    drop must rest on; persist_days of the last of_days : observed days that must each speak for the drop;
    period : days of a cycle whose pattern is taken out (0: none); both_ways : rises alarm too;
    max_false_alarms : a year, over all of a client's streams while all are calm; false_discoveries : share of alarms
    that may be false where some streams have changed; steps_a_year : days
    """

    baseline_days: int = 112
    gap_days: int = 10
    min_baseline: int = 28
    slack: float = 0.5
    most_a_day: float = 3.5
    min_volume: float = 20
    persist_days: int = 2
    of_days: int = 3
    period: int = 7
    both_ways: bool = False
    max_false_alarms: float = 0.6
    false_discoveries: float = 0.1
    steps_a_year: float = 365.25

    @property
    def cool_down(self) -> int:
        """Fewest days from the onset of one alarm to the next of the same stream."""
        return self.min_baseline + self.gap_days

    @property
    def horizon_days(self) -> float:
        """Days that a p-value looks over: calm streams raise an alarm in them with probability `false_discoveries`."""
        return horizon(self.false_discoveries, self.max_false_alarms) * self.steps_a_year


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
    """`onset` and `day` are positions: the first day of the change and the day it was called; `sign` -1 for a drop.

    `p_value` : probability that a calm stream like this reaches `statistic` at any time within the horizon.
    """

    onset: int
    day: int
    statistic: float
    p_value: float
    baseline_start: int
    baseline_end: int
    baseline: Baseline
    sign: int = -1


@dataclass(frozen=True, kw_only=True)
class Null:
    """A calm stream reaches a statistic above h at the yearly rate exp(intercept - slope * h), about."""

    intercept: float
    slope: float

    def log_rate(self, statistic: Array | float) -> Array | float:
        """Logarithm of the yearly rate at which a calm stream reaches a statistic; see `_log_rate`."""
        return _log_rate(self.intercept - self.slope * statistic)


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """One stream watched: its alarms, its simulated null, the days it was watched, and the series without weekdays."""

    alarms: tuple[Alarm, ...]
    null: Null
    monitored_days: int
    adjusted: Array


def _log_rate(line: Array | float) -> Array | float:
    """The expected rate where only a line is known.

    A line's error grows with the distance from the rates that were simulated (about one a year), and the mean of a rate
    whose logarithm has a normal error is higher by half its variance. Without it, many streams alarm too often.
    """
    beyond = np.maximum(0.0, -np.asarray(line, dtype=float))
    return np.asarray(line + 0.5 * (TAIL_ERROR * np.minimum(beyond, 1 / TAIL_ERROR**2)) ** 2)


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
        # Steps come first: a day's sums of all rows lie together.
        self.sums = np.zeros((y.shape[1] + 1, len(columns), y.shape[0]))
        for k, column in enumerate(columns):
            np.cumsum(column.T, axis=0, out=self.sums[1:, k])

    def window(self, rows: Ints, low: Ints, high: int | Ints) -> Array:
        """(8, rows) sums over positions low..high-1."""
        return (self.sums[high, :, rows] - self.sums[low, :, rows]).T


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


class _Scan:
    """The filter and the CUSUMs of all rows, one day after the other."""

    def __init__(self, sums: _Sums, settings: DetectorSettings) -> None:
        size = sums.y.shape[0]
        self.sums, self.settings = sums, settings
        self.rows = np.arange(size)
        self.signs = np.array([-1.0, 1.0] if settings.both_ways else [-1.0])
        self.segment = np.zeros(size, dtype=np.int64)
        self.low, self.high = np.zeros(size, dtype=np.int64), 0
        self.state, self.spread = np.zeros(size), np.full(size, np.nan)
        self.statistic = np.zeros((self.signs.size, size))
        self.onset = np.zeros((self.signs.size, size), dtype=np.int64)
        self.history = np.zeros((self.signs.size, size), dtype=np.int64)
        self.days_for = np.array([bin(k).count("1") for k in range(1 << settings.of_days)])
        self.ready = np.zeros(size, dtype=bool)
        self.first = settings.gap_days + settings.min_baseline

    def step(self, day: int) -> Bools:
        """Take in one day; true per direction and row where the CUSUM may alarm (seen, persistent)."""
        settings, sums = self.settings, self.sums
        if (day - self.first) % REFRESH == 0:
            self.high = day - settings.gap_days
            self.low = np.minimum(np.maximum(self.segment, self.high - settings.baseline_days), self.high)
            past = sums.window(self.rows, self.low, self.high)
            days, self.level, self.variance, self.persistence, sampling = _moments(past)
            self.uncertain = (self.variance * (1 + self.persistence) / (1 - self.persistence) + sampling) / days
            self.ready = past[0] >= settings.min_baseline
        state = self.persistence * self.state
        kept = self.persistence**2
        spread = np.where(np.isnan(self.spread), self.variance, kept * self.spread + self.variance * (1 - kept))
        seen = sums.seen[:, day] & self.ready
        f = spread + sums.v[:, day]
        gap = np.where(seen, sums.y[:, day] - self.level - state, 0.0)
        gain = np.where(seen, spread / f, 0.0)
        self.state, self.spread = state + gain * gap, spread * (1 - gain)
        step = self.signs[:, None] * (gap / np.sqrt(f + self.uncertain))
        step = np.minimum(step, settings.most_a_day) - settings.slack
        before = self.statistic
        grown = np.where(seen, np.maximum(0.0, before + step), before)
        self.onset = np.where(seen & (before == 0) & (grown > 0), day, self.onset)
        mask = (1 << settings.of_days) - 1
        self.history = np.where(seen, ((self.history << 1) | (step > 0)) & mask, self.history)
        self.statistic = np.where(self.ready, grown, 0.0)
        return seen & (self.days_for[self.history] >= settings.persist_days) & (self.statistic > 0)

    def enough(self, side: Ints, rows: Ints, day: int) -> Bools:
        """Which rows' excursions rest on the least volume."""
        volume = self.sums.sums[day + 1, 7, rows] - self.sums.sums[self.onset[side, rows], 7, rows]
        return volume >= self.settings.min_volume

    def restart(self, rows: Ints, onset: Ints) -> None:
        """What came before the onset no longer counts: the stream needs a new baseline."""
        self.segment[rows], self.state[rows], self.spread[rows], self.ready[rows] = onset, 0.0, np.nan, False
        self.statistic[:, rows], self.history[:, rows] = 0.0, 0


def baseline_of(y: Array, v: Array) -> Baseline:
    """Moments of a stretch of days taken as stable; (days,) each, NaN where nothing was seen."""
    sums = _Sums(y[None], v[None], np.zeros((1, y.size)))
    one = np.zeros(1, dtype=np.int64)
    days, level, variance, persistence, sampling = _moments(sums.window(one, one, y.size))
    return Baseline(
        level=float(level[0] + sums.centre[0]), variance=float(variance[0]), persistence=float(persistence[0]),
        sampling=float(sampling[0]), days=int(days[0]),
    )  # fmt: skip


def simulated_nulls(stretches: list[tuple[Array, Array, Array]], settings: DetectorSettings, seed: int) -> list[Null]:
    """How high the CUSUM of each stream runs while nothing changes, from simulated runs of streams like it.

    Parameters
    ----------
    stretches : per stream (y, v, n) over days taken as stable, weekdays taken out: level, variance and persistence
        are estimated on it, sampling variance and volume of its days are drawn from at random
    """
    rng = np.random.default_rng(seed)
    steps = settings.gap_days + settings.min_baseline + RUN_STEPS
    years = RUN_STEPS / settings.steps_a_year
    nulls: list[Null] = []
    together = max(1, AT_ONCE // RUNS)
    for start in range(0, len(stretches), together):
        part = stretches[start : start + together]
        maxima = _calm_maxima(part, settings, steps, rng).reshape(len(part), RUNS)
        nulls += [_tail(values, years) for values in maxima]
    return nulls


def _calm_maxima(
    stretches: list[tuple[Array, Array, Array]], settings: DetectorSettings, steps: int, rng: np.random.Generator
) -> Array:
    """Largest CUSUM that could have alarmed, of each simulated run: RUNS a stretch, in order."""
    bases = [baseline_of(y, v) for y, v, _ in stretches]
    variance = np.repeat([base.variance for base in bases], RUNS)
    rho = np.repeat([base.persistence for base in bases], RUNS)
    picks = [rng.integers(0, y.size, size=(RUNS, steps)) for y, _, _ in stretches]
    v = np.concatenate([np.where(np.isfinite(y), w, np.nan)[k] for (y, w, _), k in zip(stretches, picks, strict=True)])
    n = np.concatenate([volume[k] for (_, _, volume), k in zip(stretches, picks, strict=True)]).astype(float)
    lasting = rng.normal(size=(variance.size, steps))
    lasting[:, 0] *= np.sqrt(variance)
    lasting[:, 1:] *= np.sqrt(variance * (1 - rho**2))[:, None]
    columns = np.ascontiguousarray(lasting.T)
    for step in range(1, steps):
        columns[step] += rho * columns[step - 1]
    y = np.where(np.isfinite(v), columns.T + rng.normal(size=v.shape) * np.sqrt(np.nan_to_num(v)), np.nan)
    if settings.period:
        y = y - seasonal_terms(y, period=settings.period, gap=settings.gap_days)
    scan = _Scan(_Sums(y, v, n), settings)
    highest = np.zeros(variance.size)
    for day in range(scan.first, steps):
        may = scan.step(day)
        top = np.where(may, scan.statistic, 0.0)
        side, rows = np.nonzero(top > highest[None])
        if rows.size:
            enough = scan.enough(side, rows, day)
            np.maximum.at(highest, rows[enough], top[side[enough], rows[enough]])
    return highest


def _tail(maxima: Array, years: float) -> Null:
    """A line through the logarithm of the rate at which calm runs pass h, over the upper half of the runs' maxima.

    Maxima of a CUSUM over long runs have an exponential tail of rates (Gumbel): rate(h) = -ln P(maximum <= h) / years.
    """
    found = np.sort(maxima[maxima > 0])[::-1][: maxima.size // 2]
    rank = np.arange(1, found.size + 1)
    rate = -np.log1p(-(rank - 0.5) / maxima.size) / years
    if found.size < 5 or np.ptp(found) < 0.1:
        # Runs that hardly ever could alarm: one imagined alarm more, and the slope of white noise.
        return Null(
            intercept=float(np.log((found.size + 1) / (maxima.size * years)) + found.max(initial=0.0)), slope=1.0
        )
    weights = np.sqrt(rank)  # an estimated log rate has variance 1 / (runs behind it)
    slope, intercept = np.polyfit(found, np.log(rate), 1, w=weights)
    return Null(intercept=float(intercept), slope=float(np.clip(-slope, 0.2, 3.0)))


def watch(
    y: Array,
    v: Array,
    n: Array,
    *,
    settings: DetectorSettings,
    seed: int,
    kinds: Ints | None = None,
    shares: Array | None = None,
    family: Ints | None = None,
    nulls: Sequence[Null | None] | None = None,
) -> list[Monitoring | None]:
    """Alarms of streams that are watched together, on one calendar; None for a stream that is too short.

    Parameters
    ----------
    y, v, n : (streams, days) net sentiment, its sampling variance and mentions; NaN where nothing was posted
    kinds : (streams,) number of each stream's kind; shares : (kinds,) how the allowance of false alarms is divided
        among the kinds of the streams watched on a day; streams of a kind share equally. None: all streams do
    family : (streams,) streams with the same number share one allowance; None: all do
    nulls : of an earlier call for the same streams and settings, to save simulating them again

    The rule of `discovery.step_up` is applied to the p-values of the streams watched on a day and of those that
    alarmed within the last horizon. No day's decision depends on later days, except that a null rests on
    the stream's first `baseline_days`.
    """
    y = np.where(np.isfinite(v), y, np.nan)
    if settings.period:
        y = y - seasonal_terms(y, period=settings.period, gap=settings.gap_days)
    streams, steps = y.shape
    kinds = np.zeros(streams, dtype=np.int64) if kinds is None else kinds
    shares = np.ones(int(kinds.max(initial=0)) + 1) if shares is None else shares
    family = np.zeros(streams, dtype=np.int64) if family is None else np.asarray(family)
    seen = np.isfinite(y)
    first = np.where(seen.any(1), seen.argmax(1), steps)
    long = [r for r in range(streams) if _watchable(seen[r], settings)]
    if nulls is None:
        stretches = []
        for r in long:
            stretch = slice(int(first[r]), min(steps, int(first[r]) + settings.baseline_days))
            stretches.append((y[r, stretch], v[r, stretch], n[r, stretch]))
        known = dict(zip(long, simulated_nulls(stretches, settings, seed), strict=True))
    else:
        known = {r: null for r, null in enumerate(nulls) if null is not None}
    intercept = np.array([known[r].intercept if r in known else -np.inf for r in range(streams)])
    slope = np.array([known[r].slope if r in known else 1.0 for r in range(streams)])
    alarms, monitored = _joint(y, v, n, intercept, slope, (kinds, shares), family, settings, set(long))
    return [
        Monitoring(alarms=tuple(alarms[r]), null=known[r], monitored_days=int(monitored[r]), adjusted=y[r])
        if r in known
        else None
        for r in range(streams)
    ]


def _watchable(seen: Bools, settings: DetectorSettings) -> bool:
    days = np.flatnonzero(seen)
    return days.size >= settings.min_baseline and seen.size > days[settings.min_baseline - 1] + settings.gap_days


def _joint(
    y: Array, v: Array, n: Array, intercept: Array, slope: Array, allowance: tuple[Ints, Array], family: Ints,
    settings: DetectorSettings, long: set[int],
) -> tuple[list[list[Alarm]], Ints]:  # fmt: skip
    streams, steps = y.shape
    sums = _Sums(y, v, n)
    scan = _Scan(sums, settings)
    q, span = settings.false_discoveries, settings.horizon_days
    per_day = 1 / (MARGIN * settings.steps_a_year)
    known = np.array([r in long for r in range(streams)], dtype=bool)
    alarms: list[list[Alarm]] = [[] for _ in range(streams)]
    monitored = np.zeros(streams, dtype=np.int64)
    called, called_p = np.full(streams, -np.inf), np.ones(streams)
    for day in range(scan.first, steps):
        may = scan.step(day)
        # A stream that has fallen silent is not watched, and takes nothing of the others' allowance.
        alive = sums.sums[day + 1, 0] - sums.sums[max(0, day + 1 - settings.gap_days), 0] > 0
        watched = scan.ready & alive & known
        monitored += watched
        side = scan.statistic.argmax(axis=0)
        top = scan.statistic[side, scan.rows]
        p = -np.expm1(-np.exp(_log_rate(intercept - slope * top)) * per_day * span)
        candidates = watched & may[side, scan.rows] & (p <= q)
        if not candidates.any():
            continue
        recent = day - called <= span
        p = np.where(recent, np.minimum(p, called_p), p)
        for group in np.unique(family[candidates]):
            members = np.flatnonzero((watched | recent) & (family == group))
            kinds, shares = allowance[0][members], allowance[1]
            weights = shares[kinds] / np.bincount(kinds, minlength=shares.size)[kinds]
            found = members[step_up(p[members], weights, q)]
            found = found[candidates[found]]
            found = found[scan.enough(side[found], found, day)]
            onsets = scan.onset[side[found], found]
            for row, onset in zip(found.tolist(), onsets.tolist(), strict=True):
                low, high = int(scan.low[row]), scan.high
                alarms[row].append(
                    Alarm(
                        onset=onset, day=day, statistic=float(top[row]), p_value=float(p[row]), baseline_start=low,
                        baseline_end=high, baseline=baseline_of(y[row, low:high], v[row, low:high]),
                        sign=int(scan.signs[side[row]]),
                    )
                )  # fmt: skip
            called[found], called_p[found] = day, p[found]
            scan.restart(found, onsets)
    return alarms, monitored
