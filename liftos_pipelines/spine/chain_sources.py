"""What stores beside the spine know of a chain: spans, and rows of the memory's and the alerts' tables. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from liftos_pipelines.spine.chain_records import EventNote, MemoryNote, RunNote
from liftos_pipelines.spine.telemetry_store import SpanRecord

ASSET = "asset "


def memory_notes(rows: Iterable[Mapping[str, Any]], keys: frozenset[str]) -> list[MemoryNote]:
    """Memories that were made of any of these ids, one a memory: its newest version."""
    found: dict[str, MemoryNote] = {}
    for row in rows:
        origin = _object(row.get("provenance"))
        made_from = {str(row.get("source_key")), str(origin.get("key")), str(origin.get("event"))}
        made_from |= {str(each) for each in origin.get("events") or ()}
        if not (keys & made_from or row["memory_id"] in keys):
            continue
        found[row["memory_id"]] = MemoryNote(
            memory_id=row["memory_id"],
            kind=row["kind"],
            text=row["text"],
            recorded_at=row.get("recorded_at"),
            made_from=frozenset(made_from),
            outcome=row.get("outcome"),
            effect=row.get("effect"),
            std_error=row.get("std_error"),
            run_id=origin.get("run"),
        )
    return list(found.values())


def origins_of(events: Sequence[EventNote], texts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """What each alert's event was seen in; `texts` holds the alert's mentions by alert id."""
    told = {event.event_id: texts.get(str(event.payload.get("alert_id")), ()) for event in events}
    return {event_id: lines for event_id, lines in told.items() if lines}


def runs_of_spans(spans: Iterable[SpanRecord]) -> list[RunNote]:
    """Where assets ran, by their spans."""
    return [
        RunNote(
            run_id=each.run_id,
            reaction=_text(each.attributes.get("liftos.reaction")),
            asset=str(each.attributes.get("liftos.asset")),
            event_id=_text(each.attributes.get("messaging.message.id")),
            status="failure" if each.status == "error" else "success",
            milliseconds=each.milliseconds,
            started_at=datetime.fromtimestamp(each.start_ns / 1e9, tz=UTC),
        )
        for each in spans
        if each.run_id is not None and each.name.startswith(ASSET)
    ]


def _object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
