"""The memory store: LanceDB, one folder a client, every version of every memory with its vector.

The store is the journal: it decides, under a lock, what is new, so that concurrent writers never leave two
current versions of one memory. Recall is served from an index in memory that follows the table's version.
"""

from __future__ import annotations

import fcntl
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.modules.memory.recall.index import Hit, RecallIndex
from liftos_pipelines.modules.memory.records import history as versions
from liftos_pipelines.modules.memory.records.items import SCHEMA, empty_items, typed
from liftos_pipelines.resources.embedder import DIMENSIONS, Embedder, open_embedder

ITEMS, FORGOTTEN = "items", "forgotten"
CHANGES_BEFORE_COMPACTION = 20
KEEP_VERSIONS = timedelta(days=7)


class MemoryRefused(ValueError):
    """A request to the memory cannot be carried out; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What a write changed: memories added or said anew, versions closed, and the table's version after
    it.
    """

    added: int
    closed: int
    unchanged: int
    version: int


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What forgetting reached: versions erased from table, text index and files, and cached vectors
    erased.
    """

    memory_id: str
    versions: int
    cached_vectors: int


class MemoryStore:
    """One client's memory. Opened by `MemoryStoreResource.get` or `open_memory`, which check the client's
    id.
    """

    def __init__(self, client: str, embedder: Embedder, root: Path | None = None) -> None:
        self.client = check_client_id(client)
        self.folder = (root or settings.memory_folder()) / self.client
        self.embedder = embedder
        self._threads = threading.RLock()
        self._depth = 0
        self._index: tuple[int, RecallIndex] | None = None
        self._database: Any = None
        self._items: Any = None

    # --- writing -----------------------------------------------------------------------------------------
    def remember(self, items: pl.DataFrame, now: datetime, *, complete_kinds: Collection[str] = ()) -> Remembered:
        """Store what is new in `items` as versions recorded `now`; what was said before is left as it is.

        Forgotten memories are not taken back. `complete_kinds` as in `history.remember`.
        """
        with self._locked():
            self._embed_again()
            allowed = items.filter(~pl.col("memory_id").is_in(self.forgotten()["memory_id"].implode()))
            changes = versions.remember(self.history(), allowed, now, complete_kinds=complete_kinds)
            if changes.count:
                self._upsert(changes.rows)
            return Remembered(
                added=changes.added.height,
                closed=changes.closed.height,
                unchanged=allowed["memory_id"].n_unique() - changes.added.height,
                version=self.version,
            )

    def restore(self, history: pl.DataFrame) -> int:
        """Fill an empty store from the lake's `memory/items`, vectors computed anew; returns the rows taken
        in.
        """
        with self._locked():
            if self.count() or history.is_empty():
                return 0
            missing = [name for name in SCHEMA if name not in history.columns]
            if missing:
                raise MemoryRefused(f"memory/items of {self.client} lacks column(s) {', '.join(missing)}")
            kept = history.filter(~pl.col("memory_id").is_in(self.forgotten()["memory_id"].implode()))
            self._upsert(kept.select(list(SCHEMA)))
            return kept.height

    def forget(self, memory_id: str) -> Forgotten:
        """Erase every version of a memory from table, text index, old versions, files and vector cache, for
        good.

        A tombstone keeps its source from bringing it back. Erasure wins over audit: tags that would keep an
        old version readable are removed. The lake's table loses it at the next materialisation of
        memory/items.

        Raises
        ------
        MemoryRefused : no such memory in this client's store
        """
        with self._locked():
            held = self.history().filter(pl.col("memory_id") == memory_id)
            if held.is_empty():
                raise MemoryRefused(f"{self.client} has no memory {memory_id!r}")
            stamp = pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias("forgotten_at")
            tombstone = pl.DataFrame({"memory_id": [memory_id]}).with_columns(stamp)
            self._forgotten_table().add(tombstone.to_arrow())
            table = self._table()
            table.delete(f"memory_id = '{_checked(memory_id)}'")
            for tag in table.tags.list():
                table.tags.delete(tag)
            # Compaction rewrites the fragments without the deleted rows; then nothing refers to the old ones.
            self._optimize(table, timedelta(0), unverified=True)
            texts = {text for column in ("text", "context", "action") for text in held[column] if text}
            cached = self.embedder.forget(sorted(texts))
            self._index = None
            return Forgotten(memory_id=memory_id, versions=held.height, cached_vectors=cached)

    def tag(self, name: str) -> int:
        """Pin the table's current version under a name, so that clean-up keeps it readable; returns the
        version.
        """
        with self._locked():
            table = self._table()
            if name in table.tags.list():
                table.tags.update(name, table.version)
            else:
                table.tags.create(name, table.version)
            return int(table.version)

    def optimize(self, keep: timedelta = KEEP_VERSIONS) -> int:
        """Compact files, bring new rows into the text index, remove old untagged versions; returns those
        left.

        Clean-up reaches back no further than the oldest tag: LanceDB refuses to remove versions around one.
        """
        with self._locked():
            table = self._table()
            self._optimize(table, self._keep(table, keep))
            return len(table.list_versions())

    # --- reading -----------------------------------------------------------------------------------------
    @property
    def version(self) -> int:
        """The table's version; grows with every write."""
        return int(self._table().version)

    def count(self) -> int:
        """Stored versions, current and superseded."""
        return int(self._table().count_rows())

    def count_current(self) -> int:
        """Memories that are current."""
        return int(self._table().count_rows("superseded_at IS NULL"))

    def count_unembedded(self) -> int:
        """Versions without a vector of the current model."""
        return int(self._table().count_rows(f"vector IS NULL OR model_id != '{self.embedder.model_id}'"))

    def history(self) -> pl.DataFrame:
        """Every version of every memory, in order of recording."""
        if not self.folder.is_dir():
            return empty_items()
        frame = pl.DataFrame(self._table().search().select(list(SCHEMA)).to_arrow())
        return typed(frame).sort("recorded_at", "memory_id")

    def forgotten(self) -> pl.DataFrame:
        """Ids of memories that were erased, and when."""
        return pl.DataFrame(self._forgotten_table().to_arrow())

    def tags(self) -> Mapping[str, int]:
        """Pinned versions by name."""
        return {name: int(tag["version"]) for name, tag in self._table().tags.list().items()}

    def full_text(self, query: str, k: int = 10) -> list[str]:
        """Ids of current memories that share words with a query, by LanceDB's own text index."""
        found = self._table().search(query, query_type="fts").where("superseded_at IS NULL", prefilter=True).limit(k)
        return [row["memory_id"] for row in found.select(["memory_id", "_score"]).to_list()]

    def index(self) -> RecallIndex:
        """The search index of the table's present version, built once a version."""
        table = self._table()
        version = int(table.version)
        held = self._index
        if held is None or held[0] != version:
            frame = pl.DataFrame(table.search().select([*SCHEMA, "vector"]).to_arrow()).sort("version_id")
            vectors = frame["vector"].to_numpy() if frame.height else np.empty((0, DIMENSIONS), np.float32)
            stacked = np.asarray(vectors.tolist() if vectors.dtype == object else vectors, dtype=np.float32)
            held = (version, RecallIndex(typed(frame), stacked))
            self._index = held
        return held[1]

    def recall(
        self,
        text: str,
        k: int = 10,
        *,
        as_of: datetime | None = None,
        strict: bool = False,
        kinds: Collection[str] | None = None,
        domains: Collection[str] | None = None,
    ) -> list[Hit]:
        """Memories like a text, by words and meaning, best first; see `RecallIndex.search`."""
        if not text.strip():
            raise MemoryRefused("say what to look for: the text is empty")
        if not self.folder.is_dir():
            return []
        index = self.index()
        if not len(index):
            return []
        moment = as_of.replace(tzinfo=UTC) if as_of is not None and as_of.tzinfo is None else as_of
        vector = self.embedder.encode([text])[0]
        return index.search(text, vector, k, as_of=moment, strict=strict, kinds=kinds, domains=domains)

    def _embed_again(self) -> None:
        """Give vectors of the present model to rows that another model embedded: two models must not mix."""
        if self.count_unembedded():
            stale = f"vector IS NULL OR model_id != '{self.embedder.model_id}'"
            rows = self._table().search().where(stale).select(list(SCHEMA)).to_arrow()
            self._upsert(typed(pl.DataFrame(rows)))

    # --- LanceDB -----------------------------------------------------------------------------------------
    def _upsert(self, rows: pl.DataFrame) -> None:
        """Write item rows with their vectors by `version_id`; only these rows are touched."""
        import pyarrow as pa

        single = rows.unique(subset="version_id", keep="last", maintain_order=True)
        vectors = self.embedder.encode(single["text"].to_list())
        table = self._table()
        data = typed(single).to_arrow()
        flat = pa.array(vectors.reshape(-1), type=pa.float32())
        data = data.append_column("model_id", pa.array([self.embedder.model_id] * single.height))
        data = data.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS))
        writer = table.merge_insert("version_id").when_matched_update_all().when_not_matched_insert_all()
        writer.execute(data.cast(_arrow_schema()))
        if len(table.list_versions()) > CHANGES_BEFORE_COMPACTION:
            self._optimize(table, self._keep(table, KEEP_VERSIONS))

    def _keep(self, table: Any, keep: timedelta) -> timedelta:
        """How far back clean-up may reach: LanceDB refuses to remove a version that a tag pins, or those
        around it.
        """
        tagged = {int(tag["version"]) for tag in table.tags.list().values()} - {int(table.version)}
        if not tagged:
            return keep
        written = {int(entry["version"]): entry["timestamp"] for entry in table.list_versions()}
        oldest = min(written[version] for version in tagged if version in written)
        age = datetime.now(UTC) - (oldest if oldest.tzinfo else oldest.astimezone(UTC))
        return max(keep, age + timedelta(minutes=1))

    @staticmethod
    def _optimize(table: Any, keep: timedelta, *, unverified: bool = False) -> None:
        with warnings.catch_warnings():
            # LanceDB warns of concurrent readers at a window of 0; forgetting must remove them all the same.
            warnings.simplefilter("ignore", UserWarning)
            table.optimize(cleanup_older_than=keep, delete_unverified=unverified)

    def _table(self) -> Any:
        """The items table, made with its key and text index when absent; reads see other processes'
        writes.
        """
        if self._items is not None:
            return self._items
        database = self._open()
        with self._locked():
            if ITEMS in database.list_tables().tables:
                self._items = database.open_table(ITEMS)
                return self._items
            from lancedb.index import FTS

            table = database.create_table(ITEMS, schema=_arrow_schema())
            # Without a declared key, concurrent merges insert one row twice.
            table.set_unenforced_primary_key("version_id")
            # Positions are left out: they break compaction and only phrase queries need them.
            table.create_index("text", config=FTS(with_position=False))
            self._items = table
            return table

    def _forgotten_table(self) -> Any:
        import pyarrow as pa

        database = self._open()
        if FORGOTTEN in database.list_tables().tables:
            return database.open_table(FORGOTTEN)
        with self._locked():
            schema = pa.schema([("memory_id", pa.string()), ("forgotten_at", pa.timestamp("us", tz="UTC"))])
            return database.create_table(FORGOTTEN, schema=schema, exist_ok=True)

    def _open(self) -> Any:
        if self._database is None:
            import lancedb

            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = lancedb.connect(str(self.folder), read_consistency_interval=timedelta(0))
        return self._database

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, among threads and processes of this machine; may be entered again."""
        with self._threads:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
                    fcntl.flock(file, fcntl.LOCK_UN)


def _arrow_schema() -> Any:
    import pyarrow as pa

    kinds = {pl.String(): pa.string(), pl.Float64(): pa.float64()}
    moment = pa.timestamp("us", tz="UTC")
    fields = [pa.field(name, kinds.get(dtype, moment), nullable=name != "version_id") for name, dtype in SCHEMA.items()]
    fields.append(pa.field("model_id", pa.string()))
    fields.append(pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)))
    return pa.schema(fields)


def _checked(memory_id: str) -> str:
    if not memory_id.isalnum():
        raise MemoryRefused(f"{memory_id!r} is not a memory id")
    return memory_id


@lru_cache(maxsize=64)
def _shared(client: str, root: Path, embedder: Embedder) -> MemoryStore:
    return MemoryStore(client, embedder, root)


def open_memory(client: str, embedder: Embedder | None = None) -> MemoryStore:
    """The memory of a client, shared within the process so that its index is built once.

    Raises
    ------
    ClientError : the id is not safe to name a folder with
    """
    return _shared(check_client_id(client), settings.memory_folder(), embedder or open_embedder())


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
        return open_memory(client, open_embedder(self.model_path or None))
