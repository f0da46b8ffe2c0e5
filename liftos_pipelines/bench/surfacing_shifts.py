"""False alarms and power of the watch over assistants' answers, beside simpler rules on the same simulated engines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from liftos_pipelines.bench import exchangeable_days as exchangeable
from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.surfacing.changes.daily import DailySeries
from liftos_pipelines.modules.surfacing.changes.watch import watch
from liftos_pipelines.simulate.answer_days import AnswerDays, answer_days
from liftos_pipelines.stats import wilson_interval

RATE = 1.0
"""False alarms a year that every rule with a threshold is set to."""
HISTORIES = 150
STABLE_WORLDS = 10
CHANGED_WORLDS = 12
CHANGE_DAY, DAYS_AFTER = 150, 14
REFRACTORY = 28
STABLE: dict[str, dict[str, Any]] = {
    "independent days": {},
    "day noise that carries over (.5)": {"carry": 0.5},
    "day noise that carries over (.8)": {"carry": 0.8},
    "asked weekly": {"every": 7, "days": 1095},
}
CHANGED: dict[str, dict[str, Any]] = {
    ".3 logit on every brand's rate": {"change": "every brand", "carry": 0.5},
    ".3 logit on every prompt": {"change": "every brand", "on": "prompt", "icc": 0.4, "carry": 0.5},
    ".8 logit on a fifth of the brands' prompts": {"change": "a fifth", "size": 0.8, "on": "prompt", "carry": 0.5},
    "1 logit on one brand's prompts": {"change": "one brand", "size": 1.0, "on": "prompt", "carry": 0.5},
    "citations by .3 sd of an answer": {"change": "citations", "carry": 0.5},
    "length by .3 sd of an answer": {"change": "length", "carry": 0.5},
}
Rule = Callable[[AnswerDays, int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Positions of the alarms of each world, and the worlds."""

    worlds: list[AnswerDays]
    alarms: list[list[int]]


def measure(data: Path) -> Iterator[Figure]:
    """False alarms an engine-year and power within a fortnight; `data` is not read."""
    began = time.process_time()
    years = 0.0
    for name, world in STABLE.items():
        found = {rule: _run(RULES[rule], STABLE_WORLDS, 5000, world) for rule in RULES}
        mine = found[WATCH]
        watched = sum(_watched_years(one) for one in mine.worlds)
        years += watched
        counts = {rule: sum(len(alarms) for alarms in one.alarms) / watched for rule, one in found.items()}
        n = sum(len(alarms) for alarms in mine.alarms)
        yield Figure(
            benchmark="surfacing",
            name=f"false alarms, {name}",
            value=counts[WATCH],
            low=float(stats.gamma.ppf(0.05, n)) / watched if n else 0.0,
            high=float(stats.gamma.ppf(0.95, n + 1)) / watched,
            unit="an engine-year",
            n=len(mine.worlds),
            goal=f"<= {RATE:g}",
            method=f"stable engines, 40 brands, 60 answers an asking, {watched:.1f} engine-years; threshold for "
            f"{RATE:g} a year; {_beside(counts)}; never 0",
            baseline="days as exchangeable",
            baseline_value=counts[EXCHANGEABLE],
        )
    for name, world in CHANGED.items():
        changed = {"change_day": CHANGE_DAY, "days": CHANGE_DAY + DAYS_AFTER + 1}
        found = {rule: _run(RULES[rule], CHANGED_WORLDS, 7000, world | changed) for rule in RULES}
        delays = {
            rule: [_delay(*pair) for pair in zip(one.worlds, one.alarms, strict=True)] for rule, one in found.items()
        }
        power = {rule: float(np.mean(np.isfinite(delay))) for rule, delay in delays.items()}
        low, high = wilson_interval(power[WATCH] * CHANGED_WORLDS, CHANGED_WORLDS)
        seen = [delay for delay in delays[WATCH] if np.isfinite(delay)]
        yield Figure(
            benchmark="surfacing",
            name=f"found within {DAYS_AFTER} days, {name}",
            value=power[WATCH],
            low=low,
            high=high,
            unit="",
            n=CHANGED_WORLDS,
            goal=">= .95" if "every brand" in name else None,
            method=f"median delay {np.median(seen) if seen else float('nan'):.0f} days; day noise carries over (.5); "
            f"{_beside(power)}; never 0, always 1",
            baseline="best single brand (Bonferroni)",
            baseline_value=power[SINGLE],
        )
    yield Figure(
        benchmark="surfacing",
        name="CPU time of a watched engine-year",
        value=_cpu_of_a_year(),
        unit="s",
        n=2,
        goal="a few seconds for two engines and two years",
        method=f"40 brands, asked daily, as shipped; this part took {time.process_time() - began:.0f} s of CPU",
    )


