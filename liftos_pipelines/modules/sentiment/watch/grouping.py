"""Which alerts say the same thing: the fall of one campaign also shows in the total, its language and its topics.

Alerts of the same days are compared by their mentions. An alert is part of another when the other's mentions make at
least half of its fall, and the rest fell less than half as much or not beyond chance. The stream that explains most
of the others leads them, a campaign before a topic before a source before a language; a fall of the total that no one
stream explains leads all the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

TOTAL, CAMPAIGN, TOPIC, SOURCE, LANGUAGE = "total", "campaign", "topic", "source", "language"
KINDS = (TOTAL, CAMPAIGN, TOPIC, SOURCE, LANGUAGE)
LEADS_FIRST = (CAMPAIGN, TOPIC, SOURCE, LANGUAGE, TOTAL)

JOIN_DAYS = 7
"""Windows at most so many days apart are of the same time."""
WORSE = 3.0
"""A later fall that costs the brand so many times the points of all before it is news, not more of the same."""
MOST = 0.5
"""Share of a fall that the mentions which explain it make, and how much less the others fell, at least."""
CHANCE = 3.0
"""Standard errors within which a fall of the rest is chance: the days were picked because everything was low."""
FEW = 5
"""With so few mentions left, there is no rest to speak of."""


@dataclass(frozen=True, kw_only=True)
class Fall:
    """One alert, before it is put with others: its stream, its window, its effect and its mentions then and before."""

    alert_id: str
    kind: str
    name: str
    start: date
    end: date
    effect: float
    severity: float
    before: pl.DataFrame
    after: pl.DataFrame


def led_by(falls: Sequence[Fall], belongs: Callable[[str, str], pl.Expr]) -> dict[str, str | None]:
    """For each alert's id the id of the alert it is part of, or None where it leads.

    `belongs(kind, name)` : which mentions are of a stream
    """
    found: dict[str, str | None] = {}
    for together in _same_time(falls):
        total = next((fall for fall in together if fall.kind == TOTAL), None)
        explained = {
            lead.alert_id: {fall.alert_id for fall in together if fall is not lead and _explains(lead, fall, belongs)}
            for lead in together
        }
        if total is not None and not any(total.alert_id in ids for ids in explained.values()):
            found |= {fall.alert_id: total.alert_id for fall in together} | {total.alert_id: None}
            continue
        left = {fall.alert_id: fall for fall in together}
        while left:
            # Whoever explains most of what is left leads it.
            lead = max(
                left.values(),
                key=lambda fall: (
                    len(explained[fall.alert_id] & left.keys()),
                    -LEADS_FIRST.index(fall.kind),
                    fall.severity,
                    fall.name,
                ),
            )
            parts = explained[lead.alert_id] & left.keys()
            found |= {part: lead.alert_id for part in parts} | {lead.alert_id: None}
            left = {alert_id: fall for alert_id, fall in left.items() if alert_id not in {*parts, lead.alert_id}}
    return found


def _same_time(falls: Sequence[Fall]) -> list[list[Fall]]:
    """Alerts in runs whose windows overlap or nearly do.

    A stream's second alert begins a run of its own, and so does a far worse fall that began when another was over.
    """
    runs: list[list[Fall]] = []
    until = date.min
    for fall in sorted(falls, key=lambda fall: (fall.start, fall.end, fall.alert_id)):
        again = bool(runs) and any((fall.kind, fall.name) == (other.kind, other.name) for other in runs[-1])
        again = again or (bool(runs) and _far_worse(fall, runs[-1]))
        if runs and not again and fall.start <= until + timedelta(days=JOIN_DAYS):
            runs[-1].append(fall)
            until = max(until, fall.end)
        else:
            runs.append([fall])
            until = fall.end
    return runs


def _far_worse(fall: Fall, before: Sequence[Fall]) -> bool:
    later = fall.start >= min(other.end for other in before)
    return later and _lost(fall) >= WORSE * max(_lost(other) for other in before)


def _lost(fall: Fall) -> float:
    """Points of the brand's index lost, up to a scale: what severity is made of."""
    return -math.log1p(-min(fall.severity, 1 - 1e-12))


def _explains(lead: Fall, fall: Fall, belongs: Callable[[str, str], pl.Expr]) -> bool:
    """Whether the lead's mentions make most of a fall, and the others did not fall alike."""
    both = pl.col("net").mean().alias("net"), pl.len().alias("n"), pl.col("net").var().alias("var")
    inside = belongs(lead.kind, lead.name).fill_null(False).alias("inside")
    before, after = (
        {
            row["inside"]: (row["net"], row["n"], row["var"])
            for row in part.group_by(inside).agg(*both).iter_rows(named=True)
        }
        for part in (fall.before, fall.after)
    )
    if True not in after:
        return False
    if min(after.get(False, (0, 0, 0))[1], before.get(False, (0, 0, 0))[1]) < FEW:
        # A stream that is the whole brand says no more than its total.
        return fall.kind != TOTAL
    share = after[True][1] / fall.after.height
    rest = after[False][0] - before[False][0]
    error = float((after[False][2] / after[False][1] + before[False][2] / before[False][1]) ** 0.5)
    # What the fall would be had only the others changed; the lead's mentions may be new, and then have no level before.
    own = after[True][0] - before.get(True, (fall.before["net"].mean(), 0, 0))[0]
    change = float(after[True][0] * share + after[False][0] * (1 - share)) - float(fall.before["net"].mean())  # type: ignore[arg-type]
    return change - (1 - share) * rest <= MOST * change and rest > min(MOST * own, -CHANCE * error)
