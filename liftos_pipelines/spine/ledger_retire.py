"""Removing what is older than its retention: archived and signed first, with a stub by which verification goes on.

The only way by which entries leave a ledger. What still stands (a stop that nobody lifted, an agent's stage, a key's
hand-over) is written anew before its entry goes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, text

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.spine.checkpoints import KEY_ENDORSED, RETIRED, Checkpoint, Stub, told
from liftos_pipelines.spine.connection import SpineError
from liftos_pipelines.spine.ledger import LedgerEntry, leaf_of
from liftos_pipelines.spine.ledger_export import audit_export, read_export, write_export
from liftos_pipelines.spine.ledger_store import LedgerNote, LedgerStore
from liftos_pipelines.spine.merkle import Peaks
from liftos_pipelines.spine.sealing import STUBS

SHORTEST_RETENTION_DAYS = 183
"""Six months at least: Regulation (EU) 2024/1689, articles 19 and 26(6)."""
RETENTION_VARIABLE = "LIFTOS_LEDGER_RETENTION_DAYS"
ACTOR = "liftos.ledger"
STOPPED, RESUMED, TRANSITION = "agent_stopped", "agent_resumed", "agent_transition"


class RetentionTooShort(SpineError):
    """Entries would go before their time; the message says from when on they may."""


@dataclass(frozen=True)
class Retirement:
    """What was retired: entries up to `size`, into `archive`; `carried` were written anew because they still stand."""

    size: int
    removed: int
    archive: Path
    archive_sha256: str
    carried: int


def check_retention(days: int, named: str) -> int:
    """The days themselves.

    Raises
    ------
    RetentionTooShort : fewer than 183, naming the setting
    """
    if days < SHORTEST_RETENTION_DAYS:
        raise RetentionTooShort(
            f"{named} is {days} days; a ledger is kept for at least {SHORTEST_RETENTION_DAYS} "
            "(logs of decisions: six months)"
        )
    return days


def retention_of(config: ClientConfig) -> int:
    """Days for which a client's entries are kept: `LIFTOS_LEDGER_RETENTION_DAYS`, else `ledger.retention_days`.

    Raises
    ------
    RetentionTooShort : fewer than 183, or no whole number
    """
    said = os.environ.get(RETENTION_VARIABLE)
    if said is None:
        return check_retention(config.ledger.retention_days, "client.yaml: ledger.retention_days")
    if not said.isdigit():
        raise RetentionTooShort(f"{RETENTION_VARIABLE} is {said!r}; give whole days, {SHORTEST_RETENTION_DAYS} or more")
    return check_retention(int(said), RETENTION_VARIABLE)


def retire(
    spine: LedgerStore, client: str, *, before: datetime, retention_days: int, folder: Path, now: datetime
) -> Retirement | None:
    """Archive and remove the entries before a moment, up to the last checkpoint there; None when there is nothing.

    Raises
    ------
    RetentionTooShort : the moment is within the retention
    SpineError : the ledger does not verify, its key is absent, or the archive cannot be written
    """
    check_retention(retention_days, "retention")
    latest = now - timedelta(days=retention_days)
    if before > latest:
        raise RetentionTooShort(
            f"entries are kept for {retention_days} days: today what is older than {latest:%Y-%m-%d} may be retired, "
            f"not all before {before:%Y-%m-%d}"
        )
    spine.checkpoint(client, now=now)
    entries, checkpoints, old_stub = spine.ledger(client), spine.checkpoints(client), spine.stub(client)
    found = spine.audit_ledger(client, entries)
    if not found.verified or not found.signed:
        raise SpineError(
            f"the ledger of {client} does not verify, so nothing is retired: {found.reason or 'not signed'}"
        )
    cut = _cut(entries, checkpoints, before)
    if cut is None:
        return None
    going = [entry for entry in entries if entry.position < cut.size]
    staying = [entry for entry in entries if entry.position >= cut.size]
    seal = spine.required_seal()
    peaks = Peaks(old_stub.size, [bytes.fromhex(each) for each in old_stub.peaks]) if old_stub else Peaks()
    for entry in going:
        peaks.add(leaf_of(entry))
    first = going[0].position
    archive = folder / f"{client}-ledger-{first:09d}-{cut.size - 1:09d}.jsonl"
    held = [each for each in checkpoints if each.size <= cut.size]
    archive_sha256 = _write_archive(archive, client, going, held, old_stub, seal.ring.public_keys(), now)
    key = seal.ring.key(checkpoints[-1].key_id)
    stub = Stub(
        client=client,
        size=cut.size,
        root=cut.root,
        head_hash=cut.head_hash,
        peaks=tuple(each.hex() for each in peaks.peaks),
        before=before.isoformat(),
        archive_sha256=archive_sha256,
        signed_at=now.isoformat(timespec="microseconds"),
        key_id=key.key_id,
    )
    stub = Stub(**{**told(stub), "signature": key.sign(stub.message())})
    body = {
        "before": before.isoformat(),
        "entries": f"{first} to {cut.size - 1}",
        "root": cut.root,
        "archive": archive.name,
        "archive_sha256": archive_sha256,
        "reasoning": f"older than the retention of {retention_days} days",
    }
    notes = carried(going, staying, now)
    with spine._session() as session:
        spine.lock_ledger(session, client)
        if session.scalar(select(func.max(STUBS.c.size)).where(STUBS.c.client == client)) != (
            old_stub.size if old_stub else None
        ):
            raise SpineError(f"the ledger of {client} was retired by somebody else meanwhile; run again")
        told_notes = [*notes, LedgerNote(RETIRED, ACTOR, body, f"{RETIRED}:{cut.size}:{cut.root}")]
        spine.append_within(session, client, told_notes)
        session.execute(insert(STUBS), {**told(stub), "peaks": ",".join(stub.peaks)})
        session.execute(
            text("DELETE FROM ledger WHERE client = :client AND position < :size"),
            {"client": client, "size": cut.size},
        )
    return Retirement(cut.size, len(going), archive, archive_sha256, len(notes))


def _cut(entries: Sequence[LedgerEntry], checkpoints: Sequence[Checkpoint], before: datetime) -> Checkpoint | None:
    """The last checkpoint of which every entry is older; the archive ends in it, signed."""
    old = 0
    for entry in entries:
        if _moment(entry.recorded_at) >= before:
            break
        old = entry.position + 1
    first = entries[0].position if entries else 0
    return max((each for each in checkpoints if first < each.size <= old), key=lambda each: each.size, default=None)


def carried(going: Iterable[LedgerEntry], staying: Sequence[LedgerEntry], now: datetime) -> list[LedgerNote]:
    """What still stands of entries that go, to be written anew."""
    lifted: list[dict[str, Any]] = [entry.content for entry in staying if entry.kind == RESUMED]
    later = {_subject(entry) for entry in staying if entry.kind == TRANSITION}
    standing: dict[object, LedgerEntry] = {}
    for entry in going:
        if entry.kind == KEY_ENDORSED:
            standing[entry.position] = entry
        elif entry.kind == TRANSITION and _subject(entry) not in later:
            standing.pop(_subject(entry), None)
            standing[_subject(entry)] = entry
        elif entry.kind == STOPPED:
            until = entry.content.get("until")
            if until is None or _moment(until) > now:
                standing[STOPPED, entry.content.get("agent_id"), entry.content.get("event_id")] = entry
        elif entry.kind == RESUMED:
            lifted.append(entry.content)
    for body in lifted:
        for key in [key for key in standing if isinstance(key, tuple) and key[:2] == (STOPPED, body.get("agent_id"))]:
            # A resume of the first version names no stops: it lifts all that stood before it.
            if key[2] in body.get("stops", [key[2]]):
                del standing[key]
    return [
        LedgerNote(
            entry.kind,
            entry.actor,
            entry.content | {"carried_from": entry.position, "carried_recorded_at": entry.recorded_at},
            f"carried:{entry.position}:{entry.entry_hash[:16]}",
        )
        for entry in standing.values()
    ]


def _subject(entry: LedgerEntry) -> object:
    body = entry.content
    return (TRANSITION, body.get("agent_id"), body.get("version"))


def _moment(said: str) -> datetime:
    moment = datetime.fromisoformat(said)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _write_archive(
    archive: Path,
    client: str,
    entries: Sequence[LedgerEntry],
    checkpoints: Sequence[Checkpoint],
    stub: Stub | None,
    keys: dict[str, bytes],
    now: datetime,
) -> str:
    """The archive on disk, read back and verified; its SHA-256."""
    fresh = archive.with_suffix(".part")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as stream:
            write_export(stream, client, entries, checkpoints, stub=stub, keys=keys, now=now)
            stream.flush()
            os.fsync(stream.fileno())
        found = audit_export(read_export(fresh, client), trusted=keys)
        if not found.verified or not found.signed:
            raise SpineError(f"{fresh}: the archive does not verify, so nothing is retired: {found.reason}")
        fresh.replace(archive)
        return file_sha256(archive)
    except OSError as error:
        raise SpineError(f"{archive}: the archive cannot be written, so nothing is retired: {error}") from error


def file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
