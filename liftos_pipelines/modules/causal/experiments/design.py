"""The next test of a channel: which geos, how many weeks, what it would find; or, on national data, an on/off test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.experiments.assign import Assignment, assign_geos, usable
from liftos_pipelines.modules.causal.experiments.geo_panel import ExperimentError, FloatArray, GeoPanel
from liftos_pipelines.modules.causal.experiments.power import LIFTS, TRIALS, PowerCurve, simulate_power
from liftos_pipelines.modules.causal.experiments.readout import METHODS, Method
from liftos_pipelines.modules.causal.experiments.sample_size import ALPHA, POWER
from liftos_pipelines.modules.causal.experiments.switchback import (
    BLOCK_WEEKS,
    MIN_PAIRS,
    Switchback,
    schedule,
    switchback_power,
)

OTHER_WEEKS = (2, 4, 6, 8, 12)
OTHER_TRIALS = 100
NO_GEOS = "the data are national (one geo): a geo test is not possible, as no untreated geo is left to compare with"


@dataclass(frozen=True, kw_only=True)
class GeoDesign:
    """`curve` is the design asked for; `others` are other weeks and numbers of geos, by the same method."""

    channel: str
    weeks: int
    lift: float
    assignment: Assignment
    curve: PowerCurve
    others: tuple[PowerCurve, ...]
    notes: tuple[str, ...]

    @property
    def power(self) -> float:
        """Chance of finding the lift asked for, at 5 %."""
        return self.curve.at(self.lift)


@dataclass(frozen=True, kw_only=True)
class NationalDesign:
    """An on/off test in place of a geo test: `on` by week, for the length asked for (made whole pairs of blocks)."""

    channel: str
    lift: float
    reason: str
    on: tuple[bool, ...]
    curve: Switchback
    others: tuple[Switchback, ...]

    @property
    def power(self) -> float:
        """Chance of finding the lift asked for, at 5 %."""
        return float(np.interp(self.lift, self.curve.lifts, self.curve.power))


def design_test(
    panel: GeoPanel,
    channel: str,
    *,
    weeks: int,
    lift: float = 0.05,
    n_treated: int | None = None,
    excluded: Sequence[str] = (),
    max_spend_share: float | None = None,
    method: Method | None = None,
    trials: int = TRIALS,
    seed: int = 0,
) -> GeoDesign | NationalDesign:
    """Assignment, power curve and smallest lift found; without `n_treated` the fewest geos that find `lift`.

    Without `method`, the one that finds the smaller lift among those whose false alarms keep to their level.

    Raises
    ------
    ExperimentError : a lift or a number of weeks out of range, constraints that cannot be kept, too little history
    """
    if not 0 < lift < 5 or weeks < 1:
        raise ExperimentError(f"a lift of {lift} over {weeks} week(s): the lift is a share above 0, weeks 1 or more")
    if len(panel.geos) == 1:
        return _national(panel, channel, weeks, lift, seed)
    outcome, _ = usable(panel, excluded)
    lifts = tuple(sorted({*LIFTS, lift}))
    notes: list[str] = []
    if n_treated is None:
        n_treated = _fewest(outcome, weeks, lift, method, seed)
        notes.append(
            f"{n_treated} treated geo(s) chosen: the fewest that find the lift, or those that find the smallest"
        )
    assignment = assign_geos(panel, n_treated, excluded=excluded, max_spend_share=max_spend_share, seed=seed)
    curve = _best(outcome, n_treated, weeks, lifts, method, trials, seed)
    others = _others(outcome, n_treated, weeks, lifts, curve.method, seed)
    if curve.low[0] > ALPHA:
        notes.append(
            f"false alarms at {curve.false_alarm:.0%} exceed the {ALPHA:.0%} meant: the geos drift apart, and p-values "
            "of this test are to be taken with care"
        )
    if max_spend_share is not None:
        notes.append("power is of balanced assignments in general, not only of those within the budget share")
    return GeoDesign(
        channel=channel,
        weeks=weeks,
        lift=lift,
        assignment=assignment,
        curve=curve,
        others=others,
        notes=tuple(notes),
    )


def _best(
    outcome: FloatArray,
    n_treated: int,
    weeks: int,
    lifts: tuple[float, ...],
    method: Method | None,
    trials: int,
    seed: int,
) -> PowerCurve:
    curves = [
        simulate_power(outcome, n_treated, weeks, method=name, lifts=lifts, trials=trials, seed=seed)
        for name in METHODS
        if method in (None, name)
    ]
    return min(curves, key=lambda curve: (bool(curve.low[0] > ALPHA), curve.mde or np.inf, -float(curve.power.sum())))


def _fewest(outcome: FloatArray, weeks: int, lift: float, method: Method | None, seed: int) -> int:
    """The first number of geos with the wanted power at the lift; when none has it, that of the smallest lift found."""
    found: dict[int, PowerCurve] = {}
    for count in _counts(len(outcome)):
        found[count] = _best(outcome, count, weeks, tuple({*LIFTS, lift}), method, OTHER_TRIALS, seed)
        if found[count].at(lift) >= POWER:
            return count
    return min(found, key=lambda count: (found[count].mde or np.inf, -float(found[count].power.sum())))


def _counts(geos: int) -> list[int]:
    half = geos // 2
    return sorted({min(half, count) for count in (1, 2, 3, 5, 8, 12, half)})


def _others(
    outcome: FloatArray, n_treated: int, weeks: int, lifts: tuple[float, ...], method: Method, seed: int
) -> tuple[PowerCurve, ...]:
    pairs = {(length, n_treated) for length in OTHER_WEEKS} | {(weeks, count) for count in _counts(len(outcome))}
    curves = []
    for length, count in sorted(pairs - {(weeks, n_treated)}):
        try:
            curves.append(
                simulate_power(outcome, count, length, method=method, lifts=lifts, trials=OTHER_TRIALS, seed=seed)
            )
        except ExperimentError:  # the history is too short to try so long a test
            continue
    return tuple(curves)


def _national(panel: GeoPanel, channel: str, weeks: int, lift: float, seed: int) -> NationalDesign:
    pair = 2 * BLOCK_WEEKS
    length = max(MIN_PAIRS, -(-weeks // pair)) * pair
    lifts = tuple(sorted({*LIFTS, lift}))
    series = panel.outcome[0]
    lengths = [n for n in sorted({length, 12, 16, 24, 36, 52}) if n <= len(series)]
    curves = {n: switchback_power(series, n, lifts=lifts, seed=seed) for n in lengths}
    if length not in curves:
        raise ExperimentError(f"{NO_GEOS}; and {len(series)} weeks of history are too few to try an on/off test on")
    return NationalDesign(
        channel=channel,
        lift=lift,
        reason=NO_GEOS,
        on=tuple(bool(week) for week in schedule(length, seed=seed)),
        curve=curves[length],
        others=tuple(curve for n, curve in curves.items() if n != length),
    )
