"""What a campaign may be expected to bring under current conditions, and what a change of a channel's spend would.

Both are scenarios on the served posterior: the newest weeks' spend goes on in every channel, and the campaign's budget
(or the suggested change) comes on top, in the weeks that are left of the campaign. So the gain is of the money alone,
with the carry-over into the weeks after; the outcome of those weeks has the noise of weeks in its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.inputs.panel import CONTROL, ORGANIC, SPEND, names_of
from liftos_pipelines.modules.causal.plan.future import ScenarioError, current_places
from liftos_pipelines.modules.causal.plan.scenario import outlook
from liftos_pipelines.modules.causal.plan.spec import ControlPath, Hold, Scenario
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.tables import ALL

MOST_WEEKS = 26
"""Weeks that are looked ahead at most: beyond, the trend's interval says little."""
WEEK = timedelta(weeks=1)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Gain of the money over the current plan and the outcome of the weeks, each with its 90 % interval.

    `unit` is that of the gain (revenue where known, else outcome); the outcome is in units of the KPI, of all weeks
    from `outcome_from` to the last, in the model's `geos`.
    """

    outcome_from: date
    first_week: date
    last_week: date
    weeks: int
    expected: float
    low: float
    high: float
    unit: str
    outcome: float
    outcome_low: float
    outcome_high: float
    geos: tuple[str, ...]
    beyond_observed: bool
    conditions: tuple[str, ...]


def weeks_left(panel: pl.DataFrame, start: date, end: date) -> tuple[list[date], int]:
    """Weeks to come in which a campaign runs, as first days; and how many weeks the whole campaign has."""
    last = panel["date"].max()
    assert isinstance(last, date)
    whole = max(1, -(-((end - start).days + 1) // 7))
    running: list[date] = []
    week = last + WEEK
    while week <= end and len(running) < MOST_WEEKS:
        if week + WEEK > start:
            running.append(week)
        week += WEEK
    return running, whole


def expect(
    fitted: Fitted,
    panel: pl.DataFrame,
    spec: ModelSpec,
    *,
    channel: str,
    start: date,
    end: date,
    budget: float,
    seed: int,
) -> Expectation | str:
    """What `budget` on a channel between two days may be expected to gain, or why that is unknown.

    Parameters
    ----------
    budget : currency over the whole span; its part in the weeks to come counts. Negative: money taken off.
    """
    paid = names_of(panel, SPEND)
    if channel not in paid:
        return f"channel {channel} is not in the model (it has {', '.join(paid)})"
    running, whole = weeks_left(panel, start, end)
    if not running:
        return "no week of it lies ahead of the data: what it brought is measured, not foreseen"
    weeks = _all_weeks(panel, running[-1])
    a_week = budget / whole
    base = _current(panel, channel, len(weeks))
    spend = tuple(max(0.0, now + (a_week if week in running else 0.0)) for week, now in zip(weeks, base, strict=True))
    conditions = [f"the money comes on top of what channel {channel} spent in the newest weeks"]
    holds: tuple[Hold, ...] = ("mean_of_season", "last")
    for hold in holds:
        scenario = Scenario(
            weeks=len(weeks),
            spend={channel: spend},
            controls={name: ControlPath(hold=hold) for name in names_of(panel, CONTROL)},
            organic={name: ControlPath(hold=hold) for name in names_of(panel, ORGANIC)},
        )
        try:
            found = outlook(fitted, panel, spec, scenario, "campaign", seed=seed)
            break
        except ScenarioError as reason:
            if hold == holds[-1]:
                return str(reason)
    row = found.channels.filter(pl.col("channel") == channel).row(0, named=True)
    all_of_them = found.channels.filter(pl.col("channel") == ALL).row(0, named=True)
    return Expectation(
        outcome_from=weeks[0],
        first_week=running[0],
        last_week=running[-1],
        weeks=len(running),
        expected=row["uplift"],
        low=row["uplift_low"],
        high=row["uplift_high"],
        unit=row["unit"],
        outcome=all_of_them["outcome"],
        outcome_low=all_of_them["outcome_low"],
        outcome_high=all_of_them["outcome_high"],
        geos=fitted.design.geos,
        beyond_observed=bool(row["beyond_observed"]),
        conditions=(*conditions, *found.notes),
    )


def planned_change(plan: Sequence[Mapping[str, object]], channel: str, weeks: int) -> float | None:
    """What the budget plan changes on a channel in so many weeks, in currency; None where it says nothing of it.

    Parameters
    ----------
    plan : rows of `causal/budget_plan`, with `weeks` where the plan's span is known
    """
    for row in plan:
        if row["channel"] != channel:
            continue
        now, then, span = row["spend_current"], row["spend_planned"], row.get("weeks")
        if isinstance(now, float) and isinstance(then, float) and isinstance(span, int) and span > 0:
            return (then - now) * weeks / span
    return None


def _all_weeks(panel: pl.DataFrame, until: date) -> list[date]:
    last = panel["date"].max()
    assert isinstance(last, date)
    return [last + WEEK * (i + 1) for i in range((until - last).days // 7)]


def _current(panel: pl.DataFrame, channel: str, weeks: int) -> list[float]:
    """The current plan's spend of each week to come, all geos together."""
    by_week = panel.group_by("date").agg(pl.col(SPEND + channel).sum()).sort("date")[SPEND + channel].to_list()
    return [float(by_week[place]) for place in current_places(len(by_week), weeks)]
