"""What is done with a client's memory besides reading and writing it: flushed, erased, pinned, kept in shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.modules.memory.records.items import identity
from liftos_pipelines.resources.embedder import forget_cached
from liftos_pipelines.resources.memory_access import Access, MemoryRefused
from liftos_pipelines.resources.memory_flusher import Flusher
from liftos_pipelines.resources.memory_journal import locked_file
from liftos_pipelines.resources.memory_record import forget_record, versions_in
from liftos_pipelines.resources.memory_snapshot import parts_of
from liftos_pipelines.resources.memory_table import ALIASES, FORGOTTEN, IDENTITIES, Shape

FLUSH_SECONDS = 1.0
"""An acknowledged write stands in LanceDB after at most this and the time of one batch."""
FLUSH_WAIT = timedelta(minutes=10)
CHANGES_BEFORE_COMPACTION = 20
"""Flushes, each a file of its own, after which the files are made one."""
KEEP_VERSIONS = timedelta(minutes=10)
"""How long a version that nothing pins is kept for those who may be reading it."""
KEEP_CITED = timedelta(days=183)
"""Versions that the ledger cites stay readable for at least this long."""


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What forgetting reached: versions erased from table, pinned versions, text index, journal and files, and
    cached vectors erased.
    """

    memory_id: str
    versions: int
    cached_vectors: int


