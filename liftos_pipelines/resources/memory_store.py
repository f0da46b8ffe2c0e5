"""The memory store, one folder a client: acknowledged in a journal, served from the process, kept in LanceDB.

A write is decided and synced to the journal under a lock that all threads and processes share; then it is durable,
ordered, and seen by the next recall here and in any other process. A flush brings the journal to LanceDB in batches.
Keys cannot double: what is new is decided under the lock, and LanceDB merges by `version_id`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.modules.memory.recall.index import Hit, RecallIndex
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.modules.memory.records import history as versions
from liftos_pipelines.modules.memory.records.items import SCHEMA, empty_items, identity
from liftos_pipelines.modules.memory.records.sameness import Alias, aliases_among, split_aliases
from liftos_pipelines.resources.embedder import DIMENSIONS, Embedder, WeightsMissing, open_embedder
from liftos_pipelines.resources.memory_flusher import Flusher
from liftos_pipelines.resources.memory_index import IndexMaker
from liftos_pipelines.resources.memory_journal import Behind, MemoryJournal, Place, locked_file
from liftos_pipelines.resources.memory_snapshot import Snapshot, forget_record, rows_record, versions_in, write_record
from liftos_pipelines.resources.memory_table import (
    ALIASES,
    FORGOTTEN,
    IDENTITIES,
    MemoryTable,
    Shape,
)
from liftos_pipelines.resources.query_encoder import Choice, QueryEncoder
from liftos_pipelines.resources.recall_weights import RecallWeights
from liftos_pipelines.spine.metrics import counter, histogram
from liftos_pipelines.spine.tracing import span

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""An acknowledged write stands in LanceDB after at most this and the time of one batch."""
FEW = 64
"""Rows of a write that are decided without a data frame."""
FLUSH_ROWS = 256
"""A batch this large is flushed at once."""
FLUSH_WAIT = timedelta(minutes=10)
CHANGES_BEFORE_COMPACTION = 20
"""Flushes, each a file of its own, after which the files are made one."""
KEEP_VERSIONS = timedelta(minutes=10)
"""How long a version that nothing pins is kept for those who may be reading it."""
NO_MODEL = "none"
KEEP_CITED = timedelta(days=183)
"""Versions that the ledger cites stay readable for at least this long."""


