"""Where the ledger stands: a hash chain a client, appended to by one writer at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, Store, retry
from liftos_pipelines.spine.ledger import GENESIS, LedgerAudit, LedgerEntry, canonical, entry_hash, verify
from liftos_pipelines.spine.schema import LedgerHeadRow, LedgerRow

KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class LedgerNote:
    """What is to be chained to a ledger; `idempotency_key` tells one note from another."""

    kind: str
    actor: str
    body: dict[str, Any]
    idempotency_key: str


class LedgerMoved(SpineError):
    """Somebody else wrote after the writer had read: read again, judge again, then write."""


class LedgerStore(Store):
    """Appending to a client's ledger, and verifying it."""

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

    def append_ledger_many(
        self, client: str, notes: Sequence[LedgerNote], *, read_until: int | None = None
    ) -> list[LedgerEntry]:
        """Chain entries to a client's ledger in their order, all or none, in one transaction.

        Parameters
        ----------
        read_until : position of the last entry that the notes take into account, -1 for none; by default nobody asks

        Raises
        ------
        SpineError : a key is known with another content
        LedgerMoved : there are entries behind `read_until`; nothing was written
        """
        check_client_id(client)

        def attempt() -> list[LedgerEntry]:
            with self._session() as session:
                return self.append_within(session, client, notes, read_until=read_until)

        return retry(attempt)

    def append_within(
        self, session: Session, client: str, notes: Sequence[LedgerNote], *, read_until: int | None = None
    ) -> list[LedgerEntry]:
        """`append_ledger_many` as a part of the caller's transaction: kept or rolled back with what else it writes."""
        told = [(note, canonical(note.body)) for note in notes]
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
        if read_until is not None and position != read_until + 1:
            raise LedgerMoved(
                f"ledger of {client}: {position - read_until - 1} entries came after position {read_until}; "
                "read them, then judge again"
            )
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
        self.lock(session, f"ledger:{client}")
        if self._sqlite:
            session.execute(text("UPDATE ledger_heads SET entries = entries WHERE client = :c"), {"c": client})


def _entry(row: LedgerRow) -> LedgerEntry:
    return LedgerEntry(**{name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__})
