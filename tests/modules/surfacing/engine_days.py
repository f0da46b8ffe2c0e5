"""Simulated engine days as the detector reads them, and how often and how soon it raises an alarm on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from liftos_pipelines.modules.surfacing.changes.daily import DailySeries
from liftos_pipelines.modules.surfacing.changes.watch import Watch, watch
from liftos_pipelines.simulate.answer_days import AnswerDays, answer_days


def as_series(world: AnswerDays) -> DailySeries:
    return DailySeries(
        engine="one",
        days=world.days,
        values=world.values,
        weights=np.repeat(world.weights[:, None], world.values.shape[1], axis=1),
        names=world.names,
        brands=world.brands,
    )


def watched(seed: int, *, rate: float = 1.0, histories: int = 150, **world: Any) -> Watch:
    return watch(as_series(answer_days(seed, **world)), seed=seed, rate=rate, histories=histories)


def false_alarms(worlds: int, **world: Any) -> tuple[int, float]:
    """Alarms of stable engines, and the years that they were watched."""
    alarms, years = 0, 0.0
    for seed in range(worlds):
        found = watched(seed, **world)
        alarms += len(found.alarms)
        tested = np.flatnonzero(np.isfinite(found.score))
        years += (found.series.days[tested[-1]] - found.series.days[tested[0]]).days / 365.25
    return alarms, years


def delays(worlds: int, *, change_day: int = 150, **world: Any) -> list[int | None]:
    """Days from the change to the first alarm within 14 days; None where there was none."""
    result: list[int | None] = []
    for seed in range(worlds):
        found = watched(1000 + seed, change_day=change_day, days=change_day + 20, **world)
        first = found.series.days[0].toordinal()
        after = [found.series.days[alarm.day].toordinal() - first - change_day for alarm in found.alarms]
        result.append(next((delay for delay in after if 0 <= delay <= 14), None))
    return result