class MemoryRefused(ValueError):
    """A request to the memory cannot be carried out; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What a write changed: memories added or said anew, versions closed, known under another name, unchanged.

    `recorded_at` is the moment of recording, None when nothing changed.
    """

    added: int
    closed: int
    unchanged: int
    aliases: int
    recorded_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What forgetting reached: versions erased from table, pinned versions, text index, journal and files, and
    cached vectors erased.
    """

    memory_id: str
    versions: int
    cached_vectors: int


class MemoryStore:
    """One client's memory. Opened by `MemoryStoreResource.get` or `open_memory`, which check the client's id.

    Parameters
    ----------
    embedder : None where the model's weights are missing, `missing` says why: memories are then acknowledged and
        kept, found by their words and static vectors, and embedded once the weights are there
    flush_seconds : how long writes are gathered for LanceDB; None leaves flushing to the caller

    Locks, in this order: the flush lock (`.lock`), the journal's lock, the threads' lock of the snapshot.
    """

    def __init__(
        self,
        client: str,
        embedder: Embedder | None,
        root: Path | None = None,
        *,
        flush_seconds: float | None = FLUSH_SECONDS,
        missing: str | None = None,
    ) -> None:
        self.client = check_client_id(client)
        self.folder = (root or settings.memory_folder()) / self.client
        self.embedder = embedder
        self.journal = MemoryJournal(self.folder / "journal")
        self.table = MemoryTable(self.folder)
        # What is embedded is part of what a stored vector is: of the text alone, or with who said it.
        self._space = f"{embedder.model_id}/searchable-1" if embedder is not None else NO_MODEL
        self._encode = embedder.encode if embedder is not None else None
        self._maker = IndexMaker(client, embedder)
        self.weights = RecallWeights(self.folder)
        self._missing = missing
        self._threads = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._place = Place(0, 0)
        self._flusher = Flusher(self, flush_seconds)

    # --- writing -----------------------------------------------------------------------------------------
    def remember(
        self, items: pl.DataFrame, now: datetime | None = None, *, complete_kinds: Collection[str] = ()
    ) -> Remembered:
        """Acknowledge what is new in `items` as versions recorded `now`; what was said before is left as it is.

        Durable when this returns, and found by the next recall. Forgotten memories are not taken back.
        `complete_kinds` as in `history.remember`.

        Raises
        ------
        JournalError : the journal is locked or cannot be written; nothing was stored
        """
        done = Remembered(added=0, closed=0, unchanged=0, aliases=0, recorded_at=None)
        began = time.perf_counter()
        with span("memory write", attributes={"liftos.client": self.client, "liftos.rows": items.height}):
            for layer in versions.layers(items):
                few = layer.height <= FEW and not complete_kinds
                moment = now or datetime.now(UTC)
                said = self._remember_few(layer, moment) if few else self._remember(layer, moment, complete_kinds)
                done = _together(done, said)
        histogram("liftos.remember.duration").record(time.perf_counter() - began)
        counter("liftos.memories.written").add(done.added)
        if done.added + done.closed >= FLUSH_ROWS:
            self.flush()
        return done

    append = remember
    """One memory, or a few; the same promise."""

    def _remember(self, items: pl.DataFrame, now: datetime, complete_kinds: Collection[str]) -> Remembered:
        with self._writing() as snapshot:
            allowed, aliases = self._allowed(snapshot, items.select(list(SCHEMA)))
            keys = allowed["memory_id"].to_list()
            if complete_kinds:
                keys = [*keys, *snapshot.ids(complete_kinds)]
            changes = versions.remember(
                snapshot.held(keys), allowed, now, complete_kinds=complete_kinds, latest=snapshot.latest
            )
            fresh = [alias for alias in aliases if snapshot.aliases.get(alias.alias_id) != alias.memory_id]
            if changes.count or fresh:
                self._write(snapshot, write_record(changes, fresh))
            return Remembered(
                added=changes.added.height,
                closed=changes.closed.height,
                unchanged=allowed["memory_id"].n_unique() - changes.added["memory_id"].n_unique(),
                aliases=len(aliases),
                recorded_at=changes.recorded_at,
            )

    def _remember_few(self, items: pl.DataFrame, now: datetime) -> Remembered:
        rows = items.select(list(SCHEMA)).rows(named=True)
        with self._writing() as snapshot:
            rows = [row for row in rows if not snapshot.is_forgotten(row)]
            drop, aliases = aliases_among(rows, snapshot.holder, snapshot.is_current)
            rows = [row for number, row in enumerate(rows) if number not in set(drop)]
            added, closed = versions.remember_few(rows, snapshot.row, snapshot.said_before, now, snapshot.latest)
            fresh = [alias for alias in aliases if snapshot.aliases.get(alias.alias_id) != alias.memory_id]
            if added or closed or fresh:
                self._write(snapshot, rows_record(added, closed, fresh))
            return Remembered(
                added=len(added),
                closed=len(closed),
                unchanged=len({row["memory_id"] for row in rows}) - len(added),
                aliases=len(aliases),
                recorded_at=added[0]["recorded_at"] if added else None,
            )

    def _allowed(self, snapshot: Snapshot, items: pl.DataFrame) -> tuple[pl.DataFrame, list[Alias]]:
        if snapshot.forgotten:
            items = items.filter([not snapshot.is_forgotten(row) for row in items.iter_rows(named=True)])
        return split_aliases(items, snapshot.holder, snapshot.is_current)

    def restore(self, history: pl.DataFrame) -> int:
        """Fill an empty store from the lake's `memory/items`, vectors computed anew; returns the rows taken in."""
        if history.is_empty() or self.count():
            return 0
        missing = [name for name in SCHEMA if name not in history.columns]
        if missing:
            raise MemoryRefused(f"memory/items of {self.client} lacks column(s) {', '.join(missing)}")
        with self._writing() as snapshot:
            if len(snapshot):
                return 0
            kept = history.filter(~pl.col("memory_id").is_in(list(snapshot.forgotten))).select(list(SCHEMA))
            nothing = kept.clear()
            self._write(snapshot, write_record(versions.Changes(added=kept, closed=nothing)))
        self.flush()
        return kept.height

    def forget(self, memory_id: str) -> Forgotten:
        """Erase every version of a memory from table, pinned versions, text index, files, journal and vector cache.

        A tombstone keeps its source from bringing it back, under this id, an alias, or another id that says the same.
        The ledger keeps the hashes it holds; the text is gone. The lake's table loses it at the next materialisation
        of memory/items.

        Raises
        ------
        MemoryRefused : no such memory in this client's store
        """
        with self._flushing():
            with self._writing() as snapshot:
                held = snapshot.history_as_stored().filter(pl.col("memory_id") == memory_id)
                if held.is_empty():
                    raise MemoryRefused(f"{self.client} has no memory {memory_id!r}")
                named = {alias for alias, held_by in snapshot.aliases.items() if held_by == memory_id}
                ids = {memory_id, *(alias for alias in named if not snapshot.is_current(alias))}
                said = {found for row in held.iter_rows(named=True) if (found := identity(row)) is not None}
                self._write(snapshot, forget_record(ids, said, datetime.now(UTC)))
            # From here on nothing serves it; a crash leaves the erasure to the next flush.
            texts = {text for column in ("text", "context", "action") for text in held[column] if text}
            texts.update(searchable(held))
            cached = self.embedder.forget(sorted(texts)) if self.embedder is not None else 0
            self._flush()
        return Forgotten(memory_id=memory_id, versions=held.height, cached_vectors=cached)

    # --- the flush ---------------------------------------------------------------------------------------
    def flush(self) -> int:
        """Bring the journal to LanceDB; returns the versions written. Called by itself; harmless at any time."""
        if not self.folder.is_dir() or not self.journal.pending():
            return 0
        with self._flushing():
            return self._flush()

    def idle(self) -> None:
        """What can wait: vectors of questions that were asked with the static one."""
        if self.embedder is not None:
            self.embedder.catch_up()

    def _flush(self) -> int:
        self._embed_ahead()
        with self._writing() as snapshot:
            self._place = self.journal.seal(self._place)
            sealed = self.journal.sealed()
            if not sealed:
                return 0
            records = [record for group in sealed.values() for record in group]
            rows, vectors = snapshot.rows_of(versions_in(records), self._encode)
        self.table.upsert(rows, vectors, self._space)
        told = [alias for record in records if record["what"] == "write" for alias in record["aliases"]]
        self.table.note(ALIASES, told, "alias_id", datetime.now(UTC))
        forgotten = [record for record in records if record["what"] == "forget"]
        if forgotten:
            self._finish_erasure(forgotten)
        else:
            self.journal.mark_flushed(list(sealed))
        if self.table.fragments() > CHANGES_BEFORE_COMPACTION:
            self.table.optimize(KEEP_VERSIONS)
        return rows.height

    def _embed_ahead(self) -> None:
        """Bring the vectors that are missing into the embedder's cache, while writers and readers go on."""
        with self._threads:
            texts = self._read().texts_unembedded()
        if texts and self.embedder is not None:
            self.embedder.encode(texts)

    def _finish_erasure(self, records: list[dict]) -> None:
        ids = sorted({name for record in records for name in record["ids"]})
        said = sorted({name for record in records for name in record["identities"]})
        now = datetime.now(UTC)
        self.table.items()
        self.table.note(FORGOTTEN, [{"memory_id": name} for name in ids], "memory_id", now)
        self.table.note(IDENTITIES, [{"identity": name} for name in said], "identity", now)
        self.table.erase(ids)
        with self._writing():
            # The journal's files hold the text too; what else they hold was flushed or is flushed now.
            self._place = self.journal.seal(self._place)
            late = [record for group in self.journal.sealed().values() for record in group]
            rows, vectors = self._held().rows_of(versions_in(late), self._encode)
            self.table.upsert(rows, vectors, self._space)
            self._place = self.journal.clear(self._place)

    # --- versions that are cited -------------------------------------------------------------------------
    def tag(self, name: str) -> int:
        """Pin what the memory holds now under a name, so that clean-up keeps it readable; returns its version.

        For whoever writes a ledger entry that cites memories: call it with the entry's key, and put the name into the
        entry. A name that is pinned keeps its version.
        """
        with self._flushing():
            self._flush()
            return self.table.pin(_pin_name(name))

    def tags(self) -> Mapping[str, int]:
        """Pinned versions by name."""
        return self.table.pins()

    def at(self, name: str) -> pl.DataFrame:
        """Every version of every memory as it was when `name` was pinned, without what was erased since.

        Raises
        ------
        KeyError : nothing is pinned under the name
        """
        return self.table.at(_pin_name(name))

    def optimize(self, keep: timedelta = KEEP_VERSIONS, *, now: datetime | None = None) -> Shape:
        """Flush, compact files, bring new rows into the indexes, remove old versions that nothing pins, and pins that
        were kept for longer than `KEEP_CITED`; returns how the table lies on disk then.
        """
        with self._flushing():
            self._flush()
            for name, since in self.table.pinned_since().items():
                if (now or datetime.now(UTC)) - since > KEEP_CITED:
                    self.table.unpin(name)
            self._embed_again()
            self.table.optimize(keep)
            return self.table.shape()

    def _embed_again(self) -> None:
        """Give vectors of the present model to stored rows of another one: two models must not mix."""
        if self.embedder is None:
            return
        other = f"vector IS NULL OR model_id IS NULL OR model_id != '{self._space}'"
        if not self.table.count(other):
            return
        with self._writing() as snapshot:
            stale = self.table.items().search().where(other).select(["version_id"]).to_arrow()["version_id"]
            rows, vectors = snapshot.rows_of(stale.to_pylist(), self._encode)
        self.table.upsert(rows, vectors, self._space)

    # --- reading -----------------------------------------------------------------------------------------
    @property
    def version(self) -> int:
        """The version of the LanceDB table; grows with every flush that brought something."""
        return int(self.table.items().version) if self.table.exists else 0

    def count(self) -> int:
        """Versions, current and superseded."""
        return len(self._read())

    def count_current(self) -> int:
        """Memories that are current."""
        return self._read().memories

    def count_unembedded(self) -> int:
        """Versions without a vector of the present model, after computing those that wait for theirs."""
        with self._threads:
            snapshot = self._read()
            snapshot.embed(self._encode)
            return snapshot.unembedded

    def history(self) -> pl.DataFrame:
        """Every version of every memory, in order of recording."""
        with self._threads:
            return self._read().history_as_stored().sort("recorded_at", "memory_id")

    def current(self, kinds: Collection[str]) -> pl.DataFrame:
        """The memories of these kinds that are current."""
        with self._threads:
            snapshot = self._read()
            return snapshot.held(snapshot.ids(kinds)).filter(pl.col("superseded_at").is_null())

    def forgotten(self) -> frozenset[str]:
        """Ids of memories that were erased."""
        return frozenset(self._read().forgotten)

    def aliases(self) -> Mapping[str, str]:
        """Memory id by the id under which the same was said again."""
        return dict(self._read().aliases)

    def full_text(self, query: str, k: int = 10) -> list[str]:
        """Ids of current memories that share words with a query, by LanceDB's own text index."""
        self.flush()
        return self.table.full_text(query, k)

    def index(self) -> RecallIndex:
        """The search index over all that is acknowledged."""
        with self._threads:
            held = self._read().index(self._encode, self._maker)
        weights = self.weights.settings
        return held if held.settings is weights else held.with_settings(weights)

    def recall(
        self,
        text: str,
        k: int = 10,
        *,
        as_of: datetime | None = None,
        strict: bool = False,
        kinds: Collection[str] | None = None,
        domains: Collection[str] | None = None,
        encoder: Choice = "auto",
    ) -> list[Hit]:
        """Memories like a text, best first; see `RecallIndex.search`.

        Parameters
        ----------
        encoder : which vector the question gets, see `query_encoder.QueryEncoder`
        """
        if not text.strip():
            raise MemoryRefused("say what to look for: the text is empty")
        if isinstance(kinds, str) or isinstance(domains, str):
            raise MemoryRefused("kinds and domains are collections of names, not one text")
        if not self.folder.is_dir():
            return []
        index = self.index()
        if not len(index):
            return []
        moment = as_of.replace(tzinfo=UTC) if as_of is not None and as_of.tzinfo is None else as_of
        began = time.perf_counter()
        asked = self._asks.query(text, encoder)
        if asked.path == "static" and self.embedder is not None:
            self._flusher.wake()  # which computes the full vector in an idle moment
        hits = index.search(
            text,
            asked.vector,
            k,
            as_of=moment,
            strict=strict,
            kinds=kinds,
            domains=domains,
            model_id=asked.model_id,
        )
        histogram("liftos.recall.duration").record(time.perf_counter() - began, {"encoder": asked.path})
        counter("liftos.recalls").add(1, {"encoder": asked.path})
        return hits

    @cached_property
    def _asks(self) -> QueryEncoder:
        return QueryEncoder(self.embedder, self._maker.static, self._missing)

    # --- the snapshot ------------------------------------------------------------------------------------
    def _read(self) -> Snapshot:
        """The snapshot with all that any process has had acknowledged."""
        with self._threads:
            if self._snapshot is not None and self.journal.unchanged_since(self._place):
                return self._snapshot
            return self._held()

    def _held(self) -> Snapshot:
        """The snapshot, caught up with the journal, loaded where there is none or it is too far behind."""
        for _ in range(5):
            try:
                if self._snapshot is None:
                    self._place = self.journal.start()
                    self._snapshot = self._load()
                records, self._place = self.journal.read(self._place)
                for record in records:
                    self._snapshot.apply(record)
                if records:
                    self._flusher.wake()  # whoever wrote it may be gone
                return self._snapshot
            except Behind:
                self._snapshot = None
        raise MemoryRefused(f"{self.folder}: the journal changes faster than it can be read; try again")

    def _load(self) -> Snapshot:
        if not self.table.exists:
            return Snapshot(empty_items(), np.empty((0, DIMENSIONS), np.float32), np.empty(0, bool))
        frame, vectors, known = self.table.rows(self._space)
        return Snapshot(
            frame,
            vectors,
            known,
            forgotten=self.table.names(FORGOTTEN, "memory_id"),
            identities=self.table.names(IDENTITIES, "identity"),
            aliases=self.table.aliases(),
        )

    def _write(self, snapshot: Snapshot, record: dict) -> None:
        """Sync a record and take it in; the caller holds the journal's lock and a snapshot that is up to date."""
        try:
            self._place = self.journal.append(record, self._place)
        except Behind:
            self._snapshot = None
            raise MemoryRefused(
                f"{self.folder}: the journal changed under its lock; nothing was stored, try again"
            ) from None
        snapshot.apply(record)
        self._flusher.wake()

    @contextmanager
    def _writing(self) -> Iterator[Snapshot]:
        """The one writer's turn, with the snapshot up to date."""
        with self._threads, self.journal.locked():
            yield self._held()

    @contextmanager
    def _flushing(self) -> Iterator[None]:
        with self._flusher.lock, locked_file(self.folder / ".lock", FLUSH_WAIT.total_seconds()):
            yield


