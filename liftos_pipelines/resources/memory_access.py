"""What reading, writing and keeping one client's memory share: its journal, its table, and the snapshot between them.

Locks, in this order: the flush lock (`Keeper`), the journal's lock, the threads' lock of the snapshot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from liftos_pipelines.modules.memory.records.items import empty_items
from liftos_pipelines.resources.embedder import DIMENSIONS, Embedder
from liftos_pipelines.resources.memory_journal import Behind, MemoryJournal, Place
from liftos_pipelines.resources.memory_snapshot import Encode, Snapshot
from liftos_pipelines.resources.memory_table import FORGOTTEN, IDENTITIES, MemoryTable

NO_MODEL = "none"


class MemoryRefused(ValueError):
    """A request to the memory cannot be carried out; the message says why."""


class Access:
    """One client's journal, table and snapshot, under their locks.

    Parameters
    ----------
    folder : the client's own
    embedder : None where the model's weights are missing
    """

    def __init__(self, client: str, folder: Path, embedder: Embedder | None) -> None:
        self.client, self.folder, self.embedder = client, folder, embedder
        self.journal = MemoryJournal(folder / "journal")
        self.table = MemoryTable(folder)
        # What is embedded is part of what a stored vector is: of the text alone, or with who said it.
        self.space = f"{embedder.model_id}/searchable-1" if embedder is not None else NO_MODEL
        self.encode: Encode = embedder.encode if embedder is not None else None
        self.threads = threading.RLock()
        self.when_written: Callable[[], None] = lambda: None
        """Called when the journal holds something that no flush has taken."""
        self.place = Place(0, 0)
        """Up to where the snapshot has read the journal."""
        self._snapshot: Snapshot | None = None

    def read(self) -> Snapshot:
        """The snapshot with all that any process has had acknowledged."""
        with self.threads:
            if self._snapshot is not None and self.journal.unchanged_since(self.place):
                return self._snapshot
            return self.held()

    def held(self) -> Snapshot:
        """The snapshot, caught up with the journal, loaded where there is none or it is too far behind."""
        for _ in range(5):
            try:
                if self._snapshot is None:
                    self.place = self.journal.start()
                    self._snapshot = self._load()
                records, self.place = self.journal.read(self.place)
                for record in records:
                    self._snapshot.apply(record)
                if records:
                    self.when_written()  # whoever wrote it may be gone
                return self._snapshot
            except Behind:
                self._snapshot = None
        raise MemoryRefused(f"{self.folder}: the journal changes faster than it can be read; try again")

    def write(self, snapshot: Snapshot, record: dict) -> None:
        """Sync a record and take it in; the caller holds the journal's lock and a snapshot that is up to date."""
        try:
            self.place = self.journal.append(record, self.place)
        except Behind:
            self._snapshot = None
            raise MemoryRefused(
                f"{self.folder}: the journal changed under its lock; nothing was stored, try again"
            ) from None
        snapshot.apply(record)
        self.when_written()

    @contextmanager
    def writing(self) -> Iterator[Snapshot]:
        """The one writer's turn, with the snapshot up to date."""
        with self.threads, self.journal.locked():
            yield self.held()

    def _load(self) -> Snapshot:
        if not self.table.exists:
            return Snapshot(empty_items(), np.empty((0, DIMENSIONS), np.float32), np.empty(0, bool))
        frame, vectors, known = self.table.rows(self.space)
        return Snapshot(
            frame,
            vectors,
            known,
            forgotten=self.table.names(FORGOTTEN, "memory_id"),
            identities=self.table.names(IDENTITIES, "identity"),
            aliases=self.table.aliases(),
            windows=self.table.windows(self.space),
        )
