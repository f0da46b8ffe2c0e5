"""What the memory's store costs and keeps: acknowledged writes beside LanceDB's own, kill -9, many writers, upkeep.

Vectors are given, not computed: a write is acknowledged before its vector is needed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval

# LanceDB warns of each search that names its columns.
os.environ.setdefault("LANCEDB_LOG", "error")
BENCHMARK = "memory"
SIZES = (10_000, 50_000)
WRITES = 300
PEER_WRITES = 40
FLUSHES = 10
KILLS = 30
WRITERS, KEYS = 8, 25
CHANGES = 60
SEARCHES = 60
START = datetime(2024, 1, 1, tzinfo=UTC)
WORDS = ("parcel", "budget", "price", "search", "video", "delivery", "creative", "landing", "support", "newsletter")


class GivenVectors:
    """Stands for the embedder where what a vector says does not matter: a unit vector from the text's hash."""

    model_id = "given-vectors"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [int.from_bytes(sha256(text.encode()).digest()[:4], "big") for text in texts]
        drawn = np.array([np.random.default_rng(seed).normal(size=384) for seed in seeds], np.float32).reshape(-1, 384)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def known(self, text: str) -> NDArray[np.float32]:
        return self.encode([text])[0]

    def forget(self, texts: Sequence[str]) -> int:
        return 0

    def ask_later(self, text: str) -> None: ...

    def catch_up(self) -> int:
        return 0


def measure(_: Path) -> Iterator[Figure]:
    """Figures of the store on generated memories; nothing but a disk is needed."""
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            yield from _acknowledged(Path(folder) / str(size), size)
        yield from _upkeep(Path(folder) / str(SIZES[0]), SIZES[0])
        yield _flushed(Path(folder) / "flushed")
        yield from _killed(Path(folder) / "killed")
        yield _same_keys(Path(folder) / "keys")


def _open(root: Path, flush_seconds: float | None = None) -> Any:
    from liftos_pipelines.resources.memory_store import MemoryStore

    return MemoryStore("bench", GivenVectors(), root, flush_seconds=flush_seconds)  # type: ignore[arg-type]


def _notes(count: int, first: int = 0) -> pl.DataFrame:
    from liftos_pipelines.modules.memory.records import from_sources
    from liftos_pipelines.modules.memory.records.items import with_provenance

    rng = np.random.default_rng(7 + first)
    picked = rng.choice(WORDS, size=(count, 6))
    frame = pl.DataFrame(
        {
            "note_id": [f"n{first + i}" for i in range(count)],
            "at": [START + timedelta(minutes=first + i) for i in range(count)],
            "text": [
                f"In week {first + i} {' '.join(row)} moved by {first + i} orders" for i, row in enumerate(picked)
            ],
            "author": ["Ana"] * count,
            "subject": [f"talk {(first + i) // 20}" for i in range(count)],
            "tags": [None] * count,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "tags": pl.List(pl.String)},
    )
    return with_provenance(from_sources.notes(frame), {"sources/notes": 0})


def _acknowledged(root: Path, size: int) -> Iterator[Figure]:
    """p95 of a write until it is durable in the journal, beside what LanceDB alone needs for the same row."""
    store = _open(root)
    store.remember(_notes(size), START)
    singles = [_notes(1, first=size + i) for i in range(WRITES)]
    taken = milliseconds(lambda i: store.remember(singles[i], datetime.now(UTC)), WRITES)
    seen = milliseconds(lambda i: store.recall(f"week {i} parcel", k=10, encoder="full"), 1)  # builds the index
    visible = np.array(
        [_until_found(store, _notes(1, first=size + WRITES + i), size + WRITES + i) for i in range(PEER_WRITES)]
    )
    journal = max((root / "bench" / "journal").glob("*.active"), key=lambda path: path.stat().st_size)
    record = journal.read_bytes().splitlines()[-1]
    add, merge = _lancedb(store, size)
    fsync = _fsync(root, record)
    base = {"benchmark": BENCHMARK, "unit": "ms"}
    memories = f"{size:,} memories"
    value, low, high = p95_interval(taken)
    yield Figure(
        **base,
        name=f"store acknowledged p95, {memories}",
        value=value,
        low=low,
        high=high,
        n=taken.size,
        goal="< 10 ms",
        method=f"one memory decided, journalled and synced; LanceDB add of one row {np.percentile(add, 95):.3g} ms, "
        f"write and fsync of the same {len(record):,} bytes {np.percentile(fsync, 95):.3g} ms (p95)",
        baseline="LanceDB merge_insert of one row p95",
        baseline_value=float(np.percentile(merge, 95)),
    )
    value, low, high = p95_interval(visible)
    yield Figure(
        **base,
        name=f"recall right after a write p95, {memories}",
        value=value,
        low=low,
        high=high,
        n=visible.size,
        method="the index is extended by the new memory and finds it, k 10",
        baseline="the index built anew, once",
        baseline_value=float(seen[0]),
    )


