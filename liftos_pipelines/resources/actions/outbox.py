"""The file in which messages and tickets wait, or are noted once they are delivered; each stands there once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OUTBOX = "outbox.jsonl"


class Outbox:
    """The folder's file of messages and tickets; what it holds is read once."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / OUTBOX
        self._known: set[str] | None = None
        self._unsynced = False

    def holds(self, action_id: str) -> bool:
        if self._known is None:
            self._known = _delivered(self.file)
        return action_id in self._known

    def append(self, content: Mapping[str, Any]) -> None:
        _append(self.file, content)
        self._unsynced = True
        if self._known is not None:
            self._known.add(str(content["action_id"]))

    def sync(self) -> None:
        """Bring what was appended safely to disk: before anybody writes down that it was done."""
        if self._unsynced:
            with self.file.open("rb") as file:
                os.fsync(file.fileno())
            self._unsynced = False


def _delivered(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    ids = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            ids.add(json.loads(line)["action_id"])
        except (ValueError, KeyError, TypeError):
            continue  # a line cut off by a crash was never acknowledged
    return ids


def _append(file: Path, content: Mapping[str, Any]) -> None:
    line = json.dumps(content, sort_keys=True, default=str).encode() + b"\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as outbox:
        # A line that a crash cut off stays a line of its own.
        if outbox.seek(0, os.SEEK_END):
            outbox.seek(-1, os.SEEK_END)
            line = line if outbox.read(1) == b"\n" else b"\n" + line
        outbox.write(line)
