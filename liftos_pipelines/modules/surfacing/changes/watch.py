"""Scanning an engine's days for a change: windows of several lengths, all series jointly and each alone, every day.

Decisions are made as they would have been made on the day: the null model and its threshold come from the days
before (refitted as history grows), so an alarm once raised is not withdrawn or moved by days that follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from liftos_pipelines.modules.surfacing.changes.contrast import (
    Spans,
    Windows,
    carried_variance,
    contrasts,
    running,
    spans_at,
    windows_for,
)
from liftos_pipelines.modules.surfacing.changes.daily import DailySeries
from liftos_pipelines.modules.surfacing.changes.dating import Dating, date_change
from liftos_pipelines.modules.surfacing.changes.noise import Ints
from liftos_pipelines.modules.surfacing.changes.reference import (
    COMPONENTS,
    HISTORIES,
    Reference,
    components,
    contrast_variance,
    fit_reference,
)
from liftos_pipelines.stats import FloatArray

FALSE_ALARMS_PER_YEAR = 0.2
"""Per engine, all tests together."""
GROWTH = 1.41
LONGEST_STEP = 160
"""The null model is refitted whenever history has grown by this factor, or by so many asking days."""
LONGEST_PAST = 336
"""Asking days that the null model is fitted on, at most."""
MIN_COUNT = 1.2
"""A brand is watched by itself if in the shortest window so many answers differ, on average, from the usual number."""
MIN_VARYING = 0.2
"""A series must differ from its usual value on so many of the days: one that is nearly constant has no spread."""
MIN_PRESENT = 0.8
"""A series must be measured on so many of the days."""
OTHERS_UNUSUAL = 0.01
"""The other series count as changed too when chance moves them this far with this probability."""
FOLLOWERS = ("brands_per_answer", "log_words", "run_agreement", "tracked_site_share")
"""Features that move with any one brand, and so are no witnesses of the others."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Change of one raw series over an alarm's windows, with its standard error."""

    name: str
    before: float
    after: float
    std_error: float

    @property
    def z(self) -> float:
        return (self.after - self.before) / self.std_error


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm raised at the end of asking day `day` (position).

    `component` : the test and the window that raised it; `single` : name of the only series that moved, else None;
    `per_year` : false alarms a year if a score like this one were the threshold.
    """

    day: int
    score: float
    threshold: float
    p_value: float
    per_year: float
    component: str
    dating: Dating
    effects: tuple[Effect, ...]
    single: str | None
    others_p: float
    base: int


@dataclass(kw_only=True)
class Watch:
    """One engine's scan: the score of every day (NaN where untestable), its threshold then, and the alarms."""

    series: DailySeries
    windows: Windows
    score: FloatArray
    threshold: FloatArray
    alarms: list[Alarm] = field(default_factory=list)
    drifts: list[Alarm] = field(default_factory=list)
    references: list[tuple[int, Reference]] = field(default_factory=list)

    @property
    def tested(self) -> bool:
        return bool(np.isfinite(self.score).any())

    def reference_on(self, day: int) -> Reference:
        """The null model that judged a day."""
        return [reference for first, reference in self.references if first <= day][-1]


def watch(
    series: DailySeries,
    *,
    seed: int = 0,
    rate: float = FALSE_ALARMS_PER_YEAR,
    histories: int = HISTORIES,
    windows: Windows | None = None,
) -> Watch:
    """Scan one engine's days; see the module's docstring."""
    ordinals = np.array([day.toordinal() for day in series.days], dtype=np.int64)
    gap = float(np.median(np.diff(ordinals))) if len(series) > 1 else 1.0
    windows = windows or windows_for(gap)
    size = len(series)
    result = Watch(series=series, windows=windows, score=np.full(size, np.nan), threshold=np.full(size, np.nan))
    segments = np.zeros(series.values.shape, dtype=np.int64)
    starts = np.zeros(series.values.shape[1], dtype=np.int64)
    values = series.values.copy()
    n = windows.minimum
    while n < size:
        following = min(max(round(n * GROWTH), n + 1), n + LONGEST_STEP)
        _scan_part(result, values, segments, starts, ordinals, n, min(following, size), seed, rate, histories)
        n = following
    return result


