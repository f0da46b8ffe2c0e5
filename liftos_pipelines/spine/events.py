"""The log of events: appended once, read in the order in which they came.

The place in the log (`seq`) is the only order there is: a clock may be wrong or go back. Rows that this version
cannot read (an unknown type, a payload that does not fit) are left out here and told apart by `unreadable`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Text, bindparam, cast, func, select
from sqlalchemy.engine import Connection, Row

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, Store, utc
from liftos_pipelines.spine.ledger import digest
from liftos_pipelines.spine.payloads import PAYLOADS, Payload
from liftos_pipelines.spine.schema import EventRow

EVENTS: Any = EventRow.__table__
# Payload and moments as text: one that cannot be read must not keep the other rows of an answer from being read.
_AS_TEXT = ("payload", "occurred_at", "recorded_at")
AS_READ = [cast(column, Text).label(column.name) if column.name in _AS_TEXT else column for column in EVENTS.c]
# Built once: making a statement anew costs more than executing it.
_NEWEST = select(func.max(EVENTS.c.seq))
_BY_ID = select(*AS_READ).where(EVENTS.c.event_id.in_(bindparam("ids", expanding=True)))
CHUNK = 400
"""Rows of one statement; SQLite of old allows 999 values."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event with its typed payload; `seq` is its place in the log."""

    seq: int
    event_id: str
    client: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    payload: Payload
    causation_id: str | None
    correlation_id: str


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event to append; its id is known before it is: the same cause gives the same id."""

    client: str
    payload: Payload
    occurred_at: datetime
    causation_id: str | None = None
    correlation_id: str | None = None

    @property
    def event_id(self) -> str:
        return event_id_of(self.client, self.payload)


@dataclass(frozen=True, kw_only=True)
class UnreadableEvent:
    """A row of the log that this version cannot read, and why."""

    seq: int
    event_id: str
    client: str
    type: str
    reason: str


class EventStore(Store):
    """Appending and reading events."""

    _append: Any = None

    def raise_event(
        self,
        client: str,
        payload: Payload,
        *,
        occurred_at: datetime,
        causation_id: str | None = None,
        correlation_id: str | None = None,
    ) -> Event:
        """Append an event; raising the same cause again returns the event that is already there."""
        new = NewEvent(
            client=client,
            payload=payload,
            occurred_at=occurred_at,
            causation_id=causation_id,
            correlation_id=correlation_id,
        )
        return self.raise_events([new])[0]

    def raise_events(self, events: Iterable[NewEvent]) -> list[Event]:
        """Append many in one transaction, all or none; the events as they stand, in the order given."""
        new = list(events)
        rows = [values_of(event) for event in new]
        if not rows:
            return []
        with self.writing() as connection:
            self.append(connection, rows)
            standing = _by_id(connection, [row["event_id"] for row in rows])
        return [read_event(standing[row["event_id"]]) for row in rows]

    def append(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert rows of `values_of` in a transaction that is under way; those that are there already stay."""
        # On PostgreSQL a number drawn first may be committed last: taking turns keeps the log's order that of commits.
        self.lock(connection, "events")
        if self._append is None:
            self._append = self.insert(EVENTS).on_conflict_do_nothing(index_elements=["event_id"])
        connection.execute(self._append, rows)

    def events(
        self,
        client: str | None = None,
        types: Sequence[str] | None = None,
        after: int = 0,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[Event]:
        """Events in the order they were appended, after a place in the log; `newest`: the last `limit` of them."""
        order = EVENTS.c.seq.desc() if newest else EVENTS.c.seq
        query = select(*AS_READ).where(
            EVENTS.c.seq > after, EVENTS.c.type.in_(list(PAYLOADS if types is None else types))
        )
        if client is not None:
            query = query.where(EVENTS.c.client == check_client_id(client))
        query = query.order_by(order)
        if limit is not None:
            query = query.limit(limit)
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return readable(reversed(rows) if newest else rows)

    def event(self, event_id: str) -> Event | None:
        """One event; None when there is none.

        Raises
        ------
        SpineError : it is there, but this version cannot read it
        """
        with self.reading() as connection:
            row = _by_id(connection, [event_id]).get(event_id)
        return None if row is None else read_event(row)

    def id_of(self, client: str, beginning: str) -> str:
        """The whole id of a client's event from how it begins.

        Raises
        ------
        SpineError : none or several begin so
        """
        safe = beginning.replace("\\", "").replace("%", "").replace("_", "")
        query = select(EVENTS.c.event_id).where(
            EVENTS.c.client == check_client_id(client), EVENTS.c.event_id.like(f"{safe}%")
        )
        with self.reading() as connection:
            found = [str(row.event_id) for row in connection.execute(query.limit(2))] if safe else []
        if len(found) != 1:
            many = "several events" if found else "no event"
            raise SpineError(
                f"{client} has {many} whose id begins with {beginning!r}; see `liftos events list {client}`"
            )
        return found[0]

    def behind(self, connection: Connection, event_ids: Sequence[str], seq: int) -> set[str]:
        """Which of these events stand behind a place in the log."""
        found: set[str] = set()
        for start in range(0, len(event_ids), CHUNK):
            part = EVENTS.c.event_id.in_(event_ids[start : start + CHUNK])
            query = select(EVENTS.c.event_id).where(part, EVENTS.c.seq > seq)
            found.update(str(row.event_id) for row in connection.execute(query))
        return found

    def find(self, client: str, event_type: str, cause_key: str) -> Event | None:
        """The event of a cause, if it was raised."""
        return self.event(_event_id(client, event_type, cause_key))

    def newest_seq(self) -> int:
        """Place of the newest event; 0 when there is none. Cheap enough to ask many times a second."""
        with self.reading() as connection:
            return newest(connection)

    def unreadable(self, client: str | None = None) -> list[UnreadableEvent]:
        """Every row of the log that this version cannot read; reads the whole log."""
        query = select(*AS_READ).order_by(EVENTS.c.seq)
        if client is not None:
            query = query.where(EVENTS.c.client == check_client_id(client))
        with self.reading() as connection:
            judged = [(row, why_unreadable(row)) for row in connection.execute(query)]
        return [
            UnreadableEvent(seq=row.seq, event_id=row.event_id, client=row.client, type=row.type, reason=reason)
            for row, reason in judged
            if reason is not None
        ]


def values_of(event: NewEvent) -> dict[str, Any]:
    """The row of an event that is not appended yet."""
    check_client_id(event.client)
    event_id = event.event_id
    return {
        "event_id": event_id,
        "client": event.client,
        "type": event.payload.type,
        "occurred_at": utc(event.occurred_at),
        "recorded_at": datetime.now(UTC),
        # By way of text, where a number that is none has a spelling that every database takes.
        "payload": json.loads(event.payload.model_dump_json()),
        "causation_id": event.causation_id,
        "correlation_id": event.correlation_id or event_id,
    }


def event_id_of(client: str, payload: Payload) -> str:
    return _event_id(client, payload.type, payload.cause_key())


def _event_id(client: str, event_type: str, cause_key: str) -> str:
    return digest(client, event_type, cause_key)[:32]


def newest(connection: Connection) -> int:
    return int(connection.scalar(_NEWEST) or 0)


def _by_id(connection: Connection, event_ids: Sequence[str]) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(event_ids), CHUNK):
        part = {"ids": event_ids[start : start + CHUNK]}
        found |= {row.event_id: row for row in connection.execute(_BY_ID, part)}
    return found


