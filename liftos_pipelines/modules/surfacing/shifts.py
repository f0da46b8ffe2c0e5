"""What changed in what assistants answer, and whose change it is: a brand's, an engine's, the world's, our own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.surfacing.change import (
    FALSE_ALARMS_PER_YEAR,
    Alarm,
    Scan,
    exceedance,
    find_alarms,
    joint_statistic,
    scan,
    window_z,
    windows_for,
)
from liftos_pipelines.modules.surfacing.daily import DailySeries, daily_series, domain_entropies
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table

OTHERS_UNUSUAL = 0.001
"""The other series count as changed too when chance moves them this far with this probability."""
PROMPTS_CHANGED = 0.1
"""Share of recent answers to prompts not asked before (or of earlier ones no longer asked) that makes us look."""
SAME_TIME_DAYS = 7
"""Alarms of several engines within so many days are one event."""

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "window_start": pl.Date(),
    "window_end": pl.Date(),
    "base_start": pl.Date(),
    "statistic": pl.Float64(),
    "threshold": pl.Float64(),
    "false_alarms_per_year": pl.Float64(),
    "moved": pl.List(pl.String()),
    "evidence": pl.String(),
}


@dataclass(frozen=True, kw_only=True)
class _Alarm:
    engine: str
    kind: str
    brand: str
    day: date
    window_start: date
    base_start: date
    effect: float
    p_value: float
    statistic: float
    threshold: float
    moved: tuple[str, ...]
    evidence: str


def visibility_shifts(mentions: pl.DataFrame, answers: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Dated changes of visibility, classified: the table `surfacing/shifts`.

    Each engine's daily mention rates of all tracked brands and brand-free features are tested jointly, and
    the largest brand alone, on every day with enough history: the last 5 asking days against the 28 before
    them. Thresholds come from permuted days, for `FALSE_ALARMS_PER_YEAR` per engine and test.

    - `brand`: one brand moved and the others did not (engine `all` when it did so on every engine at once);
    - `engine`: several series of one engine moved;
    - `world`: the same on every engine within a week (needs at least two engines);
    - `own`: prompts changed, and on the prompts asked before and after nothing did.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions` with its extra columns
    answers : the table `sources/answers`
    seed : of the permutations

    Returns
    -------
    the contract's columns and `EXTRA_COLUMNS`. `detected_at` is the end of the day on which the alarm could
    first be raised; `effect` is the change of the brand's mention rate, or the mean absolute change over
    brands; `p_value` is that of the day's test under permuted days (not corrected for looking daily: the
    alarm rate is what is controlled).
    """
    contract = table("surfacing/shifts")
    empty = pl.DataFrame(schema=contract.columns | EXTRA_COLUMNS)
    if mentions.is_empty() or answers.is_empty():
        return empty
    prompts = answers.filter(pl.col("asked_at").is_not_null()).select(
        "engine", "answer_id", date=pl.col("asked_at").dt.date(), prompt=_prompt_hash()
    )
    alarms: list[_Alarm] = []
    testable: set[str] = set()
    for series in daily_series(mentions, domain_entropies(answers)):
        if len(series) < 2 or not series.names:
            continue
        found = _scan(series, seed)
        if not np.isfinite(found.joint).any():
            continue
        testable.add(series.engine)
        raised = find_alarms(series.values, series.weights, series.brands, found)
        alarms += [_classify(series, found, alarm, mentions, prompts) for alarm in raised]
    if not alarms:
        return empty
    rows = [_row(alarm) for alarm in _merge_engines(alarms, testable)]
    frame = pl.DataFrame(rows, schema=contract.columns | EXTRA_COLUMNS)
    return contract.conform(frame.sort("detected_at", "engine"))


def scan_state(mentions: pl.DataFrame, answers: pl.DataFrame) -> dict[str, int]:
    """Asking days of each engine: what says whether shifts could be tested at all."""
    return {
        str(engine): int(days)
        for engine, days in answers.group_by("engine").agg(pl.col("asked_at").dt.date().n_unique()).iter_rows()
    }


def _scan(series: DailySeries, seed: int) -> Scan:
    gaps = np.diff([day.toordinal() for day in series.days])
    windows = windows_for(float(np.median(gaps)))
    first = min(windows.recent + windows.minimum - 1, len(series) - 1)
    return scan(
        series.values,
        series.weights,
        series.brands,
        windows=windows,
        span_days=float((series.days[-1] - series.days[first]).days + 1),
        seed=seed,
    )


def _prompt_hash() -> pl.Expr:
    """Identity of a prompt: its id and its wording, so that a reworded prompt counts as another."""
    return pl.concat_str("prompt_id", pl.col("prompt").fill_null(""), separator="\n").map_elements(
        lambda text: hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), return_dtype=pl.String
    )


