"""Rows of what reactions owe: what they are called, how they are read, and the statements over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, or_, select, text, update
from sqlalchemy.engine import Connection, Row

from liftos_pipelines.spine.connection import utc
from liftos_pipelines.spine.events import AS_READ, EVENTS, why_unreadable
from liftos_pipelines.spine.schema import DeliveryRow, HandledRow, ReachRow

PENDING, DEAD = "pending", "dead"
ANY_REACTION = "*"
"""Stands for the reaction of an event whose type nobody knows."""

DELIVERIES: Any = DeliveryRow.__table__
HANDLED: Any = HandledRow.__table__
REACHES: Any = ReachRow.__table__


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """An event that a reaction has given up on; `advice` says what to do about it."""

    event_id: str
    reaction: str
    client: str
    type: str
    seq: int
    attempts: int
    reason: str
    failed_at: datetime | None

    @property
    def advice(self) -> str:
        again = f"liftos events retry {self.client} --event {self.event_id[:12]}"
        return f"Mend the cause, then: {again}"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A pending delivery and where it stands; `next_attempt_at` None: it may be answered now."""

    event_id: str
    reaction: str
    client: str
    type: str
    seq: int
    attempts: int
    next_attempt_at: datetime | None
    reason: str | None


def this(event_id: str, reaction: str) -> Any:
    return update(DELIVERIES).where(DELIVERIES.c.event_id == event_id, DELIVERIES.c.reaction == reaction)


def is_handled(delivery: Any) -> ColumnElement[bool]:
    """Whether a delivery was handled by somebody who did not see it stand here."""
    return exists().where(HANDLED.c.event_id == delivery.event_id, HANDLED.c.reaction == delivery.reaction)


def handled_by(reaction: str) -> ColumnElement[bool]:
    return exists().where(HANDLED.c.event_id == EVENTS.c.event_id, HANDLED.c.reaction == reaction)


def entered_by(reaction: str) -> ColumnElement[bool]:
    return exists().where(DELIVERIES.c.event_id == EVENTS.c.event_id, DELIVERIES.c.reaction == reaction)


def reached(connection: Connection, reaction: str) -> dict[str, int]:
    return {row.type: int(row.seq) for row in connection.execute(_REACHED, {"reaction": reaction})}


def any_after(connection: Connection, kind: str, seq: int) -> bool:
    return connection.execute(_ANY_AFTER, {"kind": kind, "after": seq}).first() is not None


# Statements that drivers execute many times a second are built once: making one costs more than executing it.
_REACHED = select(REACHES.c.type, REACHES.c.seq).where(REACHES.c.reaction == bindparam("reaction"))
HANDLED_AMONG = select(HANDLED.c.event_id).where(
    HANDLED.c.reaction == bindparam("reaction"), HANDLED.c.event_id.in_(bindparam("ids", expanding=True))
)
# As text: SQLAlchemy compiles an INSERT with ON CONFLICT anew each time, at several milliseconds an event and reaction.
ENTER_NEW = text(
    "INSERT INTO deliveries (event_id, reaction, seq, client, type, correlation_id, status, attempts) "
    "SELECT events.event_id, :reaction, events.seq, events.client, events.type, events.correlation_id, 'pending', 0 "
    "FROM events WHERE events.type = :kind AND events.seq > :after AND events.seq <= :last AND NOT EXISTS "
    "(SELECT 1 FROM handled WHERE handled.event_id = events.event_id AND handled.reaction = :reaction) "
    "ON CONFLICT DO NOTHING"
)
"""Deliveries for the events of a type that a reaction has neither handled nor been handed yet."""
NOTE_REACH = text(
    "INSERT INTO reaches (reaction, type, seq) VALUES (:reaction, :kind, :last) ON CONFLICT (reaction, type) "
    "DO UPDATE SET seq = excluded.seq WHERE reaches.seq < excluded.seq"
)
"""How far in the log a reaction has looked for a type."""
_ANY_AFTER = select(EVENTS.c.seq).where(EVENTS.c.type == bindparam("kind"), EVENTS.c.seq > bindparam("after")).limit(1)


def _due_statement() -> Any:
    mine, earlier = DELIVERIES.alias("d"), DELIVERIES.alias("earlier")
    reaction: Any = bindparam("reaction")
    kinds: Any = bindparam("kinds", expanding=True)
    now: Any = bindparam("now")
    behind = exists().where(
        earlier.c.reaction == reaction,
        earlier.c.correlation_id == mine.c.correlation_id,
        earlier.c.seq < mine.c.seq,
        earlier.c.client == mine.c.client,
        earlier.c.status == PENDING,
        earlier.c.type.in_(kinds),
        ~is_handled(earlier.c),
    )
    return (
        select(*AS_READ)
        .select_from(mine.join(EVENTS, EVENTS.c.event_id == mine.c.event_id))
        .where(
            mine.c.reaction == reaction,
            mine.c.status == PENDING,
            mine.c.type.in_(kinds),
            # A failure noted in the future means that the clock went back: nobody waits for it to catch up.
            or_(mine.c.next_attempt_at.is_(None), mine.c.next_attempt_at <= now, mine.c.failed_at > now),
            ~is_handled(mine.c),
            ~behind,
        )
        .order_by(mine.c.seq)
        .limit(bindparam("most"))
    )


DUE = _due_statement()


def dead_letter(row: Mapping[Any, Any]) -> DeadLetter:
    return DeadLetter(
        event_id=row["event_id"],
        reaction=row["reaction"],
        client=row["client"],
        type=row["type"],
        seq=row["seq"],
        attempts=row["attempts"],
        reason=row["reason"] or "unknown",
        failed_at=utc(row["failed_at"]) if row["failed_at"] else None,
    )


def stranger(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        event_id=row.event_id,
        reaction=ANY_REACTION,
        client=row.client,
        type=row.type,
        seq=row.seq,
        attempts=0,
        reason=why_unreadable(row) or "unknown",
        failed_at=None,
    )


def waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        event_id=row.event_id,
        reaction=row.reaction,
        client=row.client,
        type=row.type,
        seq=row.seq,
        attempts=row.attempts,
        next_attempt_at=utc(row.next_attempt_at) if row.next_attempt_at else None,
        reason=row.reason,
    )