def readable(rows: Iterable[Row[Any]]) -> list[Event]:
    """Events of the rows that can be read; the others are named in the log."""
    found = []
    for row in rows:
        try:
            found.append(read_event(row))
        except SpineError as error:
            log.warning("left out: %s", error)
    return found


def why_unreadable(row: Row[Any]) -> str | None:
    try:
        read_event(row)
    except SpineError as error:
        return str(error)
    return None


def read_event(row: Row[Any]) -> Event:
    """The event of a row.

    Raises
    ------
    SpineError : unknown type, or a payload that does not fit it; says which and what to do
    """
    kind = PAYLOADS.get(row.type)
    if kind is None:
        raise SpineError(
            f"event {row.event_id} has type {row.type!r}, which this version does not know; known types: "
            f"{', '.join(PAYLOADS)}. Install the version that raised it, then `liftos events retry`"
        )
    try:
        content = json.loads(row.payload or "null")
    except (ValueError, RecursionError) as error:
        raise SpineError(
            f"payload of {row.type} {row.event_id} is not JSON ({error}): raise the event again, well-formed"
        ) from error
    if not isinstance(content, dict):
        raise SpineError(f"payload of {row.type} {row.event_id} is not an object: raise the event again, well-formed")
    try:
        payload = kind(**content)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:4])
        raise SpineError(
            f"payload of {row.type} {row.event_id} does not fit this version ({fields}). Install the version that "
            "raised it, then `liftos events retry`; or raise the event again with these fields right"
        ) from error
    try:
        occurred_at, recorded_at = (utc(datetime.fromisoformat(each)) for each in (row.occurred_at, row.recorded_at))
    except (ValueError, TypeError) as error:
        raise SpineError(f"{row.type} {row.event_id} has no readable moment ({error}): mend its row") from error
    return Event(
        seq=row.seq,
        event_id=row.event_id,
        client=row.client,
        type=row.type,
        occurred_at=occurred_at,
        recorded_at=recorded_at,
        payload=payload,
        causation_id=row.causation_id,
        correlation_id=row.correlation_id,
    )


def parse_payload(event_type: str, content: str) -> Payload:
    """A payload from JSON, for `liftos events raise`.

    Raises
    ------
    SpineError : unknown type, fields that do not fit, or fields that the type does not have, named
    """
    if event_type not in PAYLOADS:
        raise SpineError(f"there is no event type {event_type!r}; types: {', '.join(PAYLOADS)}")
    kind = PAYLOADS[event_type]
    try:
        given = json.loads(content)
        payload = kind(**given)
    except (ValueError, TypeError, RecursionError) as error:
        raise SpineError(f"payload of {event_type} is not valid: {error}") from error
    unknown = sorted(set(given) - set(kind.model_fields))
    if unknown:
        raise SpineError(
            f"payload of {event_type} has no field {', '.join(unknown)}; fields: {', '.join(kind.model_fields)}"
        )
    return payload
