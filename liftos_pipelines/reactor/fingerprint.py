"""Tells when the code that warm workers hold in memory has changed on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".py", ".yaml", ".mako", ".j2", ".json", ".npz", ".md")
PACKAGE = Path(__file__).resolve().parent.parent
OWN = Path(__file__).resolve().parent


def fingerprint(folders: tuple[Path, ...] = (PACKAGE,), files: tuple[Path, ...] = ()) -> str:
    """Changes with the name, size or time of any code or template file; contents are not read."""
    digest = hashlib.sha256()
    for path, size, changed in sorted(_stamps(folders, files)):
        digest.update(f"{path}\0{size}\0{changed}\n".encode())
    return digest.hexdigest()[:16]


def _stamps(folders: tuple[Path, ...], files: tuple[Path, ...]) -> Iterator[tuple[str, int, int]]:
    for folder in folders:
        for place, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if name != "__pycache__" and not name.startswith(".")]
            for name in names:
                if name.endswith(SUFFIXES):
                    yield from _stamp(Path(place) / name)
    for file in files:
        yield from _stamp(file)


def _stamp(path: Path) -> Iterator[tuple[str, int, int]]:
    try:
        found = path.stat()
    except OSError:
        return  # gone between the listing and the look
    yield str(path), found.st_size, found.st_mtime_ns
