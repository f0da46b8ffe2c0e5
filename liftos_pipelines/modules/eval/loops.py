"""Closed loops: an event, what it cost, what was done about it, and what was remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

TRIGGERS = ("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected")


@dataclass(frozen=True, kw_only=True)
class EventRecord:
    """An event of the spine as plain values."""

    event_id: str
    type: str
    occurred_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)
    causation_id: str | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One chain of reactions; a step that has not happened is an empty text."""

    occurred_at: datetime
    event: str
    impact: str
    action: str
    memory: str

    @property
    def closed(self) -> bool:
        """Whether every step, from the event to the memory of it, has happened."""
        return bool(self.impact and self.action and self.memory)

    @property
    def waits_for(self) -> str:
        """The first step that has not happened."""
        steps = (("impact", self.impact), ("action", self.action), ("memory", self.memory))
        return next((name for name, text in steps if not text), "")


def loops(events: Sequence[EventRecord], patterns: pl.DataFrame, *, since: datetime | None = None) -> list[Loop]:
    """Chains that a triggering event began, newest first.

    Parameters
    ----------
    events : all of a client's events
    patterns : `memory/patterns`; one is a chain's memory when its `query_id` is the action's or an event's id
    since : only chains whose first event was recorded then or later: what lies in the data may be much older
    """
    remembered: dict[str, dict[str, Any]] = {row["query_id"]: row for row in patterns.iter_rows(named=True)}
    chains = []
    for event in events:
        recorded = event.recorded_at or event.occurred_at
        if event.type not in TRIGGERS or (since is not None and recorded < since):
            continue
        impact = _first(events, "causal_impact_identified", event, "trigger_event_id")
        action = _first(events, "agent_action_initiated", impact, None) if impact else None
        ids = [event.event_id, *(chained.event_id for chained in (impact, action) if chained)]
        if action:
            ids.append(str(action.payload.get("action_id")))
        pattern = next((remembered[known] for known in ids if known in remembered), None)
        chains.append(
            Loop(
                occurred_at=event.occurred_at,
                event=_event_words(event),
                impact=_impact_words(impact.payload) if impact else "",
                action=_action_words(action.payload) if action else "",
                memory=_memory_words(pattern) if pattern else "",
            )
        )
    return sorted(chains, key=lambda chain: (chain.occurred_at, chain.event), reverse=True)


def _first(events: Sequence[EventRecord], kind: str, cause: EventRecord, reference: str | None) -> EventRecord | None:
    for event in events:
        if event.type == kind and (
            event.causation_id == cause.event_id
            or (reference is not None and event.payload.get(reference) == cause.event_id)
        ):
            return event
    return None


def _event_words(event: EventRecord) -> str:
    said = event.payload
    about = said.get("campaign_id") or " ".join(str(said[key]) for key in ("engine", "brand") if said.get(key))
    effect = said.get("effect")
    size = f", {float(effect):+.3g}" if isinstance(effect, (int, float)) else ""
    return f"{event.type.replace('_', ' ')}: {about}{size}"


def _impact_words(said: Mapping[str, Any]) -> str:
    words = f"{float(said['effect']):+.4g} ({float(said['effect_low']):+.4g} to {float(said['effect_high']):+.4g})"
    money = said.get("revenue_at_risk")
    return words + (
        f", revenue at risk {float(money):,.0f}" if isinstance(money, (int, float)) else ", revenue unknown"
    )


def _action_words(said: Mapping[str, Any]) -> str:
    who = f"{said.get('action', 'action')} by {said.get('agent_id', 'an agent')}"
    return f"{who}: {said.get('decision')}, {said.get('status')}"


def _memory_words(pattern: Mapping[str, Any]) -> str:
    if pattern.get("abstained"):
        return "stored; nothing similar enough to recommend from"
    chance = pattern.get("p_success")
    return f"stored; {pattern.get('action') or 'no action'} succeeded with probability " + (
        f"{float(chance):.0%}" if chance is not None else "unknown"
    )