def _classify(series: DailySeries, found: Scan, alarm: Alarm, mentions: pl.DataFrame, prompts: pl.DataFrame) -> _Alarm:
    """Whose change an alarm is."""
    day, middle, start, z = alarm.day, alarm.recent_start, alarm.base_start, alarm.z
    change = _change(series, start, middle, day)
    moved = tuple(series.names[i] for i in np.argsort(-np.abs(z)) if abs(z[i]) > 3)
    kind, brand = "engine", ALL
    reason = f"joint statistic {alarm.joint:.1f} (threshold {found.joint_threshold:.1f})"
    if series.brands:
        top = int(np.argmax(np.abs(z[: series.brands])))
        # The number of brands per answer moves with any one brand, so it is no witness of the others.
        others = [i for i, name in enumerate(series.names) if i != top and name != "brands_per_answer"]
        unusual = float(stats.chi2.sf((z[others] ** 2).sum(), len(others))) if others else 1.0
        if abs(z[top]) > found.single_threshold and unusual > OTHERS_UNUSUAL:
            kind, brand = "brand", series.names[top]
            reason = f"{brand} z {z[top]:+.1f}, other series p {unusual:.3g}"
    prompt_note = _own_change(series, start, middle, day, found, mentions, prompts)
    if prompt_note:
        kind, brand, reason = "own", ALL, prompt_note
    single = kind == "brand"
    statistic = float(abs(z[series.names.index(brand)]) if single else alarm.joint)
    if single:
        size = change[series.names.index(brand)]
    else:
        size = np.abs(change[: series.brands]).mean() if series.brands else np.nan
    return _Alarm(
        engine=series.engine,
        kind=kind,
        brand=brand,
        day=series.days[day],
        window_start=series.days[middle],
        base_start=series.days[start],
        effect=float(size),
        p_value=exceedance(found.single_null if single else found.joint_null, statistic),
        statistic=statistic,
        threshold=found.single_threshold if single else found.joint_threshold,
        moved=moved,
        evidence=reason,
    )


def _change(series: DailySeries, start: int, middle: int, day: int) -> FloatArray:
    recent, base = slice(middle, day + 1), slice(start, middle)
    return np.average(series.values[recent], axis=0, weights=series.weights[recent]) - np.average(
        series.values[base], axis=0, weights=series.weights[base]
    )


def _own_change(
    series: DailySeries, start: int, middle: int, day: int, found: Scan, mentions: pl.DataFrame, prompts: pl.DataFrame
) -> str:
    """Words about the prompt set when it explains the alarm, else nothing."""
    asked = prompts.filter(
        (pl.col("engine") == series.engine) & pl.col("date").is_between(series.days[start], series.days[day])
    )
    recent = asked.filter(pl.col("date") >= series.days[middle])
    base = asked.filter(pl.col("date") < series.days[middle])
    if recent.is_empty() or base.is_empty():
        return ""
    new = recent.filter(~pl.col("prompt").is_in(base["prompt"].unique().implode())).height / recent.height
    gone = base.filter(~pl.col("prompt").is_in(recent["prompt"].unique().implode())).height / base.height
    if max(new, gone) <= PROMPTS_CHANGED:
        return ""
    words = f"{new:.0%} of recent answers are to new prompts, {gone:.0%} of earlier ones to prompts no longer asked"
    common = set(recent["prompt"]) & set(base["prompt"])
    kept = asked.filter(pl.col("prompt").is_in(list(common)))
    restricted = mentions.filter(pl.col("answer_id").is_in(kept["answer_id"].unique().implode()))
    no_entropy = pl.DataFrame(schema={"engine": pl.String, "date": pl.Date, "domain_entropy": pl.Float64})
    remaining = daily_series(restricted, no_entropy)
    if not remaining or not remaining[0].names or len(remaining[0]) < found.windows.recent + found.windows.minimum:
        return f"{words}; too few answers to prompts asked on both sides to look further"
    part = remaining[0]
    statistic = float(joint_statistic(window_z(part.values, part.weights, found.windows)[-1]))
    if statistic > found.joint_threshold:
        return ""
    return f"{words}; on prompts asked on both sides the joint statistic is {statistic:.1f}"


def _merge_engines(alarms: list[_Alarm], engines: set[str]) -> list[_Alarm]:
    """Alarms of all engines at one time become one: the same brand everywhere, or the world."""
    alarms = sorted(alarms, key=lambda alarm: (alarm.day, alarm.engine))
    merged: list[_Alarm] = []
    used: set[int] = set()
    for index, alarm in enumerate(alarms):
        if index in used:
            continue
        together = {alarm.engine: index}
        for later in range(index + 1, len(alarms)):
            other = alarms[later]
            near = other.day - alarm.day <= timedelta(days=SAME_TIME_DAYS)
            alike = other.kind == alarm.kind and other.brand == alarm.brand
            if near and alike and later not in used and other.engine not in together:
                together[other.engine] = later
        if len(engines) < 2 or set(together) != engines or alarm.kind == "own":
            merged.append(alarm)
            continue
        used |= set(together.values())
        group = [alarms[i] for i in together.values()]
        strongest = min(group, key=lambda one: one.p_value)
        merged.append(
            _Alarm(
                engine=ALL,
                kind="world" if alarm.kind == "engine" else alarm.kind,
                brand=alarm.brand,
                day=max(one.day for one in group),
                window_start=min(one.window_start for one in group),
                base_start=min(one.base_start for one in group),
                effect=float(np.mean([one.effect for one in group])),
                # Every engine must have changed, so the weakest evidence bounds the claim.
                p_value=max(one.p_value for one in group),
                statistic=strongest.statistic,
                threshold=strongest.threshold,
                moved=tuple(dict.fromkeys(name for one in group for name in one.moved)),
                evidence="; ".join(f"{one.engine}: {one.evidence}" for one in group),
            )
        )
    return merged


def _row(alarm: _Alarm) -> dict[str, object]:
    return {
        "detected_at": datetime.combine(alarm.day, time(23, 59, 59), tzinfo=UTC),
        "engine": alarm.engine,
        "kind": alarm.kind,
        "brand": alarm.brand,
        "effect": None if np.isnan(alarm.effect) else alarm.effect,
        "p_value": alarm.p_value,
        "window_start": alarm.window_start,
        "window_end": alarm.day,
        "base_start": alarm.base_start,
        "statistic": alarm.statistic,
        "threshold": alarm.threshold,
        "false_alarms_per_year": 2 * FALSE_ALARMS_PER_YEAR,
        "moved": list(alarm.moved),
        "evidence": alarm.evidence,
    }
