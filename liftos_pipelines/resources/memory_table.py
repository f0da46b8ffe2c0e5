"""The memory on disk: LanceDB tables of one client, written in batches by the flush, and their upkeep.

A version that the ledger cites is pinned by a branch, not by a tag: LanceDB refuses to clean up around a tag, so that
one old tag would keep every version after it, while versions around a branch can go.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.records.items import SCHEMA, empty_items, typed
from liftos_pipelines.resources.embedder import DIMENSIONS

ITEMS, FORGOTTEN, IDENTITIES, ALIASES = "items", "forgotten", "forgotten_identities", "aliases"
WINDOWS = "windows"
"""Vectors of the windows of long texts, in a table of their own: no memories, and not counted as such."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the table lies on disk: rows, files they are in, versions kept, rows that the text index lacks."""

    rows: int
    fragments: int
    versions: int
    unindexed: int
    pinned: int
    bytes: int


class MemoryTable:
    """One client's LanceDB folder. Writers hold the store's flush lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database: Any = None
        self._items: Any = None

    @property
    def exists(self) -> bool:
        return (self.folder / f"{ITEMS}.lance").is_dir()

    # --- reading -----------------------------------------------------------------------------------------
    def rows(self, model_id: str) -> tuple[pl.DataFrame, NDArray[np.float32], NDArray[np.bool_]]:
        """All versions, their vectors (n, d), and which of the vectors are of this model."""
        if not self.exists:
            return empty_items(), np.empty((0, DIMENSIONS), np.float32), np.empty(0, bool)
        columns = [*self._columns(), "model_id", "vector"]
        arrow = self.items().search().select(columns).to_arrow()
        frame = pl.DataFrame(pl.from_arrow(arrow.drop_columns(["vector"])))
        vectors = _stacked(arrow["vector"])
        known = ((frame["model_id"] == model_id).fill_null(False)).to_numpy() & np.any(vectors != 0, axis=1)
        return _whole(frame), vectors, known

    def at(self, name: str) -> pl.DataFrame:
        """Every version of every memory as a pinned version held it.

        Raises
        ------
        KeyError : no such pin
        """
        if name not in self.pins():
            raise KeyError(f"no version of the memory is pinned as {name!r}")
        pinned = self.items().branches.checkout(name)
        frame = pl.DataFrame(pinned.search().select([c for c in pinned.schema.names if c != "vector"]).to_arrow())
        return _whole(frame).sort("recorded_at", "memory_id")

    def names(self, table: str, column: str) -> list[str]:
        """One column of a side table; empty where the table is not there."""
        if not (self.folder / f"{table}.lance").is_dir():
            return []
        return self._open().open_table(table).to_arrow()[column].to_pylist()

    def aliases(self) -> dict[str, str]:
        """Memory id by alias id."""
        if not (self.folder / f"{ALIASES}.lance").is_dir():
            return {}
        told = self._open().open_table(ALIASES).to_arrow()
        return dict(zip(told["alias_id"].to_pylist(), told["memory_id"].to_pylist(), strict=True))

    def windows(self, model_id: str) -> dict[str, NDArray[np.float32]]:
        """By version id the vectors of a long text's windows (w, d), in order, of this model."""
        if not self._has(WINDOWS):
            return {}
        told = self._open().open_table(WINDOWS).to_arrow()
        frame = pl.DataFrame(pl.from_arrow(told.drop_columns(["vector"]))).with_row_index("row")
        vectors = _stacked(told["vector"])
        held = frame.filter(pl.col("model_id") == model_id).sort("version_id", "window")
        grouped = held.group_by("version_id", maintain_order=True).agg("row")
        return {str(name): vectors[rows] for name, rows in grouped.iter_rows()}

    def _has(self, table: str) -> bool:
        return (self.folder / f"{table}.lance").is_dir()

    def full_text(self, query: str, k: int) -> list[str]:
        """Ids of current memories that share words with a query, by LanceDB's own text index."""
        if not self.exists:
            return []
        found = self.items().search(query, query_type="fts").where("superseded_at IS NULL", prefilter=True).limit(k)
        return [row["memory_id"] for row in found.select(["memory_id", "_score"]).to_list()]

    def count(self, predicate: str | None = None) -> int:
        return int(self.items().count_rows(predicate)) if self.exists else 0

    def fragments(self) -> int:
        """Files that the rows are in; every batch adds one until they are compacted."""
        return int(self.items().stats()["fragment_stats"]["num_fragments"])

    def shape(self) -> Shape:
        table = self.items()
        unindexed = max((_unindexed(table, index.name) for index in table.list_indices()), default=0)
        size = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        return Shape(
            rows=int(table.count_rows()),
            fragments=self.fragments(),
            versions=len(table.list_versions()),
            unindexed=unindexed,
            pinned=len(self.pins()),
            bytes=size,
        )

    # --- writing -----------------------------------------------------------------------------------------
    def upsert(self, rows: pl.DataFrame, vectors: NDArray[np.float32], model_id: str) -> int:
        """Write item rows with their vectors by `version_id`; only these rows are touched. Returns the version."""
        import pyarrow as pa

        table = self.items()
        if rows.is_empty():
            return int(table.version)
        data = typed(rows).to_arrow()
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=pa.float32())
        data = data.append_column("model_id", pa.array([model_id] * rows.height))
        data = data.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS))
        writer = table.merge_insert("version_id").when_matched_update_all().when_not_matched_insert_all()
        writer.execute(data.cast(_arrow_schema()))
        return int(table.version)

    def upsert_windows(self, windows: Mapping[str, NDArray[np.float32]], model_id: str) -> None:
        """Write the windows of long texts by version id; each once, however often it is written."""
        import pyarrow as pa

        if not windows:
            return
        schema = _windows_schema()
        told = [(name, number) for name, vectors in windows.items() for number in range(len(vectors))]
        flat = pa.array(np.concatenate(list(windows.values())).astype(np.float32).reshape(-1), type=pa.float32())
        data = pa.table(
            [
                pa.array([f"{name}#{number}" for name, number in told]),
                pa.array([name for name, _ in told]),
                pa.array([name.rsplit("@", 1)[0] for name, _ in told]),
                pa.array([number for _, number in told], type=pa.int32()),
                pa.array([model_id] * len(told)),
                pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS),
            ],
            schema=schema,
        )
        fresh = not self._has(WINDOWS)
        table = self._open().create_table(WINDOWS, schema=schema, exist_ok=True)
        if fresh:
            table.set_unenforced_primary_key("window_id")
        table.merge_insert("window_id").when_matched_update_all().when_not_matched_insert_all().execute(data)

    def note(self, table: str, rows: Sequence[Mapping[str, str]], key: str, at: datetime) -> None:
        """Add rows of texts to a side table, each key once, with the moment."""
        import pyarrow as pa

        known = set(self.names(table, key))
        fresh = [dict(row) for row in rows if row[key] not in known]
        if not fresh:
            return
        moment = "forgotten_at" if table in (FORGOTTEN, IDENTITIES) else "recorded_at"
        schema = pa.schema([*((name, pa.string()) for name in fresh[0]), (moment, pa.timestamp("us", tz="UTC"))])
        data = pa.Table.from_pylist([row | {moment: at} for row in fresh], schema=schema)
        self._open().create_table(table, schema=schema, exist_ok=True).add(data)

    def erase(self, memory_ids: Collection[str]) -> int:
        """Delete every version of these memories from the table, from what is pinned, and from all files."""
        if not self.exists or not memory_ids:
            return 0
        table = self.items()
        predicate = f"memory_id IN ({', '.join(repr(checked_id(name)) for name in sorted(memory_ids))})"
        held = int(table.count_rows(predicate))
        self._tags_to_pins()
        for name in self.pins():
            pinned = table.branches.checkout(name)
            if pinned.count_rows(predicate):
                pinned.delete(predicate)
                # Compaction writes the fragments anew without the rows; then nothing refers to the old files.
                _optimize(pinned, timedelta(0), unverified=True)
        table.delete(predicate)
        _optimize(table, timedelta(0), unverified=True)
        for name in (ALIASES, WINDOWS):
            if self._has(name):
                beside = self._open().open_table(name)
                beside.delete(predicate)
                _optimize(beside, timedelta(0), unverified=True)
        return held

    # --- upkeep ------------------------------------------------------------------------------------------
    def optimize(self, keep: timedelta) -> None:
        """Compact files, bring new rows into the indexes, remove versions older than `keep` that nothing pins."""
        self._tags_to_pins()
        _optimize(self.items(), keep)
        if self._has(WINDOWS):
            _optimize(self._open().open_table(WINDOWS), keep)

    def pin(self, name: str) -> int:
        """Keep the present version readable under a name; a name that is taken keeps its version. Returns it."""
        table, held = self.items(), self.pins()
        if name not in held:
            table.branches.create(name)
            return int(table.version)
        return held[name]

    def unpin(self, name: str) -> None:
        self.items().branches.delete(name)

    def pins(self) -> dict[str, int]:
        """Pinned versions by name."""
        if not self.exists:
            return {}
        return {name: int(told["parent_version"]) for name, told in self.items().branches.list().items()}

    def pinned_since(self) -> dict[str, datetime]:
        """Since when each version has been pinned; an erasure in it counts as pinning it anew."""
        found = {}
        for name in self.pins():
            made = min(entry["timestamp"] for entry in self.items().branches.checkout(name).list_versions())
            found[name] = made if made.tzinfo else made.astimezone(UTC)
        return found

    def _tags_to_pins(self) -> None:
        table = self.items()
        for name, tag in table.tags.list().items():
            if name not in self.pins():
                table.branches.create(name, from_version=int(tag["version"]))
            table.tags.delete(name)

    # --- LanceDB -----------------------------------------------------------------------------------------
    def items(self) -> Any:
        """The items table, made with its key and text index when absent; reads see other processes' writes."""
        if self._items is not None:
            return self._items
        database = self._open()
        if self.exists:
            table = database.open_table(ITEMS)
            missing = [name for name in SCHEMA if name not in table.schema.names]
            if missing:
                import pyarrow as pa

                table.add_columns(pa.schema([_arrow_schema().field(name) for name in missing]))
        else:
            from lancedb.index import FTS

            table = database.create_table(ITEMS, schema=_arrow_schema())
            # Without a declared key, concurrent merges insert one row twice.
            table.set_unenforced_primary_key("version_id")
            # Positions are left out: they break compaction and only phrase queries need them.
            table.create_index("text", config=FTS(with_position=False))
        self._items = table
        return table

    def _columns(self) -> list[str]:
        held = self.items().schema.names
        return [name for name in SCHEMA if name in held]

    def _open(self) -> Any:
        if self._database is None:
            import lancedb

            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = lancedb.connect(str(self.folder), read_consistency_interval=timedelta(0))
        return self._database


