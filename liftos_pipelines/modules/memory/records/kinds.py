"""Every kind of memory: which tables it is made of, and whether it must be built again after some of them changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from liftos_pipelines.modules.memory.records import from_modules, from_sources
from liftos_pipelines.modules.memory.records.items import combine

CAMPAIGNS, ALERTS = "sources/campaigns", "sentiment/alerts"
MENTIONS, SCORES = "sources/mentions", "sentiment/mention_scores"
PREDICTIONS = "eval/predictions"
EVENTS = "spine/events"
"""Stands for the event log where a kind is made of it."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the kinds are built from.

    Attributes
    ----------
    table : reads a table of the lake, once
    events : mappings with event_id, type, occurred_at, causation_id, correlation_id and payload, the whole log
    fresh : ids of the events that memory does not hold yet; None means all
    quotes : by alert id, what people said about the alerts that memory holds already, empty where nothing is quoted
    """

    table: Callable[[str], pl.DataFrame]
    events: Sequence[Mapping[str, Any]] = ()
    fresh: Collection[str] | None = None
    quotes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of campaigns by id."""
        return dict(self.table(CAMPAIGNS).select("campaign_id", "name").iter_rows())

    @cached_property
    def outcomes(self) -> dict[str, dict[str, Any]]:
        """What was measured of actions, by action id, as far as it is known."""
        table = self.table(PREDICTIONS)
        if not {"kind", "metric", "outcome_std_error"} <= set(table.columns):
            return {}
        known = table.filter(pl.col("status") == "known", pl.col("kind") == "effect")
        return {
            subject: {"effect": effect, "std_error": std_error, "metric": metric}
            for subject, effect, std_error, metric in known.select(
                "subject", "outcome", "outcome_std_error", "metric"
            ).iter_rows()
        }

    @cached_property
    def triggers(self) -> dict[str, Mapping[str, Any]]:
        """Payloads by event id."""
        return {event["event_id"]: event["payload"] for event in self.events}

    @cached_property
    def said(self) -> dict[str, str]:
        """What people said, by alert and by event. Of an alert that memory holds it is what was said when it was first
        remembered; mentions are read only for others. An alert that is part of another speaks with its words.
        """
        alerts = self.table(ALERTS)
        known = dict(self.quotes)
        unknown = alerts.filter(~pl.col("alert_id").is_in(list(known)))
        if "part_of" in alerts.columns:
            for alert, lead in alerts.select("alert_id", "part_of").drop_nulls().iter_rows():
                known.setdefault(alert, known.get(lead, ""))
            unknown = unknown.filter(pl.col("part_of").is_null())
        mentions, scores = (self.table(MENTIONS), self.table(SCORES)) if unknown.height else (None, None)
        said = {alert: text for alert, text in known.items() if text}
        return from_modules.what_was_said(unknown, mentions, scores, self.events, known=said)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind. `complete`: its table is a full snapshot, so that a row gone from it was taken back."""

    name: str
    table: str
    build: Callable[[Material], pl.DataFrame]
    needs: tuple[str, ...] = ()
    complete: bool = False

    def touched(self, changed: Collection[str]) -> bool:
        return self.table in changed or any(name in changed for name in self.needs)


KINDS = (
    Kind(
        name="outcome",
        table="sources/outcomes",
        needs=(CAMPAIGNS,),
        build=lambda m: from_sources.outcomes(m.table("sources/outcomes"), m.names),
    ),
    Kind(name="note", table="sources/notes", build=lambda m: from_sources.notes(m.table("sources/notes"))),
    Kind(name="campaign", table=CAMPAIGNS, build=lambda m: from_sources.campaigns(m.table(CAMPAIGNS))),
    Kind(
        name="experiment",
        table="sources/experiments",
        build=lambda m: from_sources.experiments(m.table("sources/experiments")),
    ),
    Kind(
        name="alert",
        table=ALERTS,
        needs=(CAMPAIGNS,),
        complete=True,
        build=lambda m: from_modules.alerts(m.table(ALERTS), m.names, m.said, m.events),
    ),
    Kind(
        name="impact",
        table="causal/impact",
        needs=(CAMPAIGNS,),
        complete=True,
        build=lambda m: from_modules.impacts(m.table("causal/impact"), m.triggers, m.names, m.said),
    ),
    Kind(
        name="channel_result",
        table="causal/channel_results",
        complete=True,
        build=lambda m: from_modules.channel_results(m.table("causal/channel_results")),
    ),
    Kind(
        name="causal_pattern",
        table="causal/patterns",
        build=lambda m: from_modules.causal_patterns(m.table("causal/patterns")),
    ),
    Kind(
        name="shift",
        table="surfacing/shifts",
        complete=True,
        build=lambda m: from_modules.shifts(m.table("surfacing/shifts")),
    ),
    Kind(
        name="recommendation",
        table="surfacing/recommendations",
        complete=True,
        build=lambda m: from_modules.recommendations(m.table("surfacing/recommendations")),
    ),
    Kind(
        name="proposal",
        table="agentic/proposals",
        complete=True,
        build=lambda m: from_modules.proposals(m.table("agentic/proposals"), m.triggers, m.said),
    ),
    Kind(
        name="llm_experiment",
        table="llm/experiments",
        complete=True,
        build=lambda m: from_modules.llm_experiments(m.table("llm/experiments")),
    ),
    Kind(
        name="pattern",
        table=EVENTS,
        needs=(PREDICTIONS,),
        build=lambda m: from_modules.patterns(m.events, m.said, m.fresh, m.outcomes),
    ),
)
_TABLES = [name for kind in KINDS for name in (kind.table, *kind.needs) if name not in (EVENTS, PREDICTIONS)]
READ = tuple(dict.fromkeys([*_TABLES, MENTIONS, SCORES]))
"""Tables that memory is made of."""
WATCHED = (*READ, PREDICTIONS)
"""And those that are made from memory in turn: read as they were last, since nothing may wait for itself."""


def touched(changed: Collection[str]) -> list[Kind]:
    """Kinds that must be built again after these tables (or `EVENTS`) changed."""
    return [kind for kind in KINDS if kind.touched(changed)]


def build(kinds: Sequence[Kind], material: Material) -> pl.DataFrame:
    """Items of these kinds, one row a memory."""
    return combine([kind.build(material) for kind in kinds])


def complete(kinds: Sequence[Kind], material: Material) -> list[str]:
    """Kinds among these of which every memory was built. An empty table may never have run, so it takes nothing
    back.
    """
    return [kind.name for kind in kinds if kind.complete and material.table(kind.table).height]