class Keeper:
    """Brings the journal to LanceDB, and looks after what lies there.

    Parameters
    ----------
    flush_seconds : how long writes are gathered; None leaves flushing to the caller
    """

    def __init__(self, access: Access, flush_seconds: float | None = FLUSH_SECONDS) -> None:
        self._access = access
        self._flusher = Flusher(self, flush_seconds)
        access.when_written = self.wake = self._flusher.wake

    # --- the flush ---------------------------------------------------------------------------------------
    def flush(self) -> int:
        """Bring the journal to LanceDB; returns the versions written. Called by itself; harmless at any time."""
        if not self._access.folder.is_dir() or not self._access.journal.pending():
            return 0
        with self._flushing():
            return self._flush()

    def idle(self) -> None:
        """What can wait: vectors of questions that were asked with the static one."""
        if self._access.embedder is not None:
            self._access.embedder.catch_up()

    def _flush(self) -> int:
        self._embed_ahead()
        with self._access.writing() as snapshot:
            self._access.place = self._access.journal.seal(self._access.place)
            sealed = self._access.journal.sealed()
            if not sealed:
                return 0
            records = [record for group in sealed.values() for record in group]
            rows, vectors = snapshot.rows_of(versions_in(records), self._access.encode)
            windows = snapshot.windows_of(rows["version_id"])
        self._access.table.upsert(rows, vectors, self._access.space)
        self._access.table.upsert_windows(windows, self._access.space)
        told = [alias for record in records if record["what"] == "write" for alias in record["aliases"]]
        self._access.table.note(ALIASES, told, "alias_id", datetime.now(UTC))
        forgotten = [record for record in records if record["what"] == "forget"]
        if forgotten:
            self._finish_erasure(forgotten)
        else:
            self._access.journal.mark_flushed(list(sealed))
        if self._access.table.fragments() > CHANGES_BEFORE_COMPACTION:
            self._access.table.optimize(KEEP_VERSIONS)
        return rows.height

    def _embed_ahead(self) -> None:
        """Bring the vectors that are missing into the embedder's cache, while writers and readers go on."""
        with self._access.threads:
            texts = self._access.read().texts_unembedded()
        if texts and self._access.embedder is not None:
            self._access.embedder.encode(texts)

    # --- erasure -----------------------------------------------------------------------------------------
    def forget(self, memory_id: str) -> Forgotten:
        """Erase every version of a memory from table, pinned versions, text index, files, journal and vector cache.

        A tombstone keeps its source from bringing it back, under this id, an alias, or another id that says the same.
        The ledger keeps the hashes it holds; the text is gone. The lake's table loses it at the next materialisation
        of memory/items.

        Raises
        ------
        MemoryRefused : no such memory in this client's store, or the vector cache is locked; nothing was forgotten
        """
        with self._flushing():
            with self._access.writing() as snapshot:
                held = snapshot.history_as_stored().filter(pl.col("memory_id") == memory_id)
                if held.is_empty():
                    raise MemoryRefused(f"{self._access.client} has no memory {memory_id!r}")
                texts = {text for column in ("text", "context", "action") for text in held[column] if text}
                texts.update(searchable(held))
                texts.update(part for text in searchable(held) for part in parts_of(text))
                # First of all: once the memory is gone, nothing would tell whose vectors are left.
                cached = self._forget_vectors(sorted(texts))
                named = {alias for alias, held_by in snapshot.aliases.items() if held_by == memory_id}
                ids = {memory_id, *(alias for alias in named if not snapshot.is_current(alias))}
                said = {found for row in held.iter_rows(named=True) if (found := identity(row)) is not None}
                self._access.write(snapshot, forget_record(ids, said, datetime.now(UTC)))
            # From here on nothing serves it; a crash leaves the erasure to the next flush. Another process may have
            # embedded it meanwhile.
            cached += self._forget_vectors(sorted(texts))
            self._flush()
        return Forgotten(memory_id=memory_id, versions=held.height, cached_vectors=cached)

    def _forget_vectors(self, texts: list[str]) -> int:
        try:
            if self._access.embedder is not None:
                return self._access.embedder.forget(texts)
            return forget_cached(settings.memory_folder() / "_cache", texts)
        except sqlite3.Error as error:
            raise MemoryRefused(
                f"the cache of vectors in {settings.memory_folder() / '_cache'} cannot be written ({error}): end what "
                "locks it (fuser -v FILE), or remove the file, which is made anew, and forget again"
            ) from error

    def _finish_erasure(self, records: list[dict]) -> None:
        ids = sorted({name for record in records for name in record["ids"]})
        said = sorted({name for record in records for name in record["identities"]})
        now = datetime.now(UTC)
        self._access.table.items()
        self._access.table.note(FORGOTTEN, [{"memory_id": name} for name in ids], "memory_id", now)
        self._access.table.note(IDENTITIES, [{"identity": name} for name in said], "identity", now)
        self._access.table.erase(ids)
        with self._access.writing():
            # The journal's files hold the text too; what else they hold was flushed or is flushed now.
            self._access.place = self._access.journal.seal(self._access.place)
            late = [record for group in self._access.journal.sealed().values() for record in group]
            snapshot = self._access.held()
            rows, vectors = snapshot.rows_of(versions_in(late), self._access.encode)
            self._access.table.upsert(rows, vectors, self._access.space)
            self._access.table.upsert_windows(snapshot.windows_of(rows["version_id"]), self._access.space)
            self._access.place = self._access.journal.clear(self._access.place)

    # --- versions that are cited, and upkeep -------------------------------------------------------------
    def tag(self, name: str) -> int:
        """Pin what the memory holds now under a name, so that clean-up keeps it readable; returns its version.

        For whoever writes a ledger entry that cites memories: call it with the entry's key, and put the name into the
        entry. A name that is pinned keeps its version.
        """
        with self._flushing():
            self._flush()
            return self._access.table.pin(_pin_name(name))

    def tags(self) -> Mapping[str, int]:
        """Pinned versions by name."""
        return self._access.table.pins()

    def at(self, name: str) -> pl.DataFrame:
        """Every version of every memory as it was when `name` was pinned, without what was erased since.

        Raises
        ------
        KeyError : nothing is pinned under the name
        """
        return self._access.table.at(_pin_name(name))

    def optimize(self, keep: timedelta = KEEP_VERSIONS, *, now: datetime | None = None) -> Shape:
        """Flush, compact files, bring new rows into the indexes, remove old versions that nothing pins, and pins that
        were kept for longer than `KEEP_CITED`; returns how the table lies on disk then.
        """
        with self._flushing():
            self._flush()
            for name, since in self._access.table.pinned_since().items():
                if (now or datetime.now(UTC)) - since > KEEP_CITED:
                    self._access.table.unpin(name)
            self._embed_again()
            self._access.table.optimize(keep)
            return self._access.table.shape()

    def _embed_again(self) -> None:
        """Give vectors of the present model to stored rows of another one: two models must not mix."""
        if self._access.embedder is None:
            return
        other = f"vector IS NULL OR model_id IS NULL OR model_id != '{self._access.space}'"
        table = self._access.table
        if table.count(other):
            with self._access.writing() as snapshot:
                stale = table.items().search().where(other).select(["version_id"]).to_arrow()["version_id"]
                rows, vectors = snapshot.rows_of(stale.to_pylist(), self._access.encode)
                windows = snapshot.windows_of(rows["version_id"])
            table.upsert(rows, vectors, self._access.space)
            table.upsert_windows(windows, self._access.space)
        with self._access.writing() as snapshot:
            windows = snapshot.windows_again(self._access.encode)
        table.upsert_windows(windows, self._access.space)

    @contextmanager
    def _flushing(self) -> Iterator[None]:
        with self._flusher.lock, locked_file(self._access.folder / ".lock", FLUSH_WAIT.total_seconds()):
            yield


def _pin_name(name: str) -> str:
    """A name that a branch may have: what is not a letter, digit, dot, dash or underscore becomes a dash."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    if not safe.strip(".-_"):
        raise MemoryRefused(f"{name!r} cannot name a version: use letters and digits")
    return safe
