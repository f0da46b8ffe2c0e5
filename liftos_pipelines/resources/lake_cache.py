"""Tables once read stay in memory while their Delta version is current: a reaction reads what it read a second ago.

For a lake on a local disk the version is known without opening the table: a commit is a file whose name is its number.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

LIMIT_BYTES = 256 * 2**20
"""All frames kept together; one larger than a quarter of it is not kept."""
Stamp = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class _Held:
    version: int
    stamp: Stamp
    frame: pl.DataFrame | None
    status: str | None


class FrameCache:
    """Frames and statuses by path, the longest unused dropped first. Frames are copied out, cheaply."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0

    def frame(self, path: str) -> pl.DataFrame | None:
        """The table's current content, if it is known for certain."""
        held = self._current(path)
        if held is None or held.frame is None:
            return None
        self.hits += 1
        return held.frame.clone()

    def status(self, path: str) -> str | None:
        held = self._current(path)
        return None if held is None else held.status

    def version(self, path: str) -> int | None:
        """The current version, if it is known for certain."""
        held = self._current(path)
        return None if held is None else held.version

    def keep(self, path: str, version: int, *, frame: pl.DataFrame | None = None, status: str | None = None) -> None:
        """Remember what a version contains; nothing is kept for tables that are not on a local disk."""
        stamp = _stamp(path, version)
        if stamp is None:
            return
        if frame is not None and frame.estimated_size() > self.limit_bytes / 4:
            frame = None
        with self._lock:
            before = self._held.pop(path, None)
            if before is not None and (before.version, before.stamp) == (version, stamp):
                frame = before.frame if frame is None else frame
                status = before.status if status is None else status
            self._held[path] = _Held(version=version, stamp=stamp, frame=frame, status=status)
            while self._bytes() > self.limit_bytes and len(self._held) > 1:
                self._held.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._held.clear()

    def _bytes(self) -> int:
        return sum(held.frame.estimated_size() for held in self._held.values() if held.frame is not None)  # type: ignore[misc]

    def _current(self, path: str) -> _Held | None:
        with self._lock:
            held = self._held.get(path)
            if held is None:
                return None
            # Nobody has committed since, and the commit that was read is still that one: the table was not made anew.
            if _stamp(path, held.version + 1) is None and _stamp(path, held.version) == held.stamp:
                self._held.move_to_end(path)
                return held
            del self._held[path]
            return None


def _stamp(path: str, version: int) -> Stamp | None:
    if "://" in path:
        return None
    try:
        found = os.stat(Path(path) / "_delta_log" / f"{version:020d}.json")
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def newest_version(path: str) -> int | None:
    """A local table's newest commit, by the names in its log; None when it is not local or has none."""
    if "://" in path:
        return None
    try:
        names = os.listdir(Path(path) / "_delta_log")
    except OSError:
        return None
    numbers = [int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit() and len(name) == 25]
    return max(numbers, default=None)


class OpenTables(threading.local):
    """Delta tables that this thread has open: opening one anew reads its whole log, about 15 ms each time."""

    LIMIT = 64

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[Any, int, Stamp]] = OrderedDict()

    def of(self, path: str, open_table: Callable[[], Any]) -> Any:
        """The table at its newest version; opened only when it is not held, or was made anew meanwhile."""
        held, newest = self._held.pop(path, None), newest_version(path)
        if newest is None:
            return open_table()
        if held is None or _stamp(path, held[1]) != held[2]:
            delta = open_table()
        else:
            delta = held[0]
            if delta.version() != newest:
                delta.update_incremental()
        version = int(delta.version())
        stamp = _stamp(path, version)
        if stamp is not None:
            self._held[path] = (delta, version, stamp)
            while len(self._held) > self.LIMIT:
                self._held.popitem(last=False)
        return delta


TABLES = OpenTables()
"""This thread's."""


def status_in_commit(path: str, version: int, read: Callable[[str], object]) -> str | None:
    """The status that one commit of a local table carries; None when it carries none or cannot be read."""
    try:
        with open(Path(path) / "_delta_log" / f"{version:020d}.json", encoding="utf-8") as file:
            for line in file:
                entry = read(line)
                if isinstance(entry, dict) and isinstance(entry.get("commitInfo"), dict):
                    status = entry["commitInfo"].get("liftos_status")
                    return None if status is None else str(status)
    except (OSError, ValueError):
        return None
    return None


FRAMES = FrameCache()
"""This process's."""
