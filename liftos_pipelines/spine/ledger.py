"""The ledger's arithmetic: how an entry is spelled, hashed, chained. Storage is in `ledger_store.py`, the walk over a
whole ledger in `ledger_audit.py`.

Two formats of the hash stand side by side, told by `hash_version`: 1 hashes length-prefixed fields, 2 the canonical
JSON (RFC 8785) of all fields, the version among them. New entries are of version 2; old ones keep verifying.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from liftos_pipelines.spine.merkle import leaf_hash

GENESIS = "0" * 64
OLDEST_FORMAT, NEWEST_FORMAT = 1, 2
LARGEST_WHOLE = 2**53 - 1
"""Beyond it a whole number has no spelling of its own in canonical JSON; such a number is written as text."""


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One entry; every field but `entry_hash` is hashed into it, and all of them into the entry's Merkle leaf."""

    client: str
    position: int
    recorded_at: str
    kind: str
    actor: str
    idempotency_key: str
    body: str
    previous_hash: str
    entry_hash: str
    hash_version: int = OLDEST_FORMAT

    @property
    def content(self) -> dict[str, Any]:
        """The body as an object."""
        return dict(json.loads(self.body))


def canonical(body: dict[str, Any]) -> str:
    """One spelling for one content: sorted keys, no spaces, no NaN. The spelling of version 1, and of approvals.

    Raises
    ------
    ValueError : a number that JSON cannot hold
    """
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def canonical_json(body: Any) -> str:
    """Canonical JSON by RFC 8785; what JSON does not know (times, paths) is text, as is a whole number beyond 2^53-1.

    Raises
    ------
    ValueError : a number that JSON cannot hold, text that is no Unicode, or nesting that no reader follows
    """
    import rfc8785

    try:
        plain = json.loads(json.dumps(body, allow_nan=False, default=str), parse_int=_whole)
        return rfc8785.dumps(plain).decode()
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise ValueError(f"cannot be written as canonical JSON: {error}") from error


def _whole(digits: str) -> int | str:
    number = int(digits)
    return number if abs(number) <= LARGEST_WHOLE else digits


def spelled(body: dict[str, Any], version: int) -> str:
    """A body as an entry of this version holds it."""
    return canonical(body) if version == OLDEST_FORMAT else canonical_json(body)


def digest(*fields: str) -> str:
    """SHA-256 over length-prefixed fields, so that no two lists of fields give the same bytes."""
    hasher = hashlib.sha256()
    for field in fields:
        encoded = field.encode()
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()


def entry_hash(entry: LedgerEntry) -> str:
    """The hash by the entry's own version; a version that is not known has none."""
    if entry.hash_version == OLDEST_FORMAT:
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
    if entry.hash_version != NEWEST_FORMAT:
        return f"unknown hash version {entry.hash_version}"
    return hashlib.sha256(_fields(entry, "").encode("utf-8", "surrogatepass")).hexdigest()


def leaf_of(entry: LedgerEntry) -> bytes:
    """The entry's leaf in the Merkle tree: SHA-256(0x00 || canonical JSON of all its fields)."""
    own = f'"entry_hash":{encode_basestring(entry.entry_hash)},'
    return leaf_hash(_fields(entry, own).encode("utf-8", "surrogatepass"))


def _fields(entry: LedgerEntry, own: str) -> str:
    # Byte for byte what rfc8785 writes for texts and small whole numbers, by the C encoder: a tenth of the time.
    text = encode_basestring
    return (
        f'{{"actor":{text(entry.actor)},"body":{text(entry.body)},"client":{text(entry.client)},{own}'
        f'"hash_version":{entry.hash_version},"idempotency_key":{text(entry.idempotency_key)},'
        f'"kind":{text(entry.kind)},"position":{entry.position},"previous_hash":{text(entry.previous_hash)},'
        f'"recorded_at":{text(entry.recorded_at)}}}'
    )