def _until_found(store: Any, item: pl.DataFrame, number: int) -> float:
    store.remember(item, datetime.now(UTC))
    began = time.perf_counter()
    hits = store.recall(item["text"][0], k=10, encoder="full")
    taken = (time.perf_counter() - began) * 1000
    if item["memory_id"][0] not in {hit.memory_id for hit in hits}:
        raise AssertionError(f"memory {number} was acknowledged and is not found")
    return taken


def _lancedb(store: Any, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One row added, and one row merged, on a table of the same rows."""
    import pyarrow as pa

    store.flush()
    held = store.table.items().to_arrow()
    table = store.table._open().create_table("peer", held)
    place = held.schema.get_field_index("version_id")

    def row(number: int) -> pa.Table:
        one = held.slice(number, 1)
        return one.set_column(place, held.schema.field(place), pa.array([f"peer-{number}-{size}"]))

    rows = [row(i) for i in range(2 * PEER_WRITES)]
    merger = table.merge_insert("version_id").when_matched_update_all().when_not_matched_insert_all()
    added = milliseconds(lambda i: table.add(rows[i]), PEER_WRITES)
    merged = milliseconds(lambda i: merger.execute(rows[PEER_WRITES + i]), PEER_WRITES)
    store.table._open().drop_table("peer")
    return added, merged


def _fsync(root: Path, record: bytes) -> NDArray[np.float64]:
    descriptor = os.open(root / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def write(_: int) -> None:
        os.write(descriptor, record)
        os.fsync(descriptor)

    taken = milliseconds(write, WRITES)
    os.close(descriptor)
    return taken


def _upkeep(root: Path, size: int) -> Iterator[Figure]:
    """Search in LanceDB itself after many small flushes, before and after the upkeep, and the versions left."""
    store = _open(root)
    table = store.table
    for number in range(CHANGES):
        rows, vectors = _notes(1, first=2 * size + number), GivenVectors().encode([str(number)])
        at = START + timedelta(seconds=number)
        rows = rows.with_columns(
            pl.lit(f"upkeep-{number}").alias("version_id"), pl.lit(at).dt.cast_time_unit("us").alias("recorded_at")
        )
        table.upsert(rows, vectors, "given")
    cited = store.tag("bench:cited")
    asked = GivenVectors().encode([f"question {i}" for i in range(SEARCHES)])

    def hybrid(number: int) -> None:
        words = " ".join(WORDS[(number + step) % len(WORDS)] for step in range(3))
        found = table.items().search(query_type="hybrid").vector(asked[number].tolist()).text(words).limit(10)
        found.select(["memory_id"]).to_list()

    before, shape = milliseconds(hybrid, SEARCHES), table.shape()
    began = time.perf_counter()
    after_shape = store.optimize(timedelta(0))
    seconds = time.perf_counter() - began
    after = milliseconds(hybrid, SEARCHES)
    value, low, high = p95_interval(after)
    yield Figure(
        benchmark=BENCHMARK,
        name=f"LanceDB hybrid p95 after upkeep, {size:,} memories",
        value=value,
        low=low,
        high=high,
        unit="ms",
        n=SEARCHES,
        method=f"{CHANGES} flushes of one row, then memory/upkeep ({seconds:.2f} s); recall is not served from here",
        baseline="before the upkeep",
        baseline_value=float(np.percentile(before, 95)),
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="versions after upkeep",
        value=float(after_shape.versions),
        unit="versions",
        n=after_shape.rows,
        goal=f"rows {shape.rows:,} kept: {after_shape.rows:,}; cited version {cited} readable: "
        f"{store.at('bench:cited').height:,} rows",
        method=f"files {shape.fragments} to {after_shape.fragments}, unindexed {shape.unindexed} to "
        f"{after_shape.unindexed}",
        baseline="before the upkeep",
        baseline_value=float(shape.versions),
    )


def _flushed(root: Path) -> Figure:
    """From acknowledged to durable in LanceDB, with the flush interval that the platform uses."""
    from liftos_pipelines.resources.memory_store import FLUSH_SECONDS

    store = _open(root, flush_seconds=FLUSH_SECONDS)
    store.remember(_notes(10), START)
    store.flush()
    taken = np.empty(FLUSHES)
    for number in range(FLUSHES):
        began = time.perf_counter()
        store.remember(_notes(1, first=100 + number), datetime.now(UTC))
        while store.table.count() < 11 + number:
            time.sleep(0.01)
        taken[number] = time.perf_counter() - began
    value, low, high = p95_interval(taken)
    return Figure(
        benchmark=BENCHMARK,
        name="acknowledged to LanceDB p95",
        value=value,
        low=low,
        high=high,
        unit="s",
        n=FLUSHES,
        goal="one flush interval and its batch",
        method=f"flush interval {FLUSH_SECONDS:g} s; durable in the journal from the acknowledgement on",
    )


def _until_killed(root: Path, told: str) -> None:
    store = _open(root, flush_seconds=0.02)
    with open(told, "a", buffering=1) as file:
        for number in range(100_000):
            store.remember(_notes(1, first=number), datetime.now(UTC))
            file.write(f"n{number}\n")


def _killed(root: Path) -> Iterator[Figure]:
    """Writers killed at random moments; what they were told is stored must be there, once."""
    chance, lost, doubled, acknowledged = random.Random(7), 0, 0, 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liftos_pipelines.resources.memory_store", "lancedb", __name__])
    for trial in range(KILLS):
        folder, told = root / str(trial), root / f"{trial}.told"
        folder.mkdir(parents=True)
        process = context.Process(target=_until_killed, args=(folder, str(told)))
        process.start()
        while not told.exists() and process.is_alive():
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.4))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        said = set(told.read_text().split())
        store = _open(folder)
        store.flush()
        held = pl.DataFrame(store.table.items().search().select(["source_key"]).to_arrow())["source_key"].to_list()
        lost, doubled, acknowledged = (
            lost + len(said - set(held)),
            doubled + len(held) - len(set(held)),
            acknowledged + len(said),
        )
    for name, count in (("lost", lost), ("doubled", doubled)):
        yield Figure(
            benchmark=BENCHMARK,
            name=f"memories {name} on kill -9",
            value=float(count),
            unit="memories",
            n=KILLS,
            goal="0",
            method=f"{KILLS} writers killed at random moments while flushing, {acknowledged:,} acknowledged writes",
        )


def _write_keys(root: Path, number: int) -> None:
    store = _open(root, flush_seconds=0.05)
    for key in range(KEYS):
        store.remember(_notes(1, first=key), START + timedelta(seconds=number))
    store.flush()


def _same_keys(root: Path) -> Figure:
    """Processes upserting the same keys at once."""
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=_write_keys, args=(root, number)) for number in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = _open(root)
    store.flush()
    return Figure(
        benchmark=BENCHMARK,
        name="duplicates of concurrent upserts",
        value=float(store.table.count() - KEYS),
        unit="rows",
        n=WRITERS * KEYS,
        goal="0",
        method=f"{WRITERS} processes write the same {KEYS} keys",
    )
