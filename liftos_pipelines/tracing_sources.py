"""Everything that `liftos trace` reads: spine, lake, local spans and Dagster's runs, joined into chains.

Each store may be missing or in trouble: the chain is shown with what the others hold, and what was missing is said.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import list_clients
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.sensors.reactions import REACTIONS
from liftos_pipelines.spine.accountability import (
    SHORTEST_PREFIX,
    UnknownId,
    correlations_of,
    read_action,
    read_records,
)
from liftos_pipelines.spine.chain import Chain, build_chain
from liftos_pipelines.spine.chain_records import MemoryNote, Records, RunNote, actions_of
from liftos_pipelines.spine.chain_sources import memory_notes, origins_of, runs_of_spans
from liftos_pipelines.spine.decisions import Decision
from liftos_pipelines.spine.payloads import PAYLOADS
from liftos_pipelines.spine.telemetry import telemetry_file
from liftos_pipelines.spine.telemetry_ids import trace_id_of
from liftos_pipelines.spine.telemetry_store import SpanRecord, TelemetryStore
from liftos_pipelines.spine.tracing import CORRELATION_TAG, EVENT_TAG, REACTION_TAG

Answer = TypeVar("Answer")
DEFAULT_UI = "http://127.0.0.1:3000"
MENTIONS_SHOWN = 3
LATE = timedelta(minutes=1)
"""How long after the last answer a run's span may still end."""


@dataclass
class Found:
    """The chains that an id leads to, the spans of their traces, and what could not be read."""

    chains: list[Chain] = field(default_factory=list)
    spans: list[SpanRecord] = field(default_factory=list)
    memory: MemoryNote | None = None
    missing: list[str] = field(default_factory=list)


def find(wanted: str) -> Found:
    """Chains and spans of a correlation, event, action, approval, memory or run id.

    Raises
    ------
    UnknownId : nothing goes by this id
    """
    found = Found()
    pairs = correlations_of(open_spine(), wanted)
    if not pairs:
        found.memory, pairs = _of_memory(wanted)
    store = TelemetryStore(telemetry_file())
    if not pairs and found.memory is None:
        found.spans = _guarded(found, "local spans", lambda: _spans_of(store, wanted)) or []
        pairs = _of_run(found, wanted)
    if not pairs and not found.spans and found.memory is None:
        raise UnknownId(
            f"nothing goes by the id {wanted!r}: no correlation, event, action, approval, ledger entry, memory or run. "
            f"Give at least the first {SHORTEST_PREFIX} characters; `liftos events list CLIENT` names events"
        )
    for client, correlation in pairs:
        found.chains.append(_chain(found, store, client, correlation))
    return found


def _chain(found: Found, store: TelemetryStore, client: str, correlation: str) -> Chain:
    return build_chain(_records(found, store, client, correlation))


def records_about(client: str, decision: Decision) -> tuple[Records, list[str]]:
    """What all stores hold of the chain that a decision stands in, and what could not be read.

    A decision that answers no event has no chain: then what the ledger and the approvals say of its action.
    """
    found, spine = Found(), open_spine()
    event = spine.event(decision.event_id) if decision.event_id else None
    correlation = event.correlation_id if event is not None else decision.correlation_id
    if correlation:
        records = _records(found, TelemetryStore(telemetry_file()), client, correlation)
        if any(entry.position == decision.position for entry in records.entries):
            return records, found.missing
    return read_action(spine, client, decision), found.missing


def _records(found: Found, store: TelemetryStore, client: str, correlation: str) -> Records:
    records = read_records(open_spine(), client, correlation)
    spans = _guarded(found, "local spans", lambda: store.spans(trace_id=f"{trace_id_of(correlation):032x}")) or []
    found.spans += [each for each in spans if each not in found.spans]
    near = _guarded(found, "local spans", lambda: _near(store, records)) or []
    runs = runs_of_spans([*near, *spans]) + (_guarded(found, "Dagster's runs", lambda: _dagster_runs(records)) or [])
    keys = frozenset(
        {event.event_id for event in records.events}
        | actions_of(records.events, records.entries)
        | {str(event.payload["alert_id"]) for event in records.events if event.payload.get("alert_id")}
    )
    memories = _guarded(found, "memory/items", lambda: _memories(client, keys)) or []
    texts = _guarded(found, "sentiment/alerts", lambda: _mentions(client, records)) or {}
    return replace(
        records, runs=runs, expected=_owed(records), memories=memories, origins=origins_of(records.events, texts)
    )


def _owed(records: Records) -> dict[str, list[str]]:
    """Which reactions answer each event: by its payload where it can be read, else by its type alone."""
    owed = {}
    for event in records.events:
        asked = [reaction for reaction in REACTIONS if event.type in reaction.event_types]
        payload = PAYLOADS.get(event.type)
        try:
            asked = [each for each in asked if payload is not None and each.answers(payload(**event.payload))]
        except ValueError:
            asked = []  # a payload that does not fit is nobody's to answer; its dead letters say so
        owed[event.event_id] = [reaction.name for reaction in asked]
    return owed


