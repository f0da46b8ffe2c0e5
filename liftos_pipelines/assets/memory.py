"""What memory holds: everything that was seen, decided, done and what came of it, each from its source row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, lift_asset, result, skipped
from liftos_pipelines.modules.memory.records import items as item
from liftos_pipelines.modules.memory.records import kinds
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.memory_progress import Progress, read_progress, write_progress
from liftos_pipelines.resources.memory_store import MemoryStore, MemoryStoreResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.ledger import LedgerEntry
from liftos_pipelines.spine.metrics import gauge
from liftos_pipelines.spine.outbox import outbox

READ = kinds.READ
REMEMBERED_EVENTS = (
    *("agent_action_initiated", "causal_impact_identified", "sentiment_drop_detected"),
    *("visibility_shift_detected", "algorithm_change_detected"),
)
HANDLED_HERE = (
    *("agent_action_initiated", "visibility_shift_detected", "algorithm_change_detected"),
    "causal_pattern_detected",
)
ROWS = "dagster/partition_row_count"
REACTION = "memory/items"
MOST = 100_000
"""Events that one run answers."""
LOOK_BACK = 50
with_extra = item.with_extra


@lift_asset("memory/items", deps=[name.split("/") for name in READ], kinds={"lancedb", "polars"})
def items(
    context: dg.AssetExecutionContext, lake: LakeResource, spine: SpineResource, memory: MemoryStoreResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every version of every memory: decisions with measured effects, notes, campaigns, tests, alerts, impacts,
    shifts, advice and agents' actions, each from its source row; a change is recorded beside what was said. Only
    tables that changed since the last time are read, and only what changed is written."""
    client, store, log, tables = client_of(context).client, memory.get(context.partition_key), spine.get(), lake.get()
    # Asked before anything is read: what arrives meanwhile is new the next time.
    waiting = log.unhandled(REACTION, HANDLED_HERE, limit=MOST, client=client)
    lake_version = tables.version(client, "memory/items")
    restored = 0 if store.count() else store.restore(item.with_extra(tables.read(client, "memory/items")))
    before = read_progress(store.folder).confirmed(lake_version)
    versions = {name: tables.version(client, name) for name in kinds.WATCHED}
    events = _events_of(log, client, waiting)
    newest = max((event.seq for event in events), default=0)
    fresh = {event.event_id for event in events if event.seq > before.event} | {event.event_id for event in waiting}
    changed = before.changed(versions) | ({kinds.EVENTS} if fresh else set())
    chosen = kinds.touched(changed)
    material = kinds.Material(
        table=_once(tables, client),
        events=[_as_mapping(event) for event in events] if chosen else [],
        fresh=fresh if before.event else None,
        quotes=_quotes(store) if chosen else {},
    )
    found = item.with_provenance(
        kinds.build(chosen, material),
        versions,
        run_id=context.run_id,
        ledger=decisions(log.ledger(client)) if any(kind.name in item.DECIDED for kind in chosen) else {},
    )
    done = store.remember(found, complete_kinds=kinds.complete(chosen, material))
    history = store.history()
    handed = max((moment.isoformat() for moment in _moments(history)), default=None)
    progress = replace(
        before,
        tables=versions,
        event=newest,
        handed=handed,
        handed_forgotten=len(store.forgotten()),
        lake_version=lake_version,
    )
    write_progress(store.folder, progress)
    box = outbox(context, log)
    for event in waiting:
        box.mark_handled(event.event_id, REACTION)
    if history.is_empty():
        return skipped("memory/items", "nothing to remember yet")
    return _told(client, store, history, before, rows_read=len(changed), done=done, restored=restored)


def _told(
    client: str,
    store: MemoryStore,
    history: pl.DataFrame,
    before: Progress,
    *,
    rows_read: int,
    done: Any,
    restored: int,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What changed, for the lake; the numbers are of the whole memory."""
    current = history.filter(pl.col("superseded_at").is_null())
    changes = before.unwritten(history)
    more: dict[str, Any] = {}
    if len(store.forgotten()) > before.forgotten_in_lake:
        # What was forgotten leaves the lake too.
        gone = ", ".join(f"'{memory_id}'" for memory_id in sorted(store.forgotten()))
        more["removes_where"] = f"target.memory_id IN ({gone})"
    told = result(
        changes,
        memories=current.height,
        versions=history.height,
        added=done.added,
        closed=done.closed,
        unchanged=done.unchanged,
        known_under_another_name=done.aliases,
        restored=restored,
        tables_read=rows_read,
        with_measured_outcome=current["effect"].is_not_null().sum(),
        kinds=current.group_by("kind").len(name="memories").sort("kind"),
        **more,
    )
    gauge("liftos.memories").set(current.height, {"liftos.client": client})
    # The row count is the table's, not that of the changes.
    return dg.MaterializeResult(value=changes, metadata={**(told.metadata or {}), ROWS: history.height})


def _once(tables: Lake, client: str) -> Callable[[str], pl.DataFrame]:
    """Reads each table of the client at most once."""
    held: dict[str, pl.DataFrame] = {}

    def read(name: str) -> pl.DataFrame:
        if name not in held:
            held[name] = tables.read(client, name)
        return held[name]

    return read


def _quotes(store: MemoryStore) -> dict[str, str]:
    """What people said about each alert that memory holds, empty where nobody is quoted."""
    alerts = store.current(["alert"]).select("source_key", "context")
    return {alert: text if text and text.startswith(item.SAID) else "" for alert, text in alerts.iter_rows()}


def _moments(history: pl.DataFrame) -> list[datetime]:
    found = [history["recorded_at"].max(), history["superseded_at"].max()] if history.height else []
    return [moment for moment in found if isinstance(moment, datetime)]


def _as_mapping(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "occurred_at": event.occurred_at,
        "causation_id": event.causation_id,
        "correlation_id": event.correlation_id,
        "payload": event.payload.model_dump(mode="json"),
    }


_known_events: dict[tuple[str, str], dict[int, Event]] = {}


def _events_of(log: Spine, client: str, waiting: list[Event]) -> list[Event]:
    """The client's events that memory is made of, in the log's order; a process reads each once, for the log only
    grows. The last few are looked at again: on PostgreSQL an event may be committed after one with a later place.
    """
    held = _known_events.setdefault((log.url, client), {})
    after = max(held, default=0) - LOOK_BACK
    held |= {event.seq: event for event in waiting if event.type in REMEMBERED_EVENTS}
    held |= {event.seq: event for event in log.events(client, types=REMEMBERED_EVENTS, after=max(after, 0))}
    return [held[seq] for seq in sorted(held)]


def decisions(ledger: list[LedgerEntry]) -> dict[str, dict[str, object]]:
    """Where the ledger holds the decision on each action: position and hash by action id."""
    found: dict[str, dict[str, object]] = {}
    for entry in ledger:
        action, _, what = entry.idempotency_key.rpartition(":")
        if what == "decision":
            found[action] = {"entry": entry.position, "hash": entry.entry_hash}
    return found
