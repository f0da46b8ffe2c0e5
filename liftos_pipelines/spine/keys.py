"""The keys that sign a ledger's checkpoints: Ed25519, one file each, readable by their owner alone.

`<key id>.pem` is the private key, `<key id>.pub.pem` the public one, `current` names the key that new ledgers are
signed with. A ledger stays with the key it began with until that key hands over (`liftos ledger keys rotate`).
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from liftos_pipelines.spine.checkpoints import key_id_of
from liftos_pipelines.spine.connection import SpineError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CURRENT = "current"
PUBLIC = ".pub.pem"


class KeyProblem(SpineError):
    """A key is absent, unreadable, or open to others; the message names the file and what to do."""


class SigningKey:
    """A private key with its name."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    def sign(self, message: bytes) -> str:
        return self._private.sign(message).hex()


class KeyRing:
    """The keys of one folder; nothing is made before it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> SigningKey:
        """The key for ledgers that have none yet, made when there is none at all.

        Raises
        ------
        KeyProblem : it is named but absent, unreadable, or others may read it
        """
        name = self.folder / CURRENT
        if not name.is_file():
            self.create(replace=False)
        return self.key(_read(name).strip())

    def key(self, key_id: str) -> SigningKey:
        """The private key of that name.

        Raises
        ------
        KeyProblem : it is absent, unreadable, or others may read it
        """
        file = self.folder / f"{key_id}.pem"
        try:
            found = file.stat()
        except OSError:
            raise KeyProblem(
                f"{file} is not there: the ledger is signed with this key, and nothing is signed without it. Put it "
                "back from a backup; if it is lost, `liftos ledger keys rotate --lost` begins a new one that no old "
                "key vouches for"
            ) from None
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyProblem(f"{file} may be read by others (mode {found.st_mode & 0o777:o}); `chmod 600 {file}`")
        key = _load(file, found.st_mtime_ns, found.st_size)
        if key.key_id != key_id:
            raise KeyProblem(f"{file} holds key {key.key_id}, not the one it is named after; put the right file back")
        return key

    def create(self, *, replace: bool = True) -> SigningKey:
        """A new key; it becomes the current one, unless there is one and `replace` is False."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        key = SigningKey(private)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            pem = private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write(self.folder / f"{key.key_id}.pem", pem)
            _write(self.folder / f"{key.key_id}{PUBLIC}", public_pem(key.public))
            # Linked into place whole: of two processes that begin together one names its key, the other takes that one.
            fresh = self.folder / f".{CURRENT}-{uuid.uuid4().hex}"
            _write(fresh, key.key_id.encode())
            if replace:
                fresh.replace(self.folder / CURRENT)
            else:
                try:
                    (self.folder / CURRENT).hardlink_to(fresh)
                except FileExistsError:
                    for name in (f"{key.key_id}.pem", f"{key.key_id}{PUBLIC}"):
                        (self.folder / name).unlink()
                finally:
                    fresh.unlink()
        except OSError as error:
            raise KeyProblem(
                f"{self.folder}: no key can be written there ({error}); LIFTOS_KEYS names the folder"
            ) from error
        return key

    def public_keys(self) -> dict[str, bytes]:
        """Every public key of the folder by its name: what this installation trusts."""
        return read_public_keys(sorted(self.folder.glob(f"*{PUBLIC}"))) if self.folder.is_dir() else {}


def read_public_keys(files: Sequence[Path]) -> dict[str, bytes]:
    """Public keys of PEM files by their names.

    Raises
    ------
    KeyProblem : a file is absent or holds no Ed25519 public key
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found = {}
    for file in files:
        try:
            key = load_pem_public_key(file.read_bytes())
        except (OSError, ValueError) as error:
            raise KeyProblem(f"{file}: is no public key in PEM: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyProblem(f"{file}: is not an Ed25519 key; ledgers are signed with Ed25519")
        raw = key.public_bytes_raw()
        found[key_id_of(raw)] = raw
    return found


def public_pem(raw: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@lru_cache(maxsize=32)
def _load(file: Path, _changed: int, _size: int) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyProblem(f"{file}: is no private key in PEM: {error}; put it back from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyProblem(f"{file}: is not an Ed25519 key; put it back from a backup")
    return SigningKey(key)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyProblem(f"{file}: not readable: {error}") from error


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