def _together(one: Remembered, other: Remembered) -> Remembered:
    return Remembered(
        added=one.added + other.added,
        closed=one.closed + other.closed,
        unchanged=one.unchanged + other.unchanged,
        aliases=one.aliases + other.aliases,
        recorded_at=other.recorded_at or one.recorded_at,
    )


def _pin_name(name: str) -> str:
    """A name that a branch may have: what is not a letter, digit, dot, dash or underscore becomes a dash."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    if not safe.strip(".-_"):
        raise MemoryRefused(f"{name!r} cannot name a version: use letters and digits")
    return safe


@lru_cache(maxsize=64)
def _shared(client: str, root: Path, embedder: Embedder | None, missing: str | None = None) -> MemoryStore:
    return MemoryStore(client, embedder, root, missing=missing)


# A forked process has neither the threads nor the database handles of its parent.
os.register_at_fork(after_in_child=_shared.cache_clear)


def open_memory(client: str, embedder: Embedder | None = None) -> MemoryStore:
    """The memory of a client, shared within the process so that its index is built once.

    Raises
    ------
    ClientError : the id is not safe to name a folder with
    """
    return _opened(check_client_id(client), embedder, None)


def _opened(client: str, embedder: Embedder | None, model_path: str | None) -> MemoryStore:
    if embedder is not None:
        return _shared(client, settings.memory_folder(), embedder)
    try:
        return _shared(client, settings.memory_folder(), open_embedder(model_path))
    except WeightsMissing as error:
        log.warning("memories are kept but not embedded: %s", error)
        return _shared(client, settings.memory_folder(), None, str(error))


def recall(
    client: str,
    text: str,
    k: int = 10,
    as_of: datetime | None = None,
    kinds: Collection[str] | None = None,
) -> list[Hit]:
    """Memories of a client like a text, best first; empty when the client has no memory yet."""
    return open_memory(client).recall(text, k, as_of=as_of, kinds=kinds)


class MemoryStoreResource(dg.ConfigurableResource):
    """Hands assets a client's memory."""

    model_path: str = ""

    def get(self, client: str) -> MemoryStore:
        return _opened(check_client_id(client), None, self.model_path or None)
