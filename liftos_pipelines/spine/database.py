"""The spine: events, the ledger and approvals, in SQLite (WAL) or PostgreSQL.

Events are appended once and handled at least once; `handled` makes their effects happen once. The ledger is a
hash chain a client; approvals are bound to the exact arguments and policy version they were asked for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.ledger import GENESIS, LedgerAudit, LedgerEntry, canonical, digest, entry_hash, verify
from liftos_pipelines.spine.payloads import PAYLOADS, ApprovalDenied, ApprovalGiven, Payload
from liftos_pipelines.spine.schema import ApprovalRow, EventRow, HandledRow, LedgerHeadRow, LedgerRow

APPROVAL_LIFETIME = timedelta(days=7)
KEYS_AT_ONCE = 500
Outcome = TypeVar("Outcome")
# Alembic keeps the migration under way in a module of its own, so threads take turns.
_ONE_MIGRATION = threading.Lock()


class SpineError(ValueError):
    """A request to the spine cannot be carried out; the message says why and what to do."""


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
class Approval:
    approval_id: str
    client: str
    action_id: str
    agent_id: str
    action: str
    arguments: str
    policy_version: str
    digest: str
    status: str
    requested_at: datetime
    expires_at: datetime
    approver: str | None
    reason: str | None


@dataclass(frozen=True)
class LedgerNote:
    """What is to be chained to a ledger; `idempotency_key` tells one note from another."""

    kind: str
    actor: str
    body: dict[str, Any]
    idempotency_key: str


class Spine:
    """The spine database, brought to the current schema when opened."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        migrate(self.engine)

    # --- events ------------------------------------------------------------------------------------------
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
        check_client_id(client)
        event_id = _event_id(client, payload)
        row = EventRow(
            event_id=event_id,
            client=client,
            type=payload.type,
            occurred_at=_utc(occurred_at),
            recorded_at=datetime.now(UTC),
            payload=payload.model_dump(mode="json"),
            causation_id=causation_id,
            correlation_id=correlation_id or event_id,
        )
        with self._session() as session:
            known = session.scalar(select(EventRow).where(EventRow.event_id == event_id))
            if known is not None:
                return _event(known)
            try:
                with session.begin_nested():
                    session.add(row)
            except IntegrityError:  # another process appended the same event between the look and the write
                known = session.scalar(select(EventRow).where(EventRow.event_id == event_id))
                assert known is not None
                return _event(known)
            session.flush()
            return _event(row)

    def events(
        self,
        client: str | None = None,
        types: Sequence[str] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Event]:
        """Events in the order they were appended, after a place in the log."""
        query = select(EventRow).where(EventRow.seq > after).order_by(EventRow.seq)
        if client is not None:
            query = query.where(EventRow.client == check_client_id(client))
        if types is not None:
            query = query.where(EventRow.type.in_(list(types)))
        if limit is not None:
            query = query.limit(limit)
        with self._session() as session:
            return [_event(row) for row in session.scalars(query)]

    def event(self, event_id: str) -> Event | None:
        with self._session() as session:
            row = session.scalar(select(EventRow).where(EventRow.event_id == event_id))
            return None if row is None else _event(row)

    def unhandled(self, reaction: str, types: Sequence[str], limit: int = 500) -> list[Event]:
        """Events of these types that a reaction has not dealt with yet, oldest first."""
        done = select(HandledRow.event_id).where(HandledRow.reaction == reaction)
        query = (
            select(EventRow)
            .where(EventRow.type.in_(list(types)), EventRow.event_id.not_in(done))
            .order_by(EventRow.seq)
            .limit(limit)
        )
        with self._session() as session:
            return [_event(row) for row in session.scalars(query)]

    def mark_handled(self, event_id: str, reaction: str) -> bool:
        """Note that a reaction has dealt with an event; False when it was noted before."""
        with self._session() as session:
            if session.get(HandledRow, (event_id, reaction)) is not None:
                return False
            try:
                with session.begin_nested():
                    session.add(HandledRow(event_id=event_id, reaction=reaction, handled_at=datetime.now(UTC)))
            except IntegrityError:
                return False
            return True

    def is_handled(self, event_id: str, reaction: str) -> bool:
        with self._session() as session:
            return session.get(HandledRow, (event_id, reaction)) is not None

    # --- ledger ------------------------------------------------------------------------------------------
    def append_ledger(
        self, client: str, kind: str, actor: str, body: dict[str, Any], *, idempotency_key: str
    ) -> LedgerEntry:
        """Chain one entry to a client's ledger; the same key again returns the entry that is already there.

        Raises
        ------
        SpineError : the key is known with another content
        """
        (entry,) = self.append_ledger_many(client, [LedgerNote(kind, actor, body, idempotency_key)])
        return entry

    def append_ledger_many(self, client: str, notes: Sequence[LedgerNote]) -> list[LedgerEntry]:
        """Chain entries to a client's ledger in their order, all or none, in one transaction.

        Raises
        ------
        SpineError : a key is known with another content
        """
        check_client_id(client)
        told = [(note, canonical(note.body)) for note in notes]

        def attempt() -> list[LedgerEntry]:
            with self._session() as session:
                self._lock_ledger(session, client)
                keys = [note.idempotency_key for note in notes]
                known: dict[str, LedgerEntry] = {}
                for start in range(0, len(keys), KEYS_AT_ONCE):
                    query = select(LedgerRow).where(
                        LedgerRow.client == client,
                        LedgerRow.idempotency_key.in_(keys[start : start + KEYS_AT_ONCE]),
                    )
                    known |= {row.idempotency_key: _entry(row) for row in session.scalars(query)}
                head = session.get(LedgerHeadRow, client)
                position, previous = (head.entries, head.head_hash) if head else (0, GENESIS)
                entries, fresh = [], []
                for note, content in told:
                    entry = known.get(note.idempotency_key)
                    if entry is None:
                        blank = LedgerEntry(
                            client=client,
                            position=position,
                            recorded_at=datetime.now(UTC).isoformat(timespec="microseconds"),
                            kind=note.kind,
                            actor=note.actor,
                            idempotency_key=note.idempotency_key,
                            body=content,
                            previous_hash=previous,
                            entry_hash="",
                        )
                        entry = replace(blank, entry_hash=entry_hash(blank))
                        known[note.idempotency_key] = entry
                        position, previous = position + 1, entry.entry_hash
                        fresh.append(entry.__dict__)
                    elif (entry.kind, entry.actor, entry.body) != (note.kind, note.actor, content):
                        raise SpineError(
                            f"ledger of {client}: key {note.idempotency_key!r} is already used by entry "
                            f"{entry.position} with another content; an entry cannot be changed, use a new key"
                        )
                    entries.append(entry)
                if fresh:
                    session.execute(insert(LedgerRow), fresh)
                    if head is None:
                        session.add(LedgerHeadRow(client=client, entries=position, head_hash=previous))
                    else:
                        head.entries, head.head_hash = position, previous
                return entries

        return _retry(attempt)

    def ledger(self, client: str, *, after: int = -1, kinds: Sequence[str] | None = None) -> list[LedgerEntry]:
        """A client's ledger from its start, or what stands behind a position; of some kinds only if asked."""
        query = select(LedgerRow).where(LedgerRow.client == check_client_id(client), LedgerRow.position > after)
        if kinds is not None:
            query = query.where(LedgerRow.kind.in_(list(kinds)))
        with self._session() as session:
            return [_entry(row) for row in session.scalars(query.order_by(LedgerRow.position))]

    def verify_ledger(self, client: str) -> LedgerAudit:
        """Recompute a client's chain and compare it with what was recorded."""
        with self._session() as session:
            head = session.get(LedgerHeadRow, check_client_id(client))
            expected = (head.entries, head.head_hash) if head else (0, GENESIS)
        return verify(self.ledger(client), expected_entries=expected[0], expected_head=expected[1])

    def _lock_ledger(self, session: Session, client: str) -> None:
        # Two writers must not chain to the same head: SQLite takes its one write lock now, PostgreSQL a
        # lock of this client's own.
        if self.engine.dialect.name == "sqlite":
            session.execute(text("UPDATE ledger_heads SET entries = entries WHERE client = :c"), {"c": client})
        else:
            session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:c))"), {"c": f"ledger:{client}"})

    # --- approvals ---------------------------------------------------------------------------------------
    def request_approval(
        self,
        client: str,
        *,
        action_id: str,
        agent_id: str,
        action: str,
        arguments: dict[str, Any],
        policy_version: str,
        requested_at: datetime,
        lifetime: timedelta = APPROVAL_LIFETIME,
    ) -> Approval:
        """Ask for consent to exactly this action; asking again for the same returns the open request."""
        content = canonical(arguments)
        seal = digest(check_client_id(client), action_id, agent_id, action, content, policy_version)
        with self._session() as session:
            row = session.get(ApprovalRow, seal[:32])
            if row is None:
                row = ApprovalRow(
                    approval_id=seal[:32],
                    client=client,
                    action_id=action_id,
                    agent_id=agent_id,
                    action=action,
                    arguments=content,
                    policy_version=policy_version,
                    digest=seal,
                    status="open",
                    requested_at=_utc(requested_at),
                    expires_at=_utc(requested_at) + lifetime,
                )
                session.add(row)
                session.flush()
            return _approval(row)

    def approvals(self, client: str, status: str | None = None) -> list[Approval]:
        query = (
            select(ApprovalRow).where(ApprovalRow.client == check_client_id(client)).order_by(ApprovalRow.requested_at)
        )
        if status is not None:
            query = query.where(ApprovalRow.status == status)
        with self._session() as session:
            return [_approval(row) for row in session.scalars(query)]

    def decide_approval(
        self, client: str, approval_id: str, *, given: bool, approver: str, reason: str, now: datetime
    ) -> Approval:
        """Give or deny one open request, once, and raise the event that says so.

        Raises
        ------
        SpineError : unknown, already decided, or expired
        """
        with self._session() as session:
            row = session.get(ApprovalRow, approval_id)
            if row is None or row.client != check_client_id(client):
                raise SpineError(f"{client} has no approval request {approval_id}; see `liftos approvals {client}`")
            wanted = "given" if given else "denied"
            payload = (ApprovalGiven if given else ApprovalDenied)(
                approval_id=approval_id, action_id=row.action_id, approver=approver, reason=reason
            )
            # Decided, but killed before the event was out: the same answer again completes it.
            half_done = row.status == wanted and row.approver == approver
            half_done = half_done and self.event(_event_id(client, payload)) is None
            if row.status != "open" and not half_done:
                raise SpineError(f"approval request {approval_id} was already {row.status}; it can be used once")
            if row.status == "open" and _utc(now) > _utc(row.expires_at):
                row.status = "expired"
                session.commit()
                raise SpineError(f"approval request {approval_id} expired at {row.expires_at:%Y-%m-%d %H:%M}")
            if row.status == "open":
                row.status, row.decided_at, row.approver, row.reason = wanted, _utc(now), approver, reason
            session.flush()
            decided = _approval(row)
        self.append_ledger(
            client,
            f"approval_{decided.status}",
            approver,
            {
                "approval_id": approval_id,
                "action_id": decided.action_id,
                "digest": decided.digest,
                "reason": decided.reason,
            },
            idempotency_key=f"approval:{approval_id}",
        )
        self.raise_event(client, payload, occurred_at=now)
        return decided

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()


