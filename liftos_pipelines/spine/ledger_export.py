"""A ledger as a file that proves itself: entries, checkpoints, public keys; proofs where only some entries are in it.

JSON lines, each with a `type`: `ledger` first, then `key`, `stub`, `entry`, `checkpoint`, `consistency`, and `end`,
without which the file was cut. A whole export is verified as the live ledger is; in a partial one each entry has its
Merkle inclusion proof against the newest checkpoint.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from liftos_pipelines.spine.checkpoints import (
    Checkpoint,
    Stub,
    Unreadable,
    key_id_of,
    read_statement,
    signature_holds,
    told,
)
from liftos_pipelines.spine.connection import SpineError
from liftos_pipelines.spine.keys import public_pem
from liftos_pipelines.spine.ledger import GENESIS, LedgerEntry, entry_hash, leaf_of
from liftos_pipelines.spine.ledger_audit import LedgerAudit, audit, stub_problems
from liftos_pipelines.spine.merkle import Tree, consistent, included
from liftos_pipelines.text import no_field_twice

FORMAT = 1
_FIELDS = tuple(field.name for field in fields(LedgerEntry))
_WHOLE_NUMBERS = ("position", "hash_version")
_KNOWN = {
    "ledger": {"type", "format", "client", "exported_at", "partial", "chosen"},
    "key": {"type", "key_id", "public_key", "pem"},
    "stub": {"type", *(field.name for field in fields(Stub))},
    "entry": {"type", "proof", *_FIELDS},
    "checkpoint": {"type", *(field.name for field in fields(Checkpoint))},
    "consistency": {"type", "earlier", "size", "proof"},
    "end": {"type", "lines"},
}


class ExportBroken(SpineError):
    """A file is no whole export; the message names the line."""


@dataclass(frozen=True)
class Chosen:
    """Which entries an export is to have; by default all."""

    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()

    @property
    def everything(self) -> bool:
        return self == Chosen()

    def has(self, entry: LedgerEntry) -> bool:
        """Whether an entry is wanted; an agent is its actor, or the agent that its body names."""
        at = datetime.fromisoformat(entry.recorded_at)
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (not self.kinds or entry.kind in self.kinds)
            and (not self.agents or entry.actor in self.agents or entry.content.get("agent_id") in self.agents)
            and (not self.positions or entry.position in self.positions)
        )

    def words(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "kinds": list(self.kinds),
            "agents": list(self.agents),
            "positions": list(self.positions),
        }


@dataclass(frozen=True)
class Exported:
    """What a file holds."""

    client: str
    partial: bool
    entries: tuple[LedgerEntry, ...]
    proofs: tuple[tuple[str, ...], ...]
    checkpoints: tuple[Checkpoint, ...]
    stub: Stub | None
    keys: Mapping[str, bytes]
    consistency: tuple[Mapping[str, Any], ...]


def write_export(
    stream: TextIO,
    client: str,
    entries: Sequence[LedgerEntry],
    checkpoints: Sequence[Checkpoint],
    *,
    stub: Stub | None,
    keys: Mapping[str, bytes],
    now: datetime,
    chosen: Chosen | None = None,
    since: Checkpoint | None = None,
) -> int:
    """Write a ledger, or the chosen part of it; how many entries were written.

    Parameters
    ----------
    entries : all that are kept, in order
    since : a checkpoint that somebody holds: the proof that the newest one continues it is written too

    Raises
    ------
    SpineError : a part is asked for and there is no checkpoint to prove it against, or `since` is none of this ledger's
    """
    chosen = chosen or Chosen()
    partial = not chosen.everything or since is not None
    newest = checkpoints[-1] if checkpoints else None
    if partial and newest is None:
        raise SpineError(
            f"the ledger of {client} has no checkpoint to prove a part against; `liftos ledger checkpoint`"
        )
    lines = 0

    def put(kind: str, /, **content: Any) -> None:
        nonlocal lines
        stream.write(json.dumps({"type": kind} | content, separators=(",", ":"), ensure_ascii=False) + "\n")
        lines += 1

    filter_words = chosen.words() if partial else None
    put("ledger", format=FORMAT, client=client, exported_at=now.isoformat(), partial=partial, chosen=filter_words)
    for key_id, raw in sorted(keys.items()):
        put("key", key_id=key_id, public_key=raw.hex(), pem=public_pem(raw).decode())
    if stub is not None:
        put("stub", **told(stub))
    if not partial:
        for entry in entries:
            put("entry", **_said(entry))
        for checkpoint in checkpoints:
            put("checkpoint", **told(checkpoint))
        put("end", lines=lines)
        return len(entries)
    assert newest is not None
    tree = _tree(entries[: newest.size - (stub.size if stub else 0)], stub)
    wanted = [entry for entry in entries if entry.position < newest.size and chosen.has(entry)]
    if since is not None and chosen.everything:
        wanted = []
    put("checkpoint", **told(newest))
    for entry in wanted:
        path = tree.inclusion(entry.position, newest.size)
        put("entry", **_said(entry), proof=[each.hex() for each in path])
    if since is not None:
        if since.client != client or since.size > newest.size:
            raise SpineError(
                f"there is no proof from {since.size} entries of {since.client}: {client} has {newest.size}"
            )
        proof = tree.consistency(since.size, newest.size)
        put("consistency", earlier=told(since), size=newest.size, proof=[each.hex() for each in proof])
    put("end", lines=lines)
    return len(wanted)


def _tree(entries: Sequence[LedgerEntry], stub: Stub | None) -> Tree:
    peaks = [bytes.fromhex(each) for each in stub.peaks] if stub else []
    return Tree(map(leaf_of, entries), size=stub.size if stub else 0, peaks=peaks)


def _said(entry: LedgerEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _FIELDS}


def write_csv(stream: TextIO, entries: Sequence[LedgerEntry]) -> None:
    """The entries as a table, for reading; the proof is in the JSON lines."""
    writer = csv.writer(stream)
    writer.writerow(_FIELDS)
    writer.writerows([getattr(entry, name) for name in _FIELDS] for entry in entries)


def read_export(file: Path, client: str) -> Exported:
    """Read a file as `write_export` writes it.

    Raises
    ------
    ExportBroken : not readable, no export, of another client, or cut
    Unreadable : a line of it has a field of another type
    """
    client_of, partial, ended = "", False, False
    entries, proofs, checkpoints, consistency = [], [], list[Checkpoint](), []
    keys: dict[str, bytes] = {}
    stub: Stub | None = None
    number = 0
    for number, said in _lines(file):
        where = f"{file}, line {number}"
        kind = said.get("type")
        if number == 1:
            if kind != "ledger" or said.get("format") != FORMAT:
                raise ExportBroken(f"{file}: is no export of a ledger in format {FORMAT}; line 1 says {str(said)[:80]}")
            client_of, partial = str(said.get("client")), said.get("partial") is True
            if not isinstance(said.get("partial"), bool):
                raise Unreadable(f"{where}: field partial is {said.get('partial')!r}")
            if client_of != client:
                raise ExportBroken(f"{file}: is the ledger of {client_of}, not of {client}")
        elif ended:
            raise ExportBroken(f"{where}: comes behind the end of the export")
        elif kind == "key":
            raw = _hex(said.get("public_key"), where)
            if key_id_of(raw) != said.get("key_id"):
                raise ExportBroken(f"{where}: the key is not the one that it is named after")
            if said.get("pem") != public_pem(raw).decode():
                raise ExportBroken(f"{where}: field pem is another key than field public_key")
            keys[key_id_of(raw)] = raw
        elif kind == "stub":
            stub = read_statement(Stub, said, where)
        elif kind == "checkpoint":
            checkpoints.append(read_statement(Checkpoint, said, where))
        elif kind == "entry":
            entries.append(_entry(said, where))
            proofs.append(_proof(said, where))
        elif kind == "consistency":
            consistency.append(said)
        elif kind == "end":
            ended = True
            if said.get("lines") != number - 1:
                raise ExportBroken(
                    f"{where}: {said.get('lines')} lines were written before the end, {number - 1} are there"
                )
        else:
            raise ExportBroken(f"{where}: type {kind!r} is not known")
    if not ended:
        raise ExportBroken(f"{file}: was cut: its end is missing behind line {number}; export it again")
    return Exported(
        client=client_of,
        partial=partial,
        entries=tuple(entries),
        proofs=tuple(proofs),
        checkpoints=tuple(checkpoints),
        stub=stub,
        keys=keys,
        consistency=tuple(consistency),
    )


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    said = json.loads(line, object_pairs_hook=no_field_twice)
                except (ValueError, RecursionError):
                    said = None
                if not isinstance(said, dict):
                    raise ExportBroken(f"{file}, line {number}: is half-written or changed: {line[:60].strip()!r}")
                # What nothing proves must not stand beside what is proven, where a reader would take it for that.
                added = said.keys() - _KNOWN.get(str(said.get("type")), said.keys())
                if added:
                    raise ExportBroken(f"{file}, line {number}: field {min(added)} does not belong there: it was added")
                yield number, said
    except (OSError, UnicodeDecodeError) as error:
        raise ExportBroken(f"{file}: not readable: {error}") from error


def _entry(said: Mapping[str, Any], where: str) -> LedgerEntry:
    for name in _FIELDS:
        wanted = int if name in _WHOLE_NUMBERS else str
        if not isinstance(said.get(name), wanted) or isinstance(said.get(name), bool):
            raise Unreadable(f"{where}: field {name} of an entry is {said.get(name)!r}")
    return LedgerEntry(**{name: said[name] for name in _FIELDS})


def _proof(said: Mapping[str, Any], where: str) -> tuple[str, ...]:
    path = said.get("proof", [])
    if not isinstance(path, list) or not all(isinstance(each, str) for each in path):
        raise Unreadable(f"{where}: field proof of an entry is {str(path)[:40]}")
    return tuple(path)


def _hex(value: Any, where: str) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError:
        raise Unreadable(f"{where}: {str(value)[:20]!r} is not hexadecimal") from None


def audit_export(
    held: Exported, *, trusted: Mapping[str, bytes] | None = None, witnessed: Sequence[Checkpoint] | None = None
) -> LedgerAudit:
    """Verify what a file holds, with nothing but the file.

    Parameters
    ----------
    trusted : public keys that the auditor has from elsewhere; None takes those of the file, which then vouch for
        nothing but themselves
    witnessed : checkpoints that the auditor holds
    """
    known = dict(held.keys if trusted is None else trusted)
    if not held.partial:
        return audit(
            held.client,
            held.entries,
            head=None,
            checkpoints=held.checkpoints,
            stub=held.stub,
            witnessed=witnessed,
            trusted=known,
        )
    return _audit_part(held, known, witnessed)


def _audit_part(held: Exported, known: Mapping[str, bytes], witnessed: Sequence[Checkpoint] | None) -> LedgerAudit:
    problems: list[tuple[int | None, str]] = []
    against = held.checkpoints[-1] if held.checkpoints else None
    if against is None:
        problems.append((None, "there is no checkpoint to hold the entries against"))
    elif against.client != held.client:
        problems.append((None, f"the checkpoint is {against.client}'s"))
    elif not signature_holds(known.get(against.key_id), against.signature, against.message()):
        why = "its signature does not hold" if against.key_id in known else f"key {against.key_id} is not known"
        problems.append((None, f"the checkpoint of {against.size} entries: {why}"))
    if held.stub is not None:
        problems += [(None, problem) for problem in stub_problems(held.client, held.stub, known)]
    before = -1
    for entry, proof in zip(held.entries, held.proofs, strict=True):
        if entry.client != held.client:
            problems.append((entry.position, f"entry {entry.position}: belongs to {entry.client}"))
        elif entry.position <= before:
            problems.append((entry.position, f"entry {entry.position}: twice, or not in order"))
        elif entry_hash(entry) != entry.entry_hash:
            problems.append((entry.position, f"entry {entry.position}: its content does not match its hash"))
        elif against is not None and not _proven(entry, proof, against):
            problems.append(
                (entry.position, f"entry {entry.position}: is not in the ledger that the checkpoint covers")
            )
        before = entry.position
    for said in held.consistency:
        problems += _inconsistent(said, against, known)
    for each in witnessed or ():
        if against is not None and each.size == against.size and each != against:
            problems.append((None, f"a witness holds another checkpoint of {each.size} entries"))
    where = [position for position, _ in problems if position is not None]
    good = against is not None and not problems
    return LedgerAudit(
        verified=not problems,
        entries=len(held.entries),
        first_bad_entry=min(where, default=None),
        root_hash=against.head_hash if against else GENESIS,
        reason="; ".join(reason for _, reason in problems[:6]),
        merkle_root=against.root if against else "",
        checkpoints=len(held.checkpoints),
        signed=good,
        signed_entries=against.size if against and good else 0,
        key_id=against.key_id if against else None,
        last_good_position=against.size - 1 if against and good else None,
        last_good_at=against.signed_at if against and good else None,
        retired=held.stub.size if held.stub else 0,
        witnessed=None if witnessed is None else max((each.size for each in witnessed), default=0),
    )


def _proven(entry: LedgerEntry, proof: Sequence[str], against: Checkpoint) -> bool:
    try:
        path = [bytes.fromhex(each) for each in proof]
        return included(leaf_of(entry), entry.position, against.size, path, bytes.fromhex(against.root))
    except ValueError:
        return False


def _inconsistent(
    said: Mapping[str, Any], against: Checkpoint | None, known: Mapping[str, bytes]
) -> list[tuple[int | None, str]]:
    earlier = read_statement(Checkpoint, dict(said.get("earlier") or {}), "consistency")
    if not signature_holds(known.get(earlier.key_id), earlier.signature, earlier.message()):
        return [(None, f"the earlier checkpoint of {earlier.size} entries: its signature does not hold")]
    try:
        path = [bytes.fromhex(str(each)) for each in said.get("proof") or ()]
        holds = against is not None and consistent(
            earlier.size, bytes.fromhex(earlier.root), against.size, bytes.fromhex(against.root), path
        )
    except ValueError:
        holds = False
    return [] if holds else [(None, f"the ledger does not continue the checkpoint of {earlier.size} entries")]


__all__ = [
    "Chosen",
    "ExportBroken",
    "Exported",
    "audit_export",
    "read_export",
    "write_csv",
    "write_export",
]