def _beside(values: dict[str, float]) -> str:
    return ", ".join(f"{rule} {value:.2g}" for rule, value in values.items() if rule != WATCH)


def _run(rule: Rule, worlds: int, first_seed: int, settings: dict[str, Any]) -> Result:
    made = [answer_days(first_seed + seed, **settings) for seed in range(worlds)]
    return Result(worlds=made, alarms=[rule(one, seed) for seed, one in enumerate(made)])


def _watched_years(world: AnswerDays) -> float:
    return ((world.days[-1] - world.days[0]).days + 1) / 365.25


def _delay(world: AnswerDays, alarms: list[int]) -> float:
    """Days from the change to the first alarm after it, infinite without one."""
    first = world.days[0].toordinal() + CHANGE_DAY
    after = [world.days[at].toordinal() - first for at in alarms]
    return min((delay for delay in after if 0 <= delay <= DAYS_AFTER), default=float("inf"))


def _watch(world: AnswerDays, seed: int) -> list[int]:
    return [alarm.day for alarm in watch(_series(world), seed=seed, rate=RATE, histories=HISTORIES).alarms]


def _series(world: AnswerDays) -> DailySeries:
    weights = np.repeat(world.weights[:, None], world.values.shape[1], axis=1)
    return DailySeries(
        engine="one", days=world.days, values=world.values, weights=weights, names=world.names, brands=world.brands
    )


def _exchangeable(world: AnswerDays, seed: int) -> list[int]:
    values, weights = world.values, world.weights
    windows = exchangeable.windows_for(_series(world).gap)
    found = exchangeable.scan(
        values, weights, world.brands, windows=windows, span_days=_watched_years(world) * 365.25, seed=seed,
        permutations=100, false_alarms_per_year=RATE / 2,
    )  # fmt: skip
    return [alarm.day for alarm in exchangeable.find_alarms(values, weights, world.brands, found)]


def _single(world: AnswerDays, seed: int) -> list[int]:
    """The largest |z| of a brand's 5 days against 28, with the normal threshold for all brands and looks."""
    rates = world.values[:, : world.brands]
    varied = np.ptp(rates, axis=0) > 0
    windows = exchangeable.windows_for(_series(world).gap)
    z = np.abs(exchangeable.window_z(rates[:, varied], world.weights, windows)).max(axis=1)
    looks = 365.25 / _series(world).gap * varied.sum()
    return _spaced(z > stats.norm.isf(RATE / looks / 2), _series(world).gap)


def _rolling(world: AnswerDays, seed: int) -> list[int]:
    """Brands named an answer: a day beyond three standard deviations of the 28 before it."""
    named = world.values[:, : world.brands].sum(axis=1)
    above = np.zeros(named.size, dtype=bool)
    for day in range(14, named.size):
        past = named[max(0, day - 28) : day]
        above[day] = abs(named[day] - past.mean()) > 3 * past.std(ddof=1)
    return _spaced(above, _series(world).gap)


def _always(world: AnswerDays, seed: int) -> list[int]:
    return list(range(len(world.days)))


def _spaced(above: np.ndarray, gap: float) -> list[int]:
    """Positions of alarms, none within `REFRACTORY` days of the one before."""
    found: list[int] = []
    for at in np.flatnonzero(above):
        if not found or (at - found[-1]) * gap >= REFRACTORY:
            found.append(int(at))
    return found


def _cpu_of_a_year() -> float:
    series = _series(answer_days(0, days=730))
    began = time.process_time()
    watch(series, seed=0)
    return (time.process_time() - began) / 2


WATCH, EXCHANGEABLE, SINGLE = "watch", "days as exchangeable", "best single brand"
RULES: dict[str, Rule] = {
    WATCH: _watch,
    EXCHANGEABLE: _exchangeable,
    SINGLE: _single,
    "rolling z": _rolling,
    "always": _always,
}