def migrate(engine: Engine) -> None:
    """Bring a spine database to the current schema; a no-op when it is there already.

    Several processes may open a new database together: one migrates, the others find it done.
    """
    with _ONE_MIGRATION:
        _retry(lambda: _migrate(engine))


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        connection.rollback()
        if engine.dialect.name == "postgresql":
            # Let go at the end of the transaction: a lock of the session would live on in the pool.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('liftos spine migration'))"))
        else:
            # The driver begins no transaction for a CREATE TABLE by itself; this one makes the others wait.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, future=True)
    file = url.removeprefix("sqlite:///")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30}, future=True)

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.close()

    return engine


def _retry(attempt: Callable[[], Outcome], times: int = 8) -> Outcome:
    for trial in range(times):
        try:
            return attempt()
        except (IntegrityError, OperationalError):
            if trial == times - 1:
                raise
            time.sleep(0.02 * 2**trial)
    raise AssertionError("unreachable")


def _event_id(client: str, payload: Payload) -> str:
    return digest(client, payload.type, payload.cause_key())[:32]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _event(row: EventRow) -> Event:
    payload = PAYLOADS.get(row.type)
    if payload is None:
        raise SpineError(
            f"event {row.event_id} has type {row.type!r}, which this version does not know; "
            f"known types: {', '.join(PAYLOADS)}"
        )
    return Event(
        seq=row.seq,
        event_id=row.event_id,
        client=row.client,
        type=row.type,
        occurred_at=_utc(row.occurred_at),
        recorded_at=_utc(row.recorded_at),
        payload=payload(**row.payload),
        causation_id=row.causation_id,
        correlation_id=row.correlation_id,
    )


def _entry(row: LedgerRow) -> LedgerEntry:
    return LedgerEntry(**{name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__})


def _approval(row: ApprovalRow) -> Approval:
    values = {name: getattr(row, name) for name in Approval.__dataclass_fields__}
    values["requested_at"], values["expires_at"] = _utc(row.requested_at), _utc(row.expires_at)
    return Approval(**values)


def parse_payload(event_type: str, content: str) -> Payload:
    """A payload from JSON, for `liftos events raise`.

    Raises
    ------
    SpineError : unknown type or fields that do not fit, named
    """
    if event_type not in PAYLOADS:
        raise SpineError(f"there is no event type {event_type!r}; types: {', '.join(PAYLOADS)}")
    try:
        return PAYLOADS[event_type](**json.loads(content))
    except (ValueError, TypeError) as error:
        raise SpineError(f"payload of {event_type} is not valid: {error}") from error
