"""When the memory's journal goes to LanceDB: a while after a write, in the background, and when the process ends."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from typing import Protocol

log = logging.getLogger(__name__)
LONGEST_WAIT = 60.0


class Flushes(Protocol):
    def flush(self) -> int: ...

    def idle(self) -> None: ...


class Flusher:
    """Calls a store's flush once, some seconds after it was woken; after a failure later and later.

    Parameters
    ----------
    seconds : how long writes are gathered; None leaves flushing to the caller
    """

    def __init__(self, store: Flushes, seconds: float | None) -> None:
        self.lock = threading.RLock()
        """Held while this process flushes."""
        self._store = weakref.ref(store)
        self._seconds = seconds
        self._failures = 0
        self._timer: threading.Timer | None = None
        self._guard = threading.Lock()

    def wake(self) -> None:
        """There is something to flush."""
        if self._seconds is None:
            return
        with self._guard:
            if self._timer is None:
                _at_exit.add(self)
                wait = min(self._seconds * 2**self._failures, LONGEST_WAIT)
                self._timer = threading.Timer(wait, self._run)
                self._timer.daemon = True
                self._timer.name = "memory-flush"
                self._timer.start()

    def _run(self) -> None:
        with self._guard:
            self._timer = None
        self.flush_now()
        store = self._store()
        if store is not None:
            store.idle()

    def flush_now(self) -> None:
        """Flush what is pending; a failure is logged and tried again, the journal keeps what was acknowledged."""
        store = self._store()
        if store is None:
            return
        try:
            store.flush()
            self._failures = 0
        except Exception as error:
            self._failures += 1
            log.warning("the memory's journal could not be flushed, it is kept and tried again: %s", error)
            self.wake()

    def pending(self) -> bool:
        return self._timer is not None


_at_exit: weakref.WeakSet[Flusher] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    for flusher in list(_at_exit):
        if flusher.pending():
            flusher.flush_now()
