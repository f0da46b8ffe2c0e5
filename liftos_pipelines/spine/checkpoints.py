"""Signed statements about a ledger: checkpoints, and stubs that stand for entries that were retired. Pure.

A checkpoint says how long the ledger was, its Merkle root and last hash, and which checkpoint came before; Ed25519
(RFC 8032) over the canonical JSON of all of it. Whoever holds the public key and one checkpoint sees every later change
of what it covers, also one that puts all hashes right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

from liftos_pipelines.spine.connection import SpineError
from liftos_pipelines.spine.ledger import GENESIS

KEY_ENDORSED = "ledger_key_endorsed"
"""Kind of the entry by which an old key hands over to a new one."""
RETIRED = "ledger_retired"
_CHECKPOINT, _STUB, _KEY = b"liftos ledger checkpoint v1\n", b"liftos ledger stub v1\n", b"liftos ledger key v1\n"


class Unreadable(SpineError):
    """A statement is not of the form it should have; the message says which field."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """`size` entries with this Merkle `root` ending in `head_hash`; `previous` is the hash of the checkpoint before."""

    client: str
    size: int
    root: str
    head_hash: str
    signed_at: str
    previous: str
    key_id: str
    signature: str = ""

    @cached_property
    def identity(self) -> str:
        """What the next checkpoint calls `previous`: over all fields, the signature among them."""
        return hashlib.sha256(_plain(told(self))).hexdigest()

    def message(self) -> bytes:
        return _CHECKPOINT + _unsigned(self)


@dataclass(frozen=True, kw_only=True)
class Stub:
    """What is left of the first `size` entries: enough to go on verifying behind them, and to verify their archive."""

    client: str
    size: int
    root: str
    head_hash: str
    peaks: tuple[str, ...]
    before: str
    archive_sha256: str
    signed_at: str
    key_id: str
    signature: str = ""

    def message(self) -> bytes:
        return _STUB + _unsigned(self)


def told(statement: Checkpoint | Stub) -> dict[str, Any]:
    """A statement's fields, as they are written out."""
    return {field.name: getattr(statement, field.name) for field in fields(statement)}


def _unsigned(statement: Checkpoint | Stub) -> bytes:
    return _plain({name: value for name, value in told(statement).items() if name != "signature"})


def _plain(said: Mapping[str, Any]) -> bytes:
    # Texts and small whole numbers under ASCII names: what rfc8785 writes, by the C encoder.
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def key_message(client: str, key_id: str, public_key: str, endorsed_by: str) -> bytes:
    """What an old key signs when it hands over to a new one in a client's ledger."""
    said = {"client": client, "key_id": key_id, "public_key": public_key, "endorsed_by": endorsed_by}
    return _KEY + _plain(said)


def key_id_of(public_key: bytes) -> str:
    """A key's name: the first 32 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def signature_holds(public_key: bytes | None, signature: str, message: bytes) -> bool:
    """Whether a hex signature over a message was made by the key's owner; False for whatever is not a signature."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if public_key is None:
        return False
    try:
        # Hex in one spelling only, or a changed letter's case would go unseen.
        raw = bytes.fromhex(signature)
        if raw.hex() != signature:
            return False
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def endorsed(client: str, body: Mapping[str, Any], trusted: Mapping[str, bytes]) -> tuple[str, bytes] | None:
    """The key that an entry of kind `ledger_key_endorsed` hands over to; None where no trusted key says so."""
    try:
        key_id, public, by = str(body["key_id"]), str(body["public_key"]), str(body["endorsed_by"])
        raw = bytes.fromhex(public)
    except (KeyError, ValueError):
        return None
    holds = signature_holds(trusted.get(by), str(body.get("endorsement")), key_message(client, key_id, public, by))
    return (key_id, raw) if holds and key_id == key_id_of(raw) else None


Said = TypeVar("Said", Checkpoint, Stub)


def read_statement(kind: type[Said], said: Mapping[str, Any], where: str) -> Said:
    """A statement as it was written out.

    Raises
    ------
    Unreadable : a field is missing or of another type
    """
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = said.get(field.name)
        wanted: type = int if field.name == "size" else (list if field.name == "peaks" else str)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise Unreadable(f"{where}: field {field.name} of a {kind.__name__.lower()} is {value!r}")
        values[field.name] = tuple(map(str, value)) if isinstance(value, list) else value
    return kind(**values)


__all__ = [
    "GENESIS",
    "KEY_ENDORSED",
    "RETIRED",
    "Checkpoint",
    "Stub",
    "Unreadable",
    "endorsed",
    "key_id_of",
    "key_message",
    "read_statement",
    "signature_holds",
    "told",
]
