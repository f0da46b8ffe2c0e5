"""The memory's journal: nothing acknowledged is lost, nothing doubled, whatever is killed and whoever else writes."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.records import from_sources
from liftos_pipelines.resources.embedder import Embedder, _key, default_model_path
from liftos_pipelines.resources.memory_journal import Behind, JournalError, MemoryJournal, Place
from liftos_pipelines.resources.memory_store import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PER_WRITER = 12
KILLED_AT = ("append", "synced", "sealing", "before_table", "after_table", "before_flushed", "after_flushed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some vector for each text that the writers say, so that nobody loads the model."""
    folder, rng = tmp_path_factory.mktemp("cache"), np.random.default_rng(7)
    vectors = {_key(text(number)): rng.normal(size=384) for number in range(PER_WRITER)}
    unit = {key: (vector / np.linalg.norm(vector)).astype(np.float32) for key, vector in vectors.items()}
    Embedder(default_model_path(), folder)._write(unit)
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> MemoryJournal:
    return MemoryJournal(tmp_path / "journal", lock_seconds=0.2)


def text(number: int) -> str:
    return f"parcel {number} came late"


def fact(number: int, said: str | None = None) -> pl.DataFrame:
    row = {"subject": f"parcel {number}", "predicate": "arrival", "text": said or text(number), "valid_from": NOW}
    return from_sources.facts([row])


def open_store(root: Path, cache: Path, flush_seconds: float | None = None) -> MemoryStore:
    return MemoryStore("acme", Embedder(default_model_path(), cache), root, flush_seconds=flush_seconds)


# --- the file --------------------------------------------------------------------------------------------
def test_records_come_back_in_order_and_a_torn_end_is_cut_off(journal: MemoryJournal) -> None:
    place = journal.append({"n": 1}, Place(0, 0))
    place = journal.append({"n": 2}, place)
    file = next(journal.folder.glob("*.active"))
    whole = file.read_bytes()
    for cut in range(1, len(whole) - place.offset // 2):
        file.write_bytes(whole[:-cut])
        records, end = journal.read(Place(0, 0))
        assert records == [{"n": 1}]
        assert end.offset == place.offset // 2
    journal.append({"n": 3}, end)
    assert journal.read(Place(0, 0))[0] == [{"n": 1}, {"n": 3}]


def test_a_damaged_record_before_valid_ones_is_named_not_dropped(journal: MemoryJournal) -> None:
    place = journal.append({"n": 1}, Place(0, 0))
    journal.append({"n": 2}, place)
    file = next(journal.folder.glob("*.active"))
    content = bytearray(file.read_bytes())
    content[12] ^= 1
    file.write_bytes(content)
    with pytest.raises(JournalError, match=r"byte 0 is damaged.*remove that line"):
        journal.read(Place(0, 0))


def test_a_reader_catches_up_over_flushes_and_is_told_when_it_cannot(journal: MemoryJournal) -> None:
    place = journal.append({"n": 0}, Place(0, 0))
    for number in range(1, 4):
        journal.mark_flushed(list(journal.sealed())) if journal.sealed() else None
        place = journal.append({"n": number}, journal.seal(place))
    assert [record["n"] for record in journal.read(Place(0, 0))[0]] == [0, 1, 2, 3]
    cleared = journal.clear(place)
    with pytest.raises(Behind):
        journal.read(place)
    assert journal.start() == cleared
    assert journal.read(cleared) == ([], cleared)


def test_a_wrong_place_writes_nothing(journal: MemoryJournal) -> None:
    journal.append({"n": 1}, Place(0, 0))
    with pytest.raises(Behind):
        journal.append({"n": 2}, Place(0, 5))
    assert journal.read(Place(0, 0))[0] == [{"n": 1}]


def test_a_locked_journal_says_who_to_look_for(journal: MemoryJournal) -> None:
    other = MemoryJournal(journal.folder)
    with other.locked(), pytest.raises(JournalError, match=r"nothing was stored.*fuser -v"), journal.locked():
        pass
    with journal.locked():
        pass


def _fill_the_disk(root: Path, cache: Path, told: multiprocessing.Queue) -> None:
    store = open_store(root, cache)
    store.remember(fact(0), NOW)
    file = next((root / "acme" / "journal").glob("*.active"))
    before = file.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, resource.RLIM_INFINITY))
    try:
        store.remember(fact(1), NOW)
        told.put("stored")
    except JournalError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert file.read_bytes() == before
        assert store.count() == 1
        store.remember(fact(1), NOW)  # there is space again
        told.put(str(error))


def test_a_full_disk_stores_nothing_by_halves_and_says_which_file(tmp_path: Path, cache: Path) -> None:
    told = _in_a_process(_fill_the_disk, tmp_path, cache)
    assert ".active" in told
    assert "was not stored" in told
    assert open_store(tmp_path, cache).count() == 2


