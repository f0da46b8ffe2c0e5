"""Signing a client's ledger: a checkpoint with every batch of entries, or when asked, and what witnesses are told.

A spine that `open_spine` opened has a seal: the keys of this installation and its witnesses. Without one, entries are
chained and nothing is signed. What cannot be signed never keeps an entry from being written: the log says why, and the
audit says that the newest entries are not covered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, select, text
from sqlalchemy.orm import Session

from liftos_pipelines import settings
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.spine import witness
from liftos_pipelines.spine.checkpoints import GENESIS, Checkpoint, Stub, told
from liftos_pipelines.spine.connection import SpineError, Store, retry
from liftos_pipelines.spine.keys import KeyProblem, KeyRing, SigningKey
from liftos_pipelines.spine.ledger import LedgerEntry
from liftos_pipelines.spine.ledger_audit import Head, LedgerAudit, audit
from liftos_pipelines.spine.merkle import Peaks
from liftos_pipelines.spine.schema import LedgerCheckpointRow, LedgerHeadRow, LedgerRow, LedgerStubRow

log = logging.getLogger(__name__)
CHECKPOINTS: Any = LedgerCheckpointRow.__table__
STUBS: Any = LedgerStubRow.__table__
HEADS: Any = LedgerHeadRow.__table__
_WAITING = "checkpoints for witnesses"


@dataclass(frozen=True)
class Seal:
    """Keys and witnesses; None for a field means what the environment says when it is used.

    `every_batch` False signs only when asked.
    """

    keys: KeyRing | None = None
    witnesses: tuple[str, ...] | None = None
    every_batch: bool = True

    @property
    def ring(self) -> KeyRing:
        return self.keys or KeyRing(settings.keys_folder())

    @property
    def places(self) -> tuple[str, ...]:
        return settings.witness_places() if self.witnesses is None else self.witnesses

    def folders(self) -> list[Path]:
        """The witnesses that are directories."""
        return [Path(each).expanduser() for each in self.places if "://" not in each]

    def stores(self) -> list[str]:
        """The witnesses that are object stores."""
        return [each for each in self.places if "://" in each]


class NotVerified(SpineError):
    """A ledger does not verify, so nothing about it is signed; the message is the audit's."""