def _optimize(table: Any, keep: timedelta, *, unverified: bool = False) -> None:
    with _quiet():
        table.optimize(cleanup_older_than=keep, delete_unverified=unverified)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # LanceDB warns of concurrent readers at a window of 0; forgetting must remove them all the same.
        warnings.simplefilter("ignore", UserWarning)
        yield


def _unindexed(table: Any, name: str) -> int:
    told = table.index_stats(name)
    return 0 if told is None else int(told.num_unindexed_rows)


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in SCHEMA if name not in frame.columns]
    return typed(frame.with_columns(pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in missing))


def _stacked(column: Any) -> NDArray[np.float32]:
    combined = column.combine_chunks()
    if not combined.null_count:
        flat = combined.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, dtype=np.float32).reshape(-1, DIMENSIONS).copy()
    nothing = [0.0] * DIMENSIONS
    return np.asarray([row or nothing for row in combined.to_pylist()], dtype=np.float32)


def _arrow_schema() -> Any:
    import pyarrow as pa

    kinds = {pl.String(): pa.string(), pl.Float64(): pa.float64()}
    moment = pa.timestamp("us", tz="UTC")
    fields = [pa.field(name, kinds.get(dtype, moment), nullable=name != "version_id") for name, dtype in SCHEMA.items()]
    fields.append(pa.field("model_id", pa.string()))
    fields.append(pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)))
    return pa.schema(fields)


def _windows_schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("window_id", pa.string(), nullable=False),
            pa.field("version_id", pa.string()),
            pa.field("memory_id", pa.string()),
            pa.field("window", pa.int32()),
            pa.field("model_id", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)),
        ]
    )


def checked_id(memory_id: str) -> str:
    """A memory id that can stand in a predicate.

    Raises
    ------
    ValueError : it is none
    """
    if not (memory_id.isascii() and memory_id.isalnum()):
        raise ValueError(f"{memory_id!r} is not a memory id")
    return memory_id
