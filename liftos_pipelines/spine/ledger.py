"""The ledger's arithmetic: how an entry is hashed, chained and verified. Storage is in `database.py`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One entry; every field but `entry_hash` is hashed."""

    client: str
    position: int
    recorded_at: str
    kind: str
    actor: str
    idempotency_key: str
    body: str
    previous_hash: str
    entry_hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The body as an object."""
        return dict(json.loads(self.body))


@dataclass(frozen=True, kw_only=True)
class LedgerAudit:
    """Outcome of a verification; `first_bad_entry` is a position, None when all is well."""

    verified: bool
    entries: int
    first_bad_entry: int | None
    root_hash: str
    reason: str


def canonical(body: dict[str, Any]) -> str:
    """One spelling for one content: sorted keys, no spaces, no NaN (RFC 8785 in spirit).

    Raises
    ------
    ValueError : a number that JSON cannot hold
    """
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def digest(*fields: str) -> str:
    """SHA-256 over length-prefixed fields, so that no two lists of fields give the same bytes."""
    hasher = hashlib.sha256()
    for field in fields:
        encoded = field.encode()
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()


def entry_hash(entry: LedgerEntry) -> str:
    return digest(
        entry.client,
        str(entry.position),
        entry.recorded_at,
        entry.kind,
        entry.actor,
        entry.idempotency_key,
        entry.body,
        entry.previous_hash,
    )


def verify(entries: Iterable[LedgerEntry], *, expected_entries: int, expected_head: str) -> LedgerAudit:
    """Walk a chain from its start: positions without a gap, links, hashes, and the recorded end.

    Parameters
    ----------
    entries : in order of position
    expected_entries, expected_head : length and last hash as recorded beside the chain; a cut tail differs
    """
    previous, count = GENESIS, 0
    for entry in entries:
        problem = None
        if entry.position != count:
            problem = f"position {count} is missing"
        elif entry.previous_hash != previous:
            problem = "does not link to the entry before it"
        elif entry_hash(entry) != entry.entry_hash:
            problem = "its content does not match its hash"
        if problem:
            return LedgerAudit(verified=False, entries=count, first_bad_entry=count, root_hash=previous, reason=problem)
        previous, count = entry.entry_hash, count + 1
    if count != expected_entries or previous != expected_head:
        return LedgerAudit(
            verified=False,
            entries=count,
            first_bad_entry=count,
            root_hash=previous,
            reason=f"the chain ends after {count} entries, {expected_entries} were recorded",
        )
    return LedgerAudit(verified=True, entries=count, first_bad_entry=None, root_hash=previous, reason="")