class SealStore(Store):
    """Checkpoints, stubs and audits of ledgers."""

    seal: Seal | None = None
    _told_of: str = ""

    def checkpoint(self, client: str, *, now: datetime | None = None) -> Checkpoint:
        """Sign a ledger as it stands, and tell every witness; the newest checkpoint where nothing has come since.

        Raises
        ------
        SpineError : the ledger is empty, or this spine has no seal
        NotVerified : it was never signed and does not verify
        KeyProblem : the ledger's key is absent or unsafe
        WitnessProblem : a witness cannot be reached; the checkpoint stands all the same
        """
        seal = self.required_seal()
        check_client_id(client)

        def attempt() -> Checkpoint:
            with self._session() as session:
                self.lock_ledger(session, client)
                head = session.get(LedgerHeadRow, client)
                if head is None:
                    raise SpineError(f"the ledger of {client} is empty: there is nothing to sign")
                if head.peaks is None:
                    head.peaks = peaks_text(self._verified_peaks(session, client, head))
                return self._sign(session, head, seal, now) or self._newest(session, client)

        made = retry(attempt)
        held = self.checkpoints(client)
        for folder in seal.folders():
            witness.catch_up(folder, client, held)
        for store in seal.stores():
            witness.write_object(store, made)
        return made

    def seal_within(self, session: Session, head: LedgerHeadRow) -> None:
        """A checkpoint in the caller's transaction, where that can be; witnesses are told when it is committed."""
        if self.seal is None or not self.seal.every_batch:
            return
        try:
            self._sign(session, head, self.seal, None)
        except KeyProblem as problem:
            # Once for each thing that is wrong, not with every entry.
            if self._told_of != str(problem):
                self._told_of = str(problem)
                log.warning("the ledger of %s is not signed: %s", head.client, problem)

    def sign_within(self, session: Session, head: LedgerHeadRow) -> None:
        """A checkpoint in the caller's transaction, or an error; nothing where the newest one says the same."""
        if head.peaks is None:
            head.peaks = peaks_text(self._verified_peaks(session, head.client, head))
        self._sign(session, head, self.required_seal(), None)

    def ledgers(self) -> list[str]:
        """Clients that have a ledger."""
        with self.reading() as connection:
            return list(connection.execute(select(HEADS.c.client).order_by(HEADS.c.client)).scalars())

    def checkpoints(self, client: str) -> list[Checkpoint]:
        """Every checkpoint in the database, oldest first."""
        query = select(CHECKPOINTS).where(CHECKPOINTS.c.client == check_client_id(client)).order_by(CHECKPOINTS.c.size)
        with self.reading() as connection:
            return [Checkpoint(**row._mapping) for row in connection.execute(query).all()]

    def stub(self, client: str) -> Stub | None:
        """What stands for the entries that were retired, None where none were."""
        query = select(STUBS).where(STUBS.c.client == check_client_id(client)).order_by(STUBS.c.size.desc()).limit(1)
        with self.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Stub(**{**row._mapping, "peaks": tuple(filter(None, row.peaks.split(",")))})

    def head(self, client: str) -> Head | None:
        """What is recorded of a ledger's end."""
        with self.reading() as connection:
            row = connection.execute(select(HEADS).where(HEADS.c.client == check_client_id(client))).first()
        if row is None:
            return None
        return Head(
            entries=row.entries,
            head_hash=row.head_hash,
            peaks=None if row.peaks is None else tuple(filter(None, row.peaks.split(","))),
            checkpoint=row.checkpoint,
            key_id=row.key_id,
        )

    def audit_ledger(
        self,
        client: str,
        entries: Iterable[LedgerEntry],
        *,
        trusted: Mapping[str, bytes] | None = None,
        witnessed: Sequence[Checkpoint] | None = None,
    ) -> LedgerAudit:
        """Verify entries against head, checkpoints and stub, by the seal's keys and witnesses unless others are given.

        A witness that cannot be read is a finding, not an error.
        """
        problems: list[str] = []
        if self.seal is not None and trusted is None:
            # No key here at all (a copy of the database on another machine) leaves signatures unknown, not broken.
            trusted = self.seal.ring.public_keys() or None
        if self.seal is not None and witnessed is None:
            witnessed, problems = self.witnessed(client)
        found = audit(
            client,
            entries,
            head=self.head(client) or Head(entries=0, head_hash=GENESIS),
            checkpoints=self.checkpoints(client),
            stub=self.stub(client),
            witnessed=witnessed,
            trusted=trusted,
        )
        if found.witnessed and (found.first_bad_entry == found.entries or "witness" in found.reason):
            places = ", ".join(self.required_seal().places) if self.seal is not None else "where they were given"
            # A database begun anew, or put back from an old backup, on purpose or not: a person must say so.
            problems.append(f"witnesses: {places} (move a file there away only if the database was changed on purpose)")
        return found.with_problems(problems)

    def witnessed(self, client: str) -> tuple[list[Checkpoint], list[str]]:
        """What all witnesses hold, and what was wrong with reading them."""
        held: dict[Checkpoint, None] = {}
        problems = []
        seal = self.required_seal()
        readers = [
            *((witness.read_lines, witness.witness_file(folder, client)) for folder in seal.folders()),
            *((witness.read_objects, store) for store in seal.stores()),
        ]
        for read, place in readers:
            try:
                held |= dict.fromkeys(read(place, client))  # type: ignore[operator]
            except SpineError as problem:
                problems.append(str(problem))
        return list(held), problems

    def required_seal(self) -> Seal:
        if self.seal is None:
            raise SpineError("this spine was opened without keys; open it with resources.spine.open_spine")
        return self.seal

    def lock_ledger(self, session: Session, client: str) -> None:
        """Two writers must not chain to the same head: SQLite takes its one write lock now, PostgreSQL a lock of this
        client's own."""
        self.lock(session, f"ledger:{client}")
        if self._sqlite:
            session.execute(text("UPDATE ledger_heads SET entries = entries WHERE client = :c"), {"c": client})

    def _sign(self, session: Session, head: LedgerHeadRow, seal: Seal, now: datetime | None) -> Checkpoint | None:
        """A checkpoint of the head, None where the newest one says the same."""
        before = session.execute(
            select(CHECKPOINTS).where(CHECKPOINTS.c.client == head.client).order_by(CHECKPOINTS.c.size.desc()).limit(1)
        ).first()
        newest = None if before is None else Checkpoint(**before._mapping)
        if newest is not None and newest.size >= head.entries:
            return None
        key = seal.ring.key(head.key_id) if head.key_id else seal.ring.current()
        peaks = peaks_of(head)
        assert peaks is not None
        checkpoint = Checkpoint(
            client=head.client,
            size=head.entries,
            root=peaks.root().hex(),
            head_hash=head.head_hash,
            signed_at=(now or datetime.now(UTC)).isoformat(timespec="microseconds"),
            previous=newest.identity if newest else GENESIS,
            key_id=key.key_id,
        )
        signed = _signed(checkpoint, key)
        session.execute(insert(CHECKPOINTS), told(signed))
        head.checkpoint, head.key_id = signed.identity, key.key_id
        if _WAITING not in session.info:
            session.info[_WAITING] = []
            event.listen(session, "after_commit", lambda _: _tell_witnesses(session, seal))
            event.listen(session, "after_rollback", lambda _: session.info[_WAITING].clear())
        session.info[_WAITING].append(signed)
        return signed

    def _newest(self, session: Session, client: str) -> Checkpoint:
        row = session.execute(
            select(CHECKPOINTS).where(CHECKPOINTS.c.client == client).order_by(CHECKPOINTS.c.size.desc()).limit(1)
        ).one()
        return Checkpoint(**row._mapping)

    def _verified_peaks(self, session: Session, client: str, head: LedgerHeadRow) -> Peaks:
        """The Merkle state of a ledger that has none yet; only of one that verifies."""
        rows = session.scalars(select(LedgerRow).where(LedgerRow.client == client).order_by(LedgerRow.position))
        entries = [
            LedgerEntry(**{name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__}) for row in rows
        ]
        recorded = Head(entries=head.entries, head_hash=head.head_hash)
        found = audit(client, entries, head=recorded)
        if not found.verified:
            raise NotVerified(f"the ledger of {client} does not verify, so it is not signed: {found.reason}")
        return found.peaks


def peaks_of(head: LedgerHeadRow | None) -> Peaks | None:
    """The Merkle state of a head; None where it was not kept."""
    if head is None:
        return Peaks()
    return None if head.peaks is None else Peaks(head.entries, [bytes.fromhex(each) for each in _split(head.peaks)])


def peaks_text(peaks: Peaks) -> str:
    return ",".join(each.hex() for each in peaks.peaks)


def _split(joined: str) -> list[str]:
    return [each for each in joined.split(",") if each]


def _signed(checkpoint: Checkpoint, key: SigningKey) -> Checkpoint:
    return Checkpoint(**{**told(checkpoint), "signature": key.sign(checkpoint.message())})


def _tell_witnesses(session: Session, seal: Seal) -> None:
    waiting, session.info[_WAITING] = session.info[_WAITING], []
    for checkpoint in waiting:
        for folder in seal.folders():
            try:
                witness.write_line(folder, checkpoint)
            except SpineError as problem:
                log.warning("%s", problem)
