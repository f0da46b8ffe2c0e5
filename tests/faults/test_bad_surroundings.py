"""A full disk, a locked database, a clock that goes back, weights that are missing: the right state or a clear word."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fault_house import FaultHouse, house_at

import liftos_pipelines.reactor.dispatcher as dispatching

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """The prepared home on a disk of its own; skipped where this user may not mount one."""
    needed = sum(file.stat().st_size for file in prepared.rglob("*") if file.is_file())
    point = tmp_path / "disk"
    point.mkdir()
    size = f"size={needed // 2**20 * 2 + 96}m"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(point)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(prepared, point / "h", ignore=shutil.ignore_patterns("*.sock", "reactor.json"))
        yield point / "h"
    finally:
        subprocess.run(["umount", "-l", str(point)], check=False)


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 65536)
        except OSError:
            pass
    return filler


def test_a_full_disk_loses_nothing_and_the_events_are_answered_when_there_is_room(small_disk: Path) -> None:
    with house_at(small_disk) as house:
        at_work = house.dispatcher()
        events = [house.raise_drop()]
        at_work.turn()
        house.assert_each_once(events)
        events.append(house.raise_drop())
        filler = _fill(small_disk)
        try:
            at_work.turn()
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            assert "full" in told or "space" in told or "I/O" in told, told
        filler.unlink()
        deadline = time.monotonic() + 60
        while not house.answered(events) and time.monotonic() < deadline:
            house.dispatcher().turn()
            time.sleep(0.5)
        house.assert_each_once(events)


HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_a_spine_locked_for_ten_seconds_delays_the_chain_and_breaks_nothing(house: FaultHouse) -> None:
    at_work = house.dispatcher()
    events = [house.raise_drop()]
    at_work.turn()
    events.append(house.raise_drop())
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(house.home / "spine.db"), "10"], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "held"
    began = time.monotonic()
    at_work.turn()
    assert time.monotonic() - began > 5
    other.wait()
    house.assert_each_once(events)


def test_a_clock_that_goes_back_an_hour_changes_no_order_and_no_answer(
    house: FaultHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = house.dispatcher()
    events = [house.raise_drop()]
    at_work.turn()

    class Back(datetime):
        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def,override]
            return datetime.now(tz or UTC) - timedelta(hours=1)

    monkeypatch.setattr(dispatching, "datetime", Back)
    events += [house.raise_drop(), house.raise_drop()]
    house.dispatcher().turn()
    house.assert_each_once(events)


def test_missing_weights_are_named_with_the_fix_and_the_event_waits(
    house: FaultHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFTOS_EMBEDDER_PATH", str(tmp_path / "nothing"))
    event = house.raise_drop()
    house.dispatcher().turn()
    # What needs no encoder is done; the rest waits with the reason, or is done without and says so.
    assert house.spine.is_handled(event.event_id, "causal/impact")
    waiting = [each for each in house.spine.pending("demo", "memory/items") if each.attempts]
    if house.open_of(event):
        assert waiting
        assert "LIFTOS_EMBEDDER_PATH" in str(waiting[0].reason)
    monkeypatch.delenv("LIFTOS_EMBEDDER_PATH")
    deadline = time.monotonic() + 60
    while not house.answered([event]) and time.monotonic() < deadline:
        house.dispatcher().turn()
        time.sleep(0.5)
    house.assert_each_once([event])


def test_a_reader_beside_a_chain_never_locks_it(house: FaultHouse) -> None:
    """Long reads of Dagster's and the spine's files, as a backup makes them, while events are answered."""
    stop = threading.Event()

    def read() -> None:
        with sqlite3.connect(house.home / "spine.db") as connection:
            while not stop.is_set():
                connection.execute("SELECT count(*) FROM events, events AS more").fetchall()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    events = [house.raise_drop() for _ in range(2)]
    house.dispatcher().turn()
    stop.set()
    reader.join(timeout=10)
    house.assert_each_once(events)
