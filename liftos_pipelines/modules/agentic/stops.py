"""Which event stops an agent, and for how long.

A violation stops its agent until a person lets it go on. A spent budget stops it until the budget's period is over.
What lies far back in the log an agent's steps come from is history, not news: it is written down and stops nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

NEWS = timedelta(days=28)
"""Events older than this, seen from the newest step in the data, are history."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether an event stops its agent, until when (None: until a person says so), and why."""

    stops: bool
    until: datetime | None
    reason: str


def of_violation(policy: str, why: str, at: datetime, newest: datetime | None) -> Judgement:
    """`newest` : the newest step in the data, None without any."""
    reason = f"it broke policy {policy} ({why})"
    if newest is not None and at < newest - NEWS:
        return Judgement(stops=False, until=None, reason=f"{reason}, {(newest - at).days} days before the newest step")
    return Judgement(stops=True, until=None, reason=reason)


def of_budget(limit: float, spent: float, at: datetime, period: str, now: datetime) -> Judgement:
    """`period` : of the policy's budgets; run, day, month or total."""
    reason = f"its budget of {limit:,.2f} per {period} is spent ({spent:,.2f})"
    until = period_end(at, period)
    if until is not None and until <= now:
        return Judgement(stops=False, until=until, reason=f"{reason}, and that {period} is over")
    return Judgement(stops=True, until=until, reason=reason)


def period_end(at: datetime, period: str) -> datetime | None:
    """When a budget is whole again; None for one that never is. That of a run is over with the run."""
    midnight = datetime.combine(at.date(), time(), tzinfo=at.tzinfo)
    if period == "run":
        return at
    if period == "day":
        return midnight + timedelta(days=1)
    if period == "month":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return None
