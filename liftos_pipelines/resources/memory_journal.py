"""The memory's journal: an append-only file a client, in which a write is durable before it is acknowledged.

One record a line: CRC-32 of the JSON, a space, the JSON. A record is written and synced under a lock that all
threads and processes of this machine share, so records have one order. What a crash left of a half-written record
has no valid checksum at the end of the file and is cut off by the next writer. A flush seals the file, brings its
records to LanceDB and keeps the last few sealed files, so that readers in other processes can catch up from where
they were; a reader that is further behind is told to load afresh.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK_SECONDS = 30.0
"""How long a writer waits for its turn before it says who holds it up."""
KEEP_FLUSHED = 4
KEEP_FLUSHED_BYTES = 1 << 20
_ACTIVE, _SEALED, _FLUSHED = "active", "sealed", "flushed"


class JournalError(RuntimeError):
    """The journal cannot be written or read; nothing was stored; the message names the file and what to do."""


class Behind(LookupError):
    """A reader's place is no longer in the journal: what it missed stands in the table; load afresh."""


@dataclass(frozen=True, order=True)
class Place:
    """A place in the journal: number of the file and byte in it."""

    number: int
    offset: int


@contextmanager
def locked_file(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a file's lock among threads and processes.

    Raises
    ------
    JournalError : another process holds it for longer than `seconds`
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_up, pause = time.monotonic() + seconds, 0.0005
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as taken:
                if taken.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() > give_up:
                    raise JournalError(
                        f"{path} has been locked by another process for {seconds:g} s; nothing was stored. "
                        f"See who holds it with: fuser -v {path}; end that process and try again"
                    ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.02)
        yield
    finally:
        os.close(descriptor)


class MemoryJournal:
    """The journal in one folder. `locked` guards `append`, `seal` and `clear`; reading needs no lock."""

    def __init__(self, folder: Path, lock_seconds: float = LOCK_SECONDS) -> None:
        self.folder = folder
        self.lock_seconds = lock_seconds

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The one writer's turn."""
        with locked_file(self.folder / ".lock", self.lock_seconds):
            yield

    # --- writing, under the lock -------------------------------------------------------------------------
    def append(self, record: dict[str, Any], end: Place) -> Place:
        """Write one record and sync it; returns the place after it. Durable when this returns.

        Parameters
        ----------
        end : where the last valid record ends, as `read` gave it under this lock; anything behind it is what a
            crash left and is cut off

        Raises
        ------
        JournalError : the file cannot be written (disk full, rights); what was there stays as it was
        Behind : `end` is not where the valid records end; nothing was written
        """
        path, created = self._path(end.number, _ACTIVE), False
        line = _line(record)
        try:
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                created = True
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(path, error) from error
        try:
            try:
                if os.fstat(descriptor).st_size != end.offset:
                    if _records(path.read_bytes(), 0, path)[1] != end.offset:
                        raise Behind(f"the valid records of {path} do not end at byte {end.offset}")
                    os.ftruncate(descriptor, end.offset)
                written = 0
                while written < len(line):
                    written += os.pwrite(descriptor, line[written:], end.offset + written)
                os.fdatasync(descriptor)
            except OSError as error:
                # A record that was not acknowledged must not come back when there is space again.
                os.ftruncate(descriptor, end.offset)
                raise self._unwritable(path, error) from error
        finally:
            os.close(descriptor)
        if created:
            self._sync_folder()
        return Place(end.number, end.offset + len(line))

    def seal(self, end: Place) -> Place:
        """Close the present file, so that a flush can take it while writers go on in a new one."""
        path = self._path(end.number, _ACTIVE)
        if not path.exists() or end.offset == 0:
            return end
        with path.open("r+b") as file:
            file.truncate(end.offset)
        path.rename(self._path(end.number, _SEALED))
        self._sync_folder()
        return Place(end.number + 1, 0)

    def mark_flushed(self, numbers: list[int]) -> None:
        """The records of these sealed files stand in the table; only the last few are kept for slow readers."""
        for number in numbers:
            self._path(number, _SEALED).replace(self._path(number, _FLUSHED))
        kept = [path for path in self._files(_FLUSHED).values() if path.stat().st_size <= KEEP_FLUSHED_BYTES]
        for path in set(self._files(_FLUSHED).values()) - set(kept[-KEEP_FLUSHED:]):
            path.unlink(missing_ok=True)
        self._sync_folder()

    def clear(self, end: Place) -> Place:
        """Remove every file, for erasure; readers elsewhere find their place gone and load afresh."""
        following = end.number + 1
        # Named before the rest goes, so that numbers never start again and an old place cannot seem valid.
        self._path(following, _ACTIVE).touch(mode=0o600)
        for state in (_FLUSHED, _SEALED, _ACTIVE):
            for number, path in self._files(state).items():
                if number != following:
                    path.unlink(missing_ok=True)
        self._sync_folder()
        return Place(following, 0)

    # --- reading -----------------------------------------------------------------------------------------
    def start(self) -> Place:
        """The first place whose records may not stand in the table yet."""
        numbers = sorted({*self._files(_SEALED), *self._files(_ACTIVE)})
        if numbers:
            return Place(numbers[0], 0)
        flushed = self._files(_FLUSHED)
        return Place(max(flushed) + 1 if flushed else 0, 0)

    def unchanged_since(self, place: Place) -> bool:
        """Whether nothing was written after a place; one look at one file."""
        try:
            return self._path(place.number, _ACTIVE).stat().st_size == place.offset
        except FileNotFoundError:
            return place.offset == 0 and not self._later(place.number)

    def read(self, place: Place) -> tuple[list[dict[str, Any]], Place]:
        """Records after a place, in order, and the place after the last of them.

        Raises
        ------
        Behind : the place is gone
        JournalError : a record in the middle of the file is damaged
        """
        records: list[dict[str, Any]] = []
        while True:
            content, active = self._content(place)
            if content is None:
                return records, place
            found, offset = _records(content, place.offset, self._path(place.number, _ACTIVE))
            records += found
            place = Place(place.number, offset)
            if active:
                return records, place
            place = Place(place.number + 1, 0)

    def sealed(self) -> dict[int, list[dict[str, Any]]]:
        """Records of the sealed files, by number of the file, in order."""
        return {
            number: _records(path.read_bytes(), 0, path)[0] for number, path in sorted(self._files(_SEALED).items())
        }

    def pending(self) -> int:
        """Bytes that no flush has taken yet."""
        return sum(path.stat().st_size for state in (_SEALED, _ACTIVE) for path in self._files(state).values())

    def _content(self, place: Place) -> tuple[bytes | None, bool]:
        """Bytes after a place and whether its file is still written to; None where no file is there yet."""
        for _ in range(100):  # a file may be renamed between the look and the opening
            for state in (_ACTIVE, _SEALED, _FLUSHED):
                try:
                    with self._path(place.number, state).open("rb") as file:
                        if os.fstat(file.fileno()).st_size < place.offset:
                            raise Behind(f"{file.name} is shorter than what was read of it")
                        file.seek(place.offset)
                        return file.read(), state == _ACTIVE
                except FileNotFoundError:
                    continue
            if place.offset == 0 and not self._later(place.number):
                return None, True
            if self._later(place.number) or place.offset:
                raise Behind(f"journal file {place.number} of {self.folder} is gone")
        raise AssertionError("unreachable")

    def _later(self, number: int) -> bool:
        return any(found > number for state in (_ACTIVE, _SEALED, _FLUSHED) for found in self._files(state))

    def _files(self, state: str) -> dict[int, Path]:
        return {int(path.name.split(".")[0]): path for path in sorted(self.folder.glob(f"*.{state}"))}

    def _path(self, number: int, state: str) -> Path:
        return self.folder / f"{number:012d}.{state}"

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> JournalError:
        fix = {
            errno.ENOSPC: "the disk is full: free space and write again",
            errno.EDQUOT: "the quota is used up: free space and write again",
            errno.EFBIG: "the file may not grow further: raise the limit (ulimit -f) or flush, and write again",
            errno.EROFS: "the disk is read-only: mount it for writing",
            errno.EACCES: "no right to write: give the account of this process the folder",
        }.get(error.errno or 0, "see the system's error")
        return JournalError(f"{path}: {fix} ({error.strerror}). The memory was not stored; nothing else changed")


def _line(record: dict[str, Any]) -> bytes:
    body = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _records(content: bytes, base: int, path: Path) -> tuple[list[dict[str, Any]], int]:
    """Valid records and the byte after the last one; a damaged end is what a crash left, not a record."""
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(content):
        end = content.find(b"\n", at)
        body = content[at + 9 : end] if end >= 0 else b""
        if end < 0 or not _valid(content[at : at + 9], body):
            if end >= 0 and _any_valid(content[end + 1 :]):
                raise JournalError(
                    f"{path}: the record at byte {base + at} is damaged and valid ones follow it. Keep a copy of the "
                    "file, remove that line, and run memory/items: what its sources still say is remembered again"
                )
            break
        found.append(json.loads(body))
        at = end + 1
    return found, base + at


def _valid(head: bytes, body: bytes) -> bool:
    return head == b"%08x " % zlib.crc32(body)


def _any_valid(content: bytes) -> bool:
    return any(_valid(line[:9], line[9:]) for line in content.split(b"\n") if len(line) > 9)