def _scan_part(
    result: Watch,
    values: FloatArray,
    segments: Ints,
    starts: Ints,
    ordinals: Ints,
    first: int,
    last: int,
    seed: int,
    rate: float,
    histories: int,
) -> None:
    """Judge the days [first, last) by a null model of the days before `first`; alarms change `segments`, `starts`."""
    series = result.series
    reference = past_reference(
        series, values, segments, ordinals, first, result.windows, rate=rate, seed=seed, histories=histories
    )
    if reference is None:
        return
    result.references.append((first, reference))
    day = first
    while day < last:
        spread = Spread(reference, values, series, ordinals, starts)
        alarm, score = first_alarm(reference, spread, day, last)
        result.score[day:last], result.threshold[day:last] = score, reference.threshold
        if alarm is None:
            return
        (result.drifts if alarm.dating.drifting else result.alarms).append(alarm)
        day = alarm.day + 1
        begin = alarm.dating.last
        if alarm.single is not None and alarm.single in series.names:
            column = series.names.index(alarm.single)
            effect = next(one for one in alarm.effects if one.name == alarm.single)
            # The others go on against their own past; the brand's step is taken out of what it shares with them.
            values[alarm.dating.best :, column] -= effect.after - effect.before
            follow = [column, *(series.names.index(name) for name in FOLLOWERS if name in series.names)]
            starts[follow] = begin
            segments[begin:, follow] += 1
        else:
            starts[:] = begin
            segments[begin:] += 1
        if day < last:
            result.score[day:last] = np.nan


def past_reference(
    series: DailySeries,
    values: FloatArray,
    segments: Ints,
    ordinals: Ints,
    first: int,
    windows: Windows,
    *,
    rate: float,
    seed: int,
    histories: int = HISTORIES,
) -> Reference | None:
    """The null model from the days before `first`; None where no series can be watched or too few days are past."""
    past = slice(max(0, first - LONGEST_PAST), first)
    columns = _watched(series, values, past, windows.recent[0]) if first >= windows.minimum else np.empty(0, dtype=int)
    if not columns.size:
        return None
    parts = segments[past][:, columns]
    return fit_reference(
        values[past][:, columns],
        series.weights[past][:, columns],
        parts - parts.min(axis=0),
        ordinals[past],
        tuple(series.names[i] for i in columns),
        int((columns < series.brands).sum()),
        windows=windows,
        columns=columns,
        rate=rate,
        seed=seed + first,
        histories=histories,
    )


def _watched(series: DailySeries, values: FloatArray, past: slice, shortest: int) -> Ints:
    """Series with enough behind them to be watched, judged by the past alone."""
    keep = []
    for i in range(len(series.names)):
        weights = series.weights[past, i]
        present = weights > 0
        if present.mean() < MIN_PRESENT or np.ptp(values[past, i][present]) <= 1e-9:
            continue
        away = np.abs(values[past, i][present] - np.median(values[past, i][present]))
        if (away > 1e-9).mean() < MIN_VARYING:
            continue
        if i < series.brands and away.mean() * np.median(weights[present]) * shortest < MIN_COUNT:
            continue
        keep.append(i)
    return np.array(keep, dtype=np.int64)


