"""The memory store, one folder a client: acknowledged in a journal, served from the process, kept in LanceDB.

A write is decided and synced to the journal under a lock that all threads and processes share; then it is durable,
ordered, and seen by the next recall here and in any other process. A flush brings the journal to LanceDB in batches.
Keys cannot double: what is new is decided under the lock, and LanceDB merges by `version_id`.

This file is what the rest of the house uses; writing stands in `memory_writing.py`, flush, erasure, pins and upkeep in
`memory_keeping.py`, what they share in `memory_access.py`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

import dagster as dg
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.modules.memory.recall.index import Hit, RecallIndex
from liftos_pipelines.modules.memory.recall.query import Filters, RecallQuery, UnknownFilter
from liftos_pipelines.resources.embedder import Embedder, WeightsMissing, open_embedder
from liftos_pipelines.resources.memory_access import Access, MemoryRefused
from liftos_pipelines.resources.memory_index import IndexMaker
from liftos_pipelines.resources.memory_keeping import (
    CHANGES_BEFORE_COMPACTION,
    FLUSH_SECONDS,
    KEEP_CITED,
    KEEP_VERSIONS,
    Forgotten,
    Keeper,
)
from liftos_pipelines.resources.memory_table import Shape
from liftos_pipelines.resources.memory_writing import Remembered, Writer
from liftos_pipelines.resources.query_encoder import Choice, QueryEncoder
from liftos_pipelines.resources.recall_weights import RecallWeights
from liftos_pipelines.spine.metrics import counter, histogram

__all__ = [
    "CHANGES_BEFORE_COMPACTION",
    "FLUSH_SECONDS",
    "KEEP_CITED",
    "Forgotten",
    "MemoryRefused",
    "MemoryStore",
    "MemoryStoreResource",
    "Remembered",
    "open_memory",
    "recall",
]

log = logging.getLogger(__name__)


class MemoryStore:
    """One client's memory. Opened by `MemoryStoreResource.get` or `open_memory`, which check the client's id.

    Parameters
    ----------
    embedder : None where the model's weights are missing, `missing` says why: memories are then acknowledged and
        kept, found by their words and static vectors, and embedded once the weights are there
    flush_seconds : how long writes are gathered for LanceDB; None leaves flushing to the caller
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
        self._access = Access(self.client, self.folder, embedder)
        self._keeper = Keeper(self._access, flush_seconds)
        self._writer = Writer(self._access, self._keeper.flush)
        self.journal, self.table = self._access.journal, self._access.table
        self.weights = RecallWeights(self.folder)
        self._maker = IndexMaker(client, embedder)
        self._missing = missing

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
        return self._writer.remember(items, now, complete_kinds=complete_kinds)

    append = remember
    """One memory, or a few; the same promise."""

    def restore(self, history: pl.DataFrame) -> int:
        """Fill an empty store from the lake's `memory/items`, vectors computed anew; returns the rows taken in."""
        return self._writer.restore(history)

    # --- keeping -----------------------------------------------------------------------------------------
    def forget(self, memory_id: str) -> Forgotten:
        """Erase every version of a memory wherever it is held; see `memory_keeping.Keeper.forget`.

        Raises
        ------
        MemoryRefused : no such memory in this client's store
        """
        return self._keeper.forget(memory_id)

    def flush(self) -> int:
        """Bring the journal to LanceDB; returns the versions written. Called by itself; harmless at any time."""
        return self._keeper.flush()

    def tag(self, name: str) -> int:
        """Pin what the memory holds now under a name, so that clean-up keeps it readable; returns its version.

        For whoever writes a ledger entry that cites memories: call it with the entry's key, and put the name into the
        entry. A name that is pinned keeps its version.
        """
        return self._keeper.tag(name)

    def tags(self) -> Mapping[str, int]:
        """Pinned versions by name."""
        return self.table.pins()

    def at(self, name: str) -> pl.DataFrame:
        """Every version of every memory as it was when `name` was pinned, without what was erased since.

        Raises
        ------
        KeyError : nothing is pinned under the name
        """
        return self._keeper.at(name)

    def optimize(self, keep: timedelta = KEEP_VERSIONS, *, now: datetime | None = None) -> Shape:
        """Flush, compact files, bring new rows into the indexes, remove old versions that nothing pins, and pins that
        were kept for longer than `KEEP_CITED`; returns how the table lies on disk then.
        """
        return self._keeper.optimize(keep, now=now)

    # --- reading -----------------------------------------------------------------------------------------
    @property
    def version(self) -> int:
        """The version of the LanceDB table; grows with every flush that brought something."""
        return int(self.table.items().version) if self.table.exists else 0

    def count(self) -> int:
        """Versions, current and superseded."""
        return len(self._access.read())

    def count_current(self) -> int:
        """Memories that are current."""
        return self._access.read().memories

    def count_unembedded(self) -> int:
        """Versions without a vector of the present model, after computing those that wait for theirs."""
        with self._access.threads:
            snapshot = self._access.read()
            snapshot.embed(self._access.encode)
            return snapshot.unembedded

    def history(self) -> pl.DataFrame:
        """Every version of every memory, in order of recording."""
        with self._access.threads:
            return self._access.read().history_as_stored().sort("recorded_at", "memory_id")

    def current(self, kinds: Collection[str]) -> pl.DataFrame:
        """The memories of these kinds that are current."""
        with self._access.threads:
            snapshot = self._access.read()
            return snapshot.held(snapshot.ids(kinds)).filter(pl.col("superseded_at").is_null())

    def forgotten(self) -> frozenset[str]:
        """Ids of memories that were erased."""
        return frozenset(self._access.read().forgotten)

    def aliases(self) -> Mapping[str, str]:
        """Memory id by the id under which the same was said again."""
        return dict(self._access.read().aliases)

    def full_text(self, query: str, k: int = 10) -> list[str]:
        """Ids of current memories that share words with a query, by LanceDB's own text index."""
        self.flush()
        return self.table.full_text(query, k)

    def index(self) -> RecallIndex:
        """The search index over all that is acknowledged."""
        with self._access.threads:
            held = self._access.read().index(self._access.encode, self._maker)
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
        subjects: Collection[str] | None = None,
        campaigns: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        encoder: Choice = "auto",
    ) -> list[Hit]:
        """Memories like a text, best first, that pass every filter; a name that nothing has lets nothing pass.

        Parameters
        ----------
        as_of, strict : the memory as it was at a moment, see `history.as_of`; current memories when None
        kinds, domains, subjects, campaigns : only these; since, until : world time, both included
        encoder : which vector the question gets, see `query_encoder.QueryEncoder`

        Raises
        ------
        MemoryRefused : an empty text, or a filter that cannot be
        """
        if not text.strip():
            raise MemoryRefused("say what to look for: the text is empty")
        try:
            filters = Filters(
                kinds=_names(kinds),
                domains=_names(domains),
                subjects=_names(subjects),
                campaigns=_names(campaigns),
                since=since,
                until=until,
            )
        except UnknownFilter as wrong:
            raise MemoryRefused(str(wrong)) from None
        if not self.folder.is_dir():
            return []
        index = self.index()
        if not len(index):
            return []
        began = time.perf_counter()
        asked = self._asks.query(text, encoder)
        if asked.path == "static" and self.embedder is not None:
            self._keeper.wake()  # which computes the full vector in an idle moment
        query = RecallQuery(
            text=text,
            vector=asked.vector,
            model_id=asked.model_id,
            at=_in_utc(as_of),
            strict=strict,
            filters=filters,
        )
        hits = index.find(query, k)
        histogram("liftos.recall.duration").record(time.perf_counter() - began, {"encoder": asked.path})
        counter("liftos.recalls").add(1, {"encoder": asked.path})
        return hits

    @cached_property
    def _asks(self) -> QueryEncoder:
        return QueryEncoder(self.embedder, self._maker.static, self._missing)


def _names(told: Collection[str] | None) -> frozenset[str] | None:
    """The names of a filter; what is no collection of names goes on as it is and is refused."""
    if told is None or isinstance(told, str) or not all(isinstance(one, str) for one in told):
        return told  # type: ignore[return-value]
    return frozenset(told)


def _in_utc(moment: datetime | None) -> datetime | None:
    """A moment without a zone is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


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
