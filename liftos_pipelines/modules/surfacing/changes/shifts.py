"""What changed in what assistants answer, and whose change it is: a brand's, an engine's, the world's, our own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.surfacing.changes.attribution import (
    MODEL_COLUMNS,
    OWN_COLUMNS,
    asked_prompts,
    on_same_prompts,
    prompts_replaced,
    versions_changed,
)
from liftos_pipelines.modules.surfacing.changes.contrast import Spans
from liftos_pipelines.modules.surfacing.changes.daily import DailySeries, daily_series
from liftos_pipelines.modules.surfacing.changes.reference import HISTORIES
from liftos_pipelines.modules.surfacing.changes.watch import (
    FALSE_ALARMS_PER_YEAR,
    Alarm,
    Effect,
    Spread,
    Watch,
    first_alarm,
    past_reference,
    watch,
)
from liftos_pipelines.stats import benjamini_hochberg
from liftos_pipelines.tables import ALL, table

SAME_TIME_DAYS = 7
"""Alarms of several engines within so many days are one event."""
AGREES_P = 0.01
AGREES_SIZE = 0.4
"""An engine without an alarm of its own took part if its brands moved the same way: this surely, and by this share."""
FALSE_DISCOVERIES = 0.1
"""Share of wrong names expected among the series said to have moved."""

_EFFECT = pl.Struct(
    {
        "brand": pl.String(),
        "before": pl.Float64(),
        "points": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "logit": pl.Float64(),
        "logit_low": pl.Float64(),
        "logit_high": pl.Float64(),
        "p_adjusted": pl.Float64(),
    }
)
EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "window_start": pl.Date(),
    "window_end": pl.Date(),
    "base_start": pl.Date(),
    "changed_low": pl.Date(),
    "changed_high": pl.Date(),
    "statistic": pl.Float64(),
    "threshold": pl.Float64(),
    "false_alarms_per_year": pl.Float64(),
    "recurrence_per_year": pl.Float64(),
    "moved": pl.List(pl.String()),
    "won": pl.List(pl.String()),
    "lost": pl.List(pl.String()),
    "brand_effects": pl.List(_EFFECT),
    "evidence": pl.String(),
}


@dataclass(frozen=True, kw_only=True)
class EngineState:
    """Whether an engine is watched, since when, and what of it; `reason` says why it is not."""

    engine: str
    asking_days: int
    watched_since: date | None
    brands: int
    features: int
    reason: str
    drifting_since: date | None


@dataclass(frozen=True, kw_only=True)
class ShiftReport:
    """`table` is `surfacing/shifts`; `watches` one an engine; `false_alarms_per_year` stated, per engine."""

    table: pl.DataFrame
    watches: tuple[Watch, ...]
    engines: tuple[EngineState, ...]
    false_alarms_per_year: float

    @property
    def watched_years(self) -> float:
        return sum(_years(watch) for watch in self.watches)


@dataclass(frozen=True, kw_only=True)
class _Shift:
    """An alarm with its attribution; `group` holds the alarms of all engines that it stands for."""

    engine: str
    kind: str
    brand: str
    day: date
    alarm: Alarm
    series: DailySeries
    evidence: str


def watch_engines(
    mentions: pl.DataFrame,
    answers: pl.DataFrame,
    *,
    seed: int = 0,
    false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR,
    histories: int = HISTORIES,
) -> ShiftReport:
    """Dated changes of visibility, classified: the table `surfacing/shifts`, with what stands behind it.

    - `brand`: one brand moved and the others did not (engine `all` when it did so on every engine at once);
    - `engine`: several series of one engine moved, or brand-free ones;
    - `world`: the same on every engine within a week (needs at least two engines);
    - `own`: prompts changed, and on the prompts asked before and after nothing did; or a recorded version of our
      parser, collector or locale changed at that time.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions` with its extra columns
    answers : the table `sources/answers`; `model`, `parser_version` and their like are read where they are there
    seed : of the simulated histories
    false_alarms_per_year : per engine, that thresholds are made for

    Returns
    -------
    The table has the contract's columns and `EXTRA_COLUMNS`. `detected_at` is the end of the day on which the
    alarm could first be raised and does not move as days are added; `effect` is the change of the brand's mention
    rate, or the root mean square change over brands in excess of noise; `p_value` is the joint probability, over
    all tests of the day, that a stable engine's day looks so.
    """
    contract = table("surfacing/shifts")
    schema = contract.columns | EXTRA_COLUMNS
    empty = pl.DataFrame(schema=schema)
    if mentions.is_empty() or answers.is_empty():
        return ShiftReport(table=empty, watches=(), engines=(), false_alarms_per_year=false_alarms_per_year)
    asked = asked_prompts(answers)
    watches = [
        watch(series, seed=seed, rate=false_alarms_per_year, histories=histories)
        for series in daily_series(mentions, answers)
    ]
    found = [
        shift
        for one in watches
        for alarm in one.alarms
        for shift in _attribute(
            one,
            alarm,
            mentions,
            answers,
            asked.filter(pl.col("engine") == one.series.engine),
            false_alarms_per_year,
            seed,
        )
    ]
    rows = [_row(shift, false_alarms_per_year) for shift in _merge_engines(found, watches)]
    frame = pl.DataFrame(rows, schema=schema) if rows else empty
    return ShiftReport(
        table=contract.conform(frame.sort("detected_at", "engine", "brand")),
        watches=tuple(watches),
        engines=tuple(_state(one) for one in watches),
        false_alarms_per_year=false_alarms_per_year,
    )


def _attribute(
    watched: Watch,
    alarm: Alarm,
    mentions: pl.DataFrame,
    answers: pl.DataFrame,
    asked: pl.DataFrame,
    rate: float,
    seed: int,
) -> list[_Shift]:
    """Whose change an alarm is: one shift, or two where our own change and another's fell together."""
    series = watched.series
    begin, low, _, end = _days_of(watched, alarm)
    versioned = asked
    extra = [name for name in OWN_COLUMNS if name in mentions.columns and name not in asked.columns]
    if extra:
        versioned = asked.join(mentions.select("answer_id", *extra).unique("answer_id"), on="answer_id", how="left")
    # From the interval's end on: days that the alarm may have come after are no evidence of a version's change.
    sure = series.days[alarm.dating.last]
    version = versions_changed(versioned, OWN_COLUMNS, begin, low, sure, end)
    if version:
        return [_shift(watched, alarm, "own", version)]
    words, left = _on_same_prompts(watched, alarm, mentions, answers, asked, begin, end, rate, seed)
    shifts = [_shift(watched, alarm, "own", words)] if words else []
    if words and left is None:
        return shifts
    theirs = left or alarm
    model = versions_changed(asked, MODEL_COLUMNS, begin, low, sure, end)
    note = [f"on prompts asked before and after {words.split(';')[0]}"] if words else []
    kind = "engine" if theirs.single is None else "brand"
    return [*shifts, _shift(watched, theirs, kind, *note, *([model] if model else []))]


def _shift(watched: Watch, alarm: Alarm, kind: str, *notes: str) -> _Shift:
    words = [f"{alarm.component}: score {alarm.score:.1f} (threshold {alarm.threshold:.1f})"]
    if kind == "brand":
        words.append(f"other series p {alarm.others_p:.2g}")
    return _Shift(
        engine=watched.series.engine,
        kind=kind,
        brand=alarm.single or ALL if kind == "brand" else ALL,
        day=watched.series.days[alarm.day],
        alarm=alarm,
        series=watched.series,
        evidence="; ".join([*words, *notes]),
    )


def _days_of(watched: Watch, alarm: Alarm) -> tuple[date, date, date, date]:
    """First day of the base, earliest and latest beginning of the change, day of the alarm."""
    days, dating = watched.series.days, alarm.dating
    begin = days[max(0, dating.best - watched.windows.base)]
    return begin, days[max(0, dating.first - 1)] + timedelta(days=1), days[dating.last], days[alarm.day]


def _on_same_prompts(
    watched: Watch,
    alarm: Alarm,
    mentions: pl.DataFrame,
    answers: pl.DataFrame,
    asked: pl.DataFrame,
    begin: date,
    end: date,
    rate: float,
    seed: int,
) -> tuple[str, Alarm | None]:
    """Words about the prompt set if it changed, and the alarm that prompts asked on both sides raise all the same.

    They are fewer, so they are given until the longest window has filled (or the next alarm comes).
    """
    series, windows = watched.series, watched.windows
    # The day that parts the prompts best: a day too early would leave replaced prompts on both sides.
    around = range(max(1, alarm.dating.first - 7), alarm.day + 1)
    splits = [prompts_replaced(asked, begin, series.days[at], end) for at in around]
    _, words, common = max(splits, key=lambda one: one[0], default=(0.0, "", set[str]()))
    if not words:
        return "", None
    kept = on_same_prompts(series, mentions, answers, asked, common) if common else None
    if kept is None:
        return f"{words}; no prompt was asked on both sides", None
    ordinals = np.array([day.toordinal() for day in series.days], dtype=np.int64)
    part = replace(series, values=kept[0], weights=kept[1])
    # These prompts vary in their own way: their own past says how.
    reference = past_reference(
        part,
        kept[0],
        np.zeros(kept[0].shape, dtype=np.int64),
        ordinals,
        alarm.dating.first,
        windows,
        rate=rate,
        seed=seed,
    )
    if reference is None:
        return f"{words}; prompts asked on both sides vary too little to look further", None
    spread = Spread(reference, kept[0], part, ordinals, np.zeros(len(series.names), dtype=np.int64))
    following = [one.day for one in watched.alarms if one.day > alarm.day]
    last = min([alarm.day + windows.recent[-1], len(series), *following])
    left, score = first_alarm(reference, spread, alarm.day, last)
    if not np.isfinite(score).any():
        return f"{words}; too few answers to prompts asked on both sides to look further", None
    largest = float(np.nanmax(score))
    return f"{words}; on prompts asked on both sides the largest score is {largest:.1f}", left


def _merge_engines(shifts: list[_Shift], watches: list[Watch]) -> list[_Shift]:
    """Shifts of all engines at one time become one: the same brand everywhere, or the world."""
    shifts = sorted(shifts, key=lambda one: (one.day, one.engine))
    merged: list[_Shift] = []
    used: set[int] = set()
    for index, shift in enumerate(shifts):
        if index in used:
            continue
        together = {shift.engine: index}
        for later in range(index + 1, len(shifts)):
            other = shifts[later]
            near = other.day - shift.day <= timedelta(days=SAME_TIME_DAYS)
            alike = other.kind == shift.kind and other.brand == shift.brand
            if near and alike and later not in used and other.engine not in together:
                together[other.engine] = later
        group = [shifts[i] for i in together.values()]
        rest = [one for one in watches if one.series.engine not in together and _testing(one, shift.day)]
        agreeing = [words for one in rest if (words := _agrees(shift, one))]
        if shift.kind == "own" or len(group) + len(rest) < 2 or len(agreeing) < len(rest):
            merged.append(shift)
            continue
        used |= set(together.values())
        newest = max(group, key=lambda one: one.day)
        weakest = max(group, key=lambda one: one.alarm.p_value)  # every engine must have changed
        merged.append(
            replace(
                newest,
                engine=ALL,
                kind="world" if shift.kind == "engine" else shift.kind,
                alarm=replace(newest.alarm, p_value=weakest.alarm.p_value, per_year=weakest.alarm.per_year),
                evidence="; ".join([*(f"{one.engine}: {one.evidence}" for one in group), *agreeing]),
            )
        )
    return merged


def _testing(one: Watch, day: date) -> bool:
    """Whether an engine was being tested about a day."""
    at = [i for i, other in enumerate(one.series.days) if abs((other - day).days) <= SAME_TIME_DAYS]
    return bool(np.isfinite(one.score[at]).any()) if at else False


def _agrees(shift: _Shift, other: Watch) -> str:
    """Words about another engine whose brands moved as this one's did, else nothing.

    Its changes are projected on this engine's (in units of their errors): about normal if it did not change.
    """
    days = other.series.days
    middle = next((i for i, day in enumerate(days) if day >= shift.series.days[shift.alarm.dating.best]), None)
    end = sum(day <= shift.day for day in days)
    if middle is None or end <= middle or middle < other.windows.again:
        return ""
    ordinals = np.array([day.toordinal() for day in days], dtype=np.int64)
    if not other.references or other.references[0][0] > end - 1:
        return ""
    reference = other.reference_on(end - 1)
    starts = np.zeros(len(other.series.names), dtype=np.int64)
    spread = Spread(reference, other.series.values, other.series, ordinals, starts)
    spans = Spans(low=np.array([max(0, middle - other.windows.base)]), middle=np.array([middle]), end=np.array([end]))
    theirs = {one.name: one for one in spread.effects(spans)}
    brands = set(shift.series.names[: shift.series.brands])
    ours = [one for one in shift.alarm.effects if one.name in theirs and one.name in brands]
    if shift.kind == "brand":
        ours = [one for one in ours if one.name == shift.brand]
    if not ours:
        return ""
    a, b = np.array([one.z for one in ours]), np.array([theirs[one.name].z for one in ours])
    along = float((a * b).sum() / np.sqrt((a**2).sum()))
    size = float((a * b).sum() / (a**2).sum())
    p = float(stats.norm.sf(along))
    if p > AGREES_P or size < AGREES_SIZE:
        return ""
    return f"{other.series.engine}: no alarm of its own, but the same brands moved the same way (p {p:.2g})"


def _row(shift: _Shift, rate: float) -> dict[str, object]:
    alarm, series = shift.alarm, shift.series
    days, dating = series.days, alarm.dating
    brands = set(series.names[: series.brands])
    p = benjamini_hochberg(np.array([2 * stats.norm.sf(abs(one.z)) for one in alarm.effects]))
    order = np.argsort([-abs(one.z) for one in alarm.effects], kind="stable")
    moved = [alarm.effects[i] for i in order if p[i] <= FALSE_DISCOVERIES]
    tracked = [i for i in order if alarm.effects[i].name in brands]
    return {
        "detected_at": datetime.combine(shift.day, time(23, 59, 59), tzinfo=UTC),
        "engine": shift.engine,
        "kind": shift.kind,
        "brand": shift.brand,
        "effect": _overall(shift, [alarm.effects[i] for i in tracked]),
        "p_value": alarm.p_value,
        "window_start": days[dating.best],
        "window_end": shift.day,
        "base_start": days[max(0, dating.best - alarm.base)],
        "changed_low": days[max(0, dating.first - 1)] + timedelta(days=1) if dating.first else days[0],
        "changed_high": days[dating.last],
        "statistic": alarm.score,
        "threshold": alarm.threshold,
        "false_alarms_per_year": rate,
        "recurrence_per_year": alarm.per_year,
        "moved": [one.name for one in moved],
        "won": [one.name for one in moved if one.name in brands and one.z > 0],
        "lost": [one.name for one in moved if one.name in brands and one.z < 0],
        "brand_effects": [_effect(alarm.effects[i], float(p[i])) for i in tracked],
        "evidence": shift.evidence,
    }


def _overall(shift: _Shift, effects: list[Effect]) -> float | None:
    """The brand's change; for all brands the root mean square change in excess of noise."""
    if shift.kind == "brand":
        own = next((one for one in effects if one.name == shift.brand), None)
        return None if own is None else own.after - own.before
    if not effects:
        return None
    square = float(np.mean([(one.after - one.before) ** 2 - one.std_error**2 for one in effects]))
    return max(0.0, square) ** 0.5


def _effect(one: Effect, p_adjusted: float) -> dict[str, object]:
    """A brand's change in points and on the logit of its mention rate, with 90 % intervals."""
    z = float(stats.norm.ppf(0.95))
    points = one.after - one.before
    before, after = (min(max(rate, 1e-4), 1 - 1e-4) for rate in (one.before, one.after))
    logit = float(np.log(after / (1 - after)) - np.log(before / (1 - before)))
    middle = (before + after) / 2
    half = z * one.std_error
    logit_half = half / (middle * (1 - middle))
    return {
        "brand": one.name,
        "before": one.before,
        "points": points,
        "low": points - half,
        "high": points + half,
        "logit": logit,
        "logit_low": logit - logit_half,
        "logit_high": logit + logit_half,
        "p_adjusted": p_adjusted,
    }


def _state(one: Watch) -> EngineState:
    series, tested = one.series, np.flatnonzero(np.isfinite(one.score))
    watched = one.references[-1][1].basis if one.references else None
    reason = ""
    if not tested.size:
        needed = one.windows.first
        reason = (
            f"{len(series)} asking days, at least {needed} are needed"
            if len(series) < needed
            else "no series varies enough to be watched"
        )
    return EngineState(
        engine=series.engine,
        asking_days=len(series),
        watched_since=series.days[int(tested[0])] if tested.size else None,
        brands=watched.brands if watched else 0,
        features=len(watched.names) - watched.brands - int(watched.has_common) if watched else 0,
        reason=reason,
        drifting_since=series.days[one.drifts[-1].dating.first] if one.drifts else None,
    )


def _years(one: Watch) -> float:
    tested = np.flatnonzero(np.isfinite(one.score))
    if not tested.size:
        return 0.0
    return ((one.series.days[int(tested[-1])] - one.series.days[int(tested[0])]).days + 1) / 365.25
