"""One writer a table: a lock from the start of an asset's function until its table is stored.

A reaction may so run beside a batch run of the same client. The locks are files (fcntl), let go of by the system when
a process ends however it ends; for a lake that is not on a local disk Delta's own commits decide, as before.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientError, check_client_id

PATIENCE_SECONDS = 3600.0
LOOK_SECONDS = 0.02
_held: set[str] = set()
_guard = threading.Lock()


class TableLocked(TimeoutError):
    """Another run has held a client's table for too long; the message says what to do."""


class TableLock:
    """The lock of one client's table; taken by `acquire`, let go of by `release`, also after a crash."""

    def __init__(self, client: str, name: str) -> None:
        check_client_id(client)
        self.name = f"{client}/{name}"
        self.file = settings.home() / "locks" / client / f"{name.replace('/', '.')}.lock"
        self._descriptor: int | None = None

    def acquire(self, patience: float = PATIENCE_SECONDS) -> float:
        """Wait for the lock. Returns the seconds waited.

        Raises
        ------
        TableLocked : somebody else holds it after `patience` seconds
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        while not self._try():
            if time.monotonic() - began > patience:
                raise TableLocked(
                    f"{self.name} has been written by another run for {patience:g} s; see the runs under way in the "
                    "UI, terminate the one that hangs, and start this one again"
                )
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    def _try(self) -> bool:
        with _guard:
            if self.name in _held:  # another thread of this process: file locks do not part threads
                return False
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
            _held.add(self.name)
            return True

    def release(self) -> None:
        """Let go; nothing happens when the lock is not held."""
        with _guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                _held.discard(self.name)


def is_lockable(client: str) -> bool:
    """Whether tables of this lake are on a local disk and the owner is a client; what it is not, the asset says."""
    try:
        check_client_id(client)
    except ClientError:
        return False
    return "://" not in settings.lake_uri() and (settings.clients_folder() / client).is_dir()


@contextmanager
def table_lock(client: str, name: str, patience: float = PATIENCE_SECONDS) -> Iterator[float]:
    """Hold a client's table; yields the seconds waited."""
    lock = TableLock(client, name)
    waited = lock.acquire(patience)
    try:
        yield waited
    finally:
        lock.release()


_of_threads: dict[int, TableLock] = {}


def lock_step(client: str, name: str, patience: float = PATIENCE_SECONDS) -> float:
    """For an asset's wrapper: hold the table until `unlock_step` in the same thread. Returns the seconds waited.

    A thread executes one step at a time: what an earlier one, that failed before its table was stored, still holds is
    let go of here.

    Raises
    ------
    TableLocked : somebody else holds it after `patience` seconds
    """
    unlock_step()
    if not is_lockable(client):
        return 0.0
    lock = TableLock(client, name)
    waited = lock.acquire(patience)
    _of_threads[threading.get_ident()] = lock
    return waited


def unlock_step() -> None:
    """For the IO manager, when the table is stored, and for whoever ends a run."""
    lock = _of_threads.pop(threading.get_ident(), None)
    if lock is not None:
        lock.release()
