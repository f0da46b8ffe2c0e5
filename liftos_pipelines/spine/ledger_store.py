"""Where the ledger stands: a hash chain a client, appended to by one writer at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine.connection import SpineError, retry
from liftos_pipelines.spine.ledger import (
    GENESIS,
    NEWEST_FORMAT,
    LedgerEntry,
    canonical_json,
    entry_hash,
    leaf_of,
    spelled,
)
from liftos_pipelines.spine.ledger_audit import LedgerAudit
from liftos_pipelines.spine.schema import LedgerHeadRow, LedgerRow
from liftos_pipelines.spine.sealing import SealStore, peaks_of, peaks_text

KEYS_AT_ONCE = 500
COLUMNS: Any = [getattr(LedgerRow, name) for name in LedgerEntry.__dataclass_fields__]


@dataclass(frozen=True)
class LedgerNote:
    """What is to be chained to a ledger; `idempotency_key` tells one note from another."""

    kind: str
    actor: str
    body: dict[str, Any]
    idempotency_key: str


class LedgerMoved(SpineError):
    """Somebody else wrote after the writer had read: read again, judge again, then write."""


class LedgerStore(SealStore):
    """Appending to a client's ledger, reading and verifying it."""

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
        told = [(note, canonical_json(note.body)) for note in notes]
        self.lock_ledger(session, client)
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
        peaks = peaks_of(head)
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
                    hash_version=NEWEST_FORMAT,
                )
                entry = replace(blank, entry_hash=entry_hash(blank))
                known[note.idempotency_key] = entry
                position, previous = position + 1, entry.entry_hash
                fresh.append(entry.__dict__)
                if peaks is not None:
                    peaks.add(leaf_of(entry))
            elif (entry.kind, entry.actor, entry.body) != (
                note.kind,
                note.actor,
                spelled(note.body, entry.hash_version),
            ):
                raise SpineError(
                    f"ledger of {client}: key {note.idempotency_key!r} is already used by entry "
                    f"{entry.position} with another content; an entry cannot be changed, use a new key"
                )
            entries.append(entry)
        if fresh:
            session.execute(insert(LedgerRow), fresh)
            if head is None:
                head = LedgerHeadRow(client=client)
                session.add(head)
            head.entries, head.head_hash = position, previous
            if peaks is not None:
                head.peaks = peaks_text(peaks)
                self.seal_within(session, head)
        return entries

    def ledger(self, client: str, *, after: int = -1, kinds: Sequence[str] | None = None) -> list[LedgerEntry]:
        """A client's ledger from its start, or what stands behind a position; of some kinds only if asked.

        Entries that were retired are not among them; their archives are.
        """
        query = select(*COLUMNS).where(LedgerRow.client == check_client_id(client), LedgerRow.position > after)
        if kinds is not None:
            query = query.where(LedgerRow.kind.in_(list(kinds)))
        with self.reading() as connection:
            return [LedgerEntry(**row._mapping) for row in connection.execute(query.order_by(LedgerRow.position)).all()]

    def verify_ledger(self, client: str) -> LedgerAudit:
        """Recompute a client's ledger and compare it with all that is recorded of it: see `ledger_audit.audit`.

        Signatures and witnesses are asked where the spine was opened with them (`open_spine`).
        """
        return self.audit_ledger(client, self.ledger(client))


def _entry(row: LedgerRow) -> LedgerEntry:
    return LedgerEntry(**{name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__})