# --- kill -9 ---------------------------------------------------------------------------------------------
def _writer(root: Path, cache: Path, acknowledged: str, killed_at: str, after: int) -> None:
    """Remember facts one by one, note each acknowledgement, flush now and then, die at a point of no choice."""
    store = open_store(root, cache)
    left = [after]

    def dies(wrapped: Callable, *, first: bool) -> Callable:
        def call(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if first and left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            done = wrapped(*arguments, **named)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return call

    points: dict[str, tuple[object, str, bool]] = {
        "append": (os, "pwrite", False),  # written, not synced
        "synced": (os, "fdatasync", False),  # durable, not acknowledged
        "sealing": (store.journal, "seal", False),
        "before_table": (store.table, "upsert", True),
        "after_table": (store.table, "upsert", False),
        "before_flushed": (store.journal, "mark_flushed", True),
        "after_flushed": (store.journal, "mark_flushed", False),
    }
    holder, name, first = points[killed_at]
    setattr(holder, name, dies(getattr(holder, name), first=first))
    with open(acknowledged, "a", buffering=1) as told:
        for number in range(PER_WRITER):
            store.remember(fact(number), NOW + timedelta(seconds=number))
            told.write(f"{number}\n")
            if number % 3 == 2:
                store.flush()


@pytest.mark.parametrize("killed_at", KILLED_AT)
def test_killed_at_any_point_nothing_acknowledged_is_lost_or_doubled(
    killed_at: str, tmp_path: Path, cache: Path
) -> None:
    often = killed_at in ("append", "synced")
    for trial in range(3):
        root, acknowledged = tmp_path / str(trial), tmp_path / f"{trial}.told"
        _in_a_process(_writer, root, cache, str(acknowledged), killed_at, trial * (3 if often else 1), dies=True)
        said = {int(line) for line in acknowledged.read_text().split()} if acknowledged.exists() else set()
        assert len(said) == (3 * trial if often else 3 * (trial + 1))
        _holds(root, cache, said)


def _holds(root: Path, cache: Path, said: set[int]) -> None:
    store = open_store(root, cache)
    held = store.history()
    assert held["version_id"].is_unique().all()
    texts = held.filter(pl.col("superseded_at").is_null())["text"].to_list()
    assert len(texts) == len(set(texts))
    assert {text(number) for number in said} <= set(texts)
    store.flush()
    assert store.table.count() == held.height
    assert store.journal.pending() == 0


@pytest.mark.slow
def test_killed_at_random_moments_a_hundred_times(tmp_path: Path, cache: Path) -> None:
    import random
    import time

    chance = random.Random(7)
    for trial in range(100):
        root = tmp_path / str(trial)
        acknowledged = root.with_suffix(".told")
        process = _context().Process(target=_writer, args=(root, cache, str(acknowledged), "append", 10**6))
        process.start()
        time.sleep(chance.uniform(0.02, 0.5))
        process.kill()
        process.join()
        said = {int(line) for line in acknowledged.read_text().split()} if acknowledged.exists() else set()
        _holds(root, cache, said)


# --- many writers ----------------------------------------------------------------------------------------
def _says_the_same(root: Path, cache: Path, number: int) -> None:
    store = open_store(root, cache, flush_seconds=0.05)
    for key in range(PER_WRITER):
        store.remember(fact(key), NOW + timedelta(seconds=number))
    store.flush()


def test_eight_processes_saying_the_same_leave_no_duplicates(tmp_path: Path, cache: Path) -> None:
    processes = [_context().Process(target=_says_the_same, args=(tmp_path, cache, n)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    store = open_store(tmp_path, cache)
    assert store.count() == PER_WRITER
    store.flush()
    assert store.table.count() == PER_WRITER


def test_threads_that_write_and_recall_at_once_see_what_was_acknowledged(tmp_path: Path, cache: Path) -> None:
    store = open_store(tmp_path, cache, flush_seconds=0.02)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for key in range(number, PER_WRITER, 4):
                store.remember(fact(key), NOW)
                assert store.recall(text(key), k=1)[0].text == text(key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count() == PER_WRITER


def test_a_clock_that_goes_back_brings_no_disorder(tmp_path: Path, cache: Path) -> None:
    store = open_store(tmp_path, cache)
    store.remember(fact(0), NOW)
    store.remember(fact(1), NOW - timedelta(days=400))
    opened = open_store(tmp_path, cache)
    opened.remember(fact(2), NOW - timedelta(days=800))
    moments = opened.history()["recorded_at"].to_list()
    assert moments == sorted(set(moments))
    assert opened.history()["text"].to_list() == [text(0), text(1), text(2)]


def test_a_write_reaches_lancedb_within_a_flush_and_other_processes_at_once(tmp_path: Path, cache: Path) -> None:
    reader, writer = open_store(tmp_path, cache), open_store(tmp_path, cache, flush_seconds=0.05)
    assert reader.count() == 0
    writer.remember(fact(0), NOW)
    assert reader.count() == 1
    assert [hit.text for hit in reader.recall(text(0))] == [text(0)]
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not writer.table.count() and datetime.now(UTC) < deadline:
        threading.Event().wait(0.02)
    assert writer.table.count() == 1


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liftos_pipelines.resources.memory_store", "lancedb", __name__])
    return context


def _in_a_process(work: Callable, *arguments: object, dies: bool = False) -> str:
    context = _context()
    told = context.Queue()
    more = () if dies else (told,)
    process = context.Process(target=work, args=(*arguments, *more))
    process.start()
    answer = "" if dies else told.get(timeout=60)
    process.join(60)
    assert process.exitcode == (-signal.SIGKILL if dies else 0)
    return json.loads(json.dumps(answer))