class Spread:
    """Standardised contrasts of one engine's series under a null model."""

    def __init__(
        self, reference: Reference, values: FloatArray, series: DailySeries, ordinals: Ints, starts: Ints
    ) -> None:
        self.reference, self.ordinals = reference, ordinals
        columns, basis = reference.columns, reference.basis
        weekdays = (ordinals + 6) % 7
        self.raw, self.raw_weights = values[:, columns], series.weights[:, columns]
        self.unit, self.relative = basis.apply(self.raw, self.raw_weights, weekdays)
        self.answers = self.relative.mean(axis=1)
        shared = [int(np.median(starts[columns]))] if basis.has_common else []
        self.starts = np.concatenate([shared, starts[columns]]).astype(np.int64)
        self.sums, self.counts = running(self.unit, self.relative)

    def z(self, middle_of: Spans) -> FloatArray:
        """z of each contrast and unit series, (M, U); NaN with too short a base. `low` is before any restart."""
        change, variance = self.change(middle_of)
        return np.asarray(change / np.sqrt(variance))

    def change(self, at: Spans) -> tuple[FloatArray, FloatArray]:
        """Contrasts and their variances, (M, U)."""
        shape = (at.end.size, self.unit.shape[1])
        change, variance = np.full(shape, np.nan), np.full(shape, np.nan)
        for start in np.unique(self.starts):
            columns = np.flatnonzero(self.starts == start)
            low = np.maximum(at.low, start)
            usable = np.flatnonzero(at.middle - low >= self.reference.windows.again)
            if not usable.size:
                continue
            spans = Spans(low=low[usable], middle=at.middle[usable], end=at.end[usable])
            part, white = contrasts(self.sums[:, columns], self.counts[:, columns], spans)
            carried = carried_variance(self.ordinals, self.answers, self.reference.windows.gap, spans)
            found = contrast_variance(white, self.reference.shares[columns], carried)
            missing = ~np.isfinite(white)
            change[np.ix_(usable, columns)] = np.where(missing, np.nan, part)
            variance[np.ix_(usable, columns)] = np.where(missing, np.nan, found)
        return change, variance

    def statistics(self, ends: Ints) -> FloatArray:
        """All components on each day, (M, windows x tests); NaN where the window has no base yet."""
        windows = self.reference.windows
        result = []
        for recent in windows.recent:
            spans = spans_at(ends, recent, windows.base)
            fits = spans.middle >= windows.again
            z = np.full((ends.size, self.unit.shape[1]), np.nan)
            if fits.any():
                z[fits] = self.z(Spans(low=spans.low[fits], middle=spans.middle[fits], end=spans.end[fits]))
            found = components(z, self.reference.basis)
            # A joint test of a few series is not the one that was calibrated.
            found[np.isfinite(z).mean(axis=1) < 0.5] = np.nan
            result.append(found)
        return np.concatenate(result, axis=1)

    def effects(self, spans: Spans) -> tuple[Effect, ...]:
        """Changes of the raw series over one contrast."""
        basis = self.reference.basis
        _, variance = self.change(spans)
        own = variance[0, int(basis.has_common) :]
        total = own * basis.rest**2
        if basis.has_common:
            total = total + np.nan_to_num(variance[0, 0]) * basis.loading**2
        se = np.sqrt(total) * basis.scale
        names = basis.names[int(basis.has_common) :]
        found = []
        habit = basis.weekday[(self.ordinals + 6) % 7]
        for i, name in enumerate(names):
            base, recent = slice(spans.low[0], spans.middle[0]), slice(spans.middle[0], spans.end[0])
            base = slice(max(base.start, int(self.starts[i + int(basis.has_common)])), base.stop)
            weights = self.raw_weights[:, i]
            if not np.isfinite(se[i]) or weights[base].sum() == 0 or weights[recent].sum() == 0:
                continue
            column = np.nan_to_num(self.raw[:, i]) - habit[:, i]
            before = float(np.average(column[base], weights=weights[base]))
            after = float(np.average(column[recent], weights=weights[recent]))
            found.append(Effect(name=name, before=before, after=after, std_error=float(se[i])))
        return tuple(found)


def first_alarm(reference: Reference, spread: Spread, first: int, last: int) -> tuple[Alarm | None, FloatArray]:
    """The first alarm on the days [first, last), and every day's score."""
    scored = reference.tail.score(spread.statistics(np.arange(first, last) + 1))
    known = np.isfinite(scored).any(axis=1)
    score = np.where(known, np.nan_to_num(scored, nan=-np.inf).max(axis=1), np.nan)
    above = np.flatnonzero(np.nan_to_num(score, nan=-np.inf) > reference.threshold)
    if not above.size:
        return None, score
    at = int(above[0])
    return _alarm(reference, spread, first + at, scored[at], float(score[at])), score


def _alarm(reference: Reference, spread: Spread, day: int, scored: FloatArray, score: float) -> Alarm:
    windows = reference.windows
    which = int(np.nanargmax(scored))
    recent = windows.recent[which // len(COMPONENTS)]
    dating = date_change(spread.change, spread.unit, spread.relative, day + 1, windows, spread.starts)
    spans = Spans(
        low=np.array([max(dating.best - windows.base, 0)]),
        middle=np.array([dating.best]),
        end=np.array([day + 1]),
    )
    effects = spread.effects(spans)
    single, others_p = _only_one(effects, reference.basis.names, reference.basis.brands)
    return Alarm(
        day=day,
        score=score,
        threshold=reference.threshold,
        p_value=reference.p_value(score),
        per_year=reference.per_year(score),
        component=f"{COMPONENTS[which % len(COMPONENTS)]} over {recent} asking days",
        dating=dating,
        effects=effects,
        single=single,
        others_p=others_p,
        base=windows.base,
    )


def _only_one(effects: tuple[Effect, ...], names: tuple[str, ...], brands: int) -> tuple[str | None, float]:
    """The only series that moved, if it is a brand and the others moved no more than chance does; their p."""
    if not effects:
        return None, float("nan")
    first = int(names[0] == "common factor")
    tracked = set(names[first : first + brands])
    by_size = sorted(effects, key=lambda one: -abs(one.z))
    top = by_size[0]
    others = np.array([one.z for one in by_size[1:] if one.name not in FOLLOWERS])
    p = float(stats.chi2.sf((others**2).sum(), others.size)) if others.size else 1.0
    return (top.name if top.name in tracked and p > OTHERS_UNUSUAL else None), p