def _near(store: TelemetryStore, records: Records) -> list[SpanRecord]:
    """Spans of the client's assets while the chain was answered: a run may answer several chains at once."""
    times = [each.at for each in records.answers if each.at] + [event.recorded_at for event in records.events]
    if not times:
        return []
    return store.spans(client=records.client, since_ns=_ns(min(times)), until_ns=_ns(max(times) + LATE))


def _dagster_runs(records: Records) -> list[RunNote]:
    import dagster as dg

    found = []
    with dg.DagsterInstance.get() as instance:
        for event in records.events:
            for record in instance.get_run_records(dg.RunsFilter(tags={EVENT_TAG: event.event_id}), limit=20):
                run = record.dagster_run
                seconds = (record.end_time or 0) - (record.start_time or 0)
                known = record.end_time is not None and record.start_time is not None
                found.append(
                    RunNote(
                        run_id=run.run_id,
                        reaction=run.tags.get(REACTION_TAG),
                        asset=None,
                        event_id=event.event_id,
                        status=run.status.value.lower(),
                        milliseconds=seconds * 1000 if known else None,
                        started_at=datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None,
                    )
                )
    return found[::-1]


def _memories(client: str, keys: frozenset[str]) -> list[MemoryNote]:
    frame = Lake(settings.lake_uri()).read(client, "memory/items")
    if frame.is_empty():
        return []
    newest = frame.filter(pl.col("superseded_at").is_null())
    return memory_notes(newest.iter_rows(named=True), keys)


def _mentions(client: str, records: Records) -> dict[str, list[str]]:
    """What people said, by alert id: its exemplars' texts."""
    alerts = {str(event.payload["alert_id"]) for event in records.events if event.payload.get("alert_id")}
    if not alerts:
        return {}
    lake = Lake(settings.lake_uri())
    raised = lake.read(client, "sentiment/alerts").filter(pl.col("alert_id").is_in(sorted(alerts)))
    wanted = {row["alert_id"]: (row["exemplars"] or [])[:MENTIONS_SHOWN] for row in raised.iter_rows(named=True)}
    ids = sorted({each for chosen in wanted.values() for each in chosen})
    if not ids:
        return {}
    mentions = lake.read(client, "sources/mentions").filter(pl.col("mention_id").is_in(ids))
    texts = dict(mentions.select("mention_id", "text").iter_rows())
    return {
        alert: [f"mention {each}: {' '.join(texts[each].split())[:140]}" for each in chosen if each in texts]
        for alert, chosen in wanted.items()
    }


def _of_memory(wanted: str) -> tuple[MemoryNote | None, list[tuple[str, str]]]:
    if len(wanted) < SHORTEST_PREFIX or not wanted.startswith("m"):
        return None, []
    lake = Lake(settings.lake_uri())
    for client in list_clients():
        frame = lake.read(client, "memory/items")
        held = frame.filter(pl.col("memory_id").str.starts_with(wanted)) if frame.height else frame
        if held.is_empty():
            continue
        newest = held.sort("recorded_at", nulls_last=False).tail(1)
        (memory,) = memory_notes(newest.iter_rows(named=True), frozenset(newest["memory_id"].to_list()))
        pairs: dict[tuple[str, str], None] = {}
        for each in sorted(memory.made_from - {"None"}):
            if len(each) >= SHORTEST_PREFIX:
                pairs |= dict.fromkeys(pair for pair in correlations_of(open_spine(), each) if pair[0] == client)
        return memory, list(pairs)
    return None, []


def _spans_of(store: TelemetryStore, run_id: str) -> list[SpanRecord]:
    """A run's spans with all below them, oldest first."""
    found = {each.span_id: each for each in store.spans(run_id=run_id)}
    for trace_id in {each.trace_id for each in found.values()} or {f"{trace_id_of(run_id):032x}"}:
        # A parent begins before its children, so one pass in that order finds them all.
        for each in store.spans(trace_id=trace_id):
            if each.parent_id in found or each.correlation_id == run_id:
                found[each.span_id] = each
    return sorted(found.values(), key=lambda each: each.start_ns)


def _of_run(found: Found, run_id: str) -> list[tuple[str, str]]:
    """The chain that a run belongs to, by its tags."""
    import dagster as dg

    def look() -> list[tuple[str, str]]:
        with dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
        if run is None:
            return []
        told = [run.tags[tag] for tag in (CORRELATION_TAG, EVENT_TAG) if run.tags.get(tag)]
        return correlations_of(open_spine(), told[0]) if told else []

    return _guarded(found, "Dagster's runs", look) or []


def ui_address() -> str | None:
    """Where the Dagster UI answers: `LIFTOS_DAGSTER_URL`, or `liftos up` on this machine; None when it does not run."""
    given = os.environ.get("LIFTOS_DAGSTER_URL")
    if given:
        return given.rstrip("/")
    try:
        with urllib.request.urlopen(f"{DEFAULT_UI}/server_info", timeout=0.3) as answer:
            return DEFAULT_UI if "dagster_version" in json.loads(answer.read()) else None
    except (OSError, ValueError):
        return None


def _guarded(found: Found, what: str, look: Callable[[], Answer]) -> Answer | None:
    try:
        return look()
    except Exception as error:
        told = f"{what} could not be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        if told not in found.missing:
            found.missing.append(told)
        return None


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
