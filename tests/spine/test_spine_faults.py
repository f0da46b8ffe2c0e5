"""A locked, full or broken database: nothing half-written, nothing twice, and an error that says what to do."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from liftos_pipelines.spine.database import NewEvent, Spine, SpineBusy, SpineError, SpineUnwritable
from liftos_pipelines.spine.payloads import CampaignStarted

NOW = datetime(2025, 6, 1, tzinfo=UTC)
R, TYPES = "memory/patterns", ("campaign_started",)


def started(campaign: str, name: str = "Spring") -> CampaignStarted:
    return CampaignStarted(campaign_id=campaign, name=name, start=date(2025, 5, 1))


def new(count: int, name: str = "Spring") -> list[NewEvent]:
    return [NewEvent(client="acme", payload=started(f"c{n}", name), occurred_at=NOW) for n in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spine.db"
    Spine(f"sqlite:///{path}").engine.dispose()
    return path


def test_a_writer_waits_for_another_and_gives_up_with_what_to_do(file: Path) -> None:
    spine = Spine(f"sqlite:///{file}", busy_seconds=0.3)
    other = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpineBusy, match=r"held the spine's write lock.*Nothing was written.*lsof"):
        spine.raise_event("acme", started("c1"), occurred_at=NOW)
    with pytest.raises(SpineBusy):
        spine.append_ledger("acme", "decision", "x", {}, idempotency_key="k")
    assert spine.events("acme") == []  # reading goes on meanwhile
    patient = Spine(f"sqlite:///{file}", busy_seconds=20)
    threading.Timer(0.5, lambda: other.execute("COMMIT")).start()
    began = time.monotonic()
    patient.raise_event("acme", started("c1"), occurred_at=NOW)
    assert time.monotonic() - began > 0.3
    assert len(spine.events("acme")) == 1


FULL = """
import resource, signal, sys
from datetime import UTC, datetime
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.spine.test_spine_faults import new
from liftos_pipelines.spine.database import Spine, SpineUnwritable
spine = Spine(sys.argv[1])
spine.raise_events(new(20))
room = 400_000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    spine.raise_events(new(2000, "x" * 2000)[20:])
except SpineUnwritable as error:
    print(error)
    print(len(spine.events("acme")))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    spine.raise_events(new(40))
    print(len(spine.events("acme")))
"""


def test_a_full_disk_leaves_nothing_half_written_and_names_file_and_fix(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    lines = done.stdout.strip().splitlines()
    assert lines[1:] == ["20", "40"], done.stderr
    assert str(file) in lines[0]
    assert "free space" in lines[0]


def test_what_is_no_database_says_so(tmp_path: Path) -> None:
    file = tmp_path / "spine.db"
    file.write_text("this is a text file, whatever its name says. " * 100)
    with pytest.raises(SpineUnwritable, match="is not a readable SQLite database"):
        Spine(f"sqlite:///{file}")


def test_a_file_that_may_not_be_written_says_so(file: Path) -> None:
    spine = Spine(f"sqlite:///{file}")
    with spine.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(SpineUnwritable, match="is read-only"):
        spine.raise_event("acme", started("c1"), occurred_at=NOW)


def test_a_burst_in_one_transaction_is_there_once_whole_and_in_order(spine: Spine) -> None:
    burst = new(1000)
    first = spine.raise_events(burst)
    assert [event.payload for event in first] == [each.payload for each in burst]
    assert [event.seq for event in first] == sorted(event.seq for event in first)
    assert spine.raise_events(burst) == first
    assert len(spine.events("acme")) == 1000
    seen: list[str] = []
    while part := spine.due(R, TYPES, now=NOW, limit=300):
        seen += [event.event_id for event in part]
        assert spine.dismiss([event.event_id for event in part], R) == len(part)
    assert seen == [event.event_id for event in first]


def test_one_event_that_may_not_be_raised_keeps_all_of_its_transaction_out(spine: Spine) -> None:
    foreign = NewEvent(client="../globex", payload=started("x"), occurred_at=NOW)
    with pytest.raises(ValueError, match="client"):
        spine.raise_events([*new(3), foreign])
    assert spine.newest_seq() == 0


def test_writers_on_two_connections_raise_each_event_once(url: str) -> None:
    spines = [Spine(url), Spine(url)]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda turn: spines[turn % 2].raise_events(new(50)), range(8)))
    assert all(each == told[0] for each in told)
    assert len(spines[0].events("acme")) == 50
    for spine in spines:
        spine.engine.dispose()


def test_failures_and_answers_noted_side_by_side_never_stop_one_another(spine: Spine) -> None:
    ids = [event.event_id for event in spine.raise_events(new(30))]
    spine.due(R, TYPES, now=NOW)

    def work(turn: int) -> None:
        for _ in range(10):
            if turn % 2:
                spine.note_failure(ids, R, "x", now=NOW, run_id="one run")
            else:
                spine.dismiss(ids[turn::3], R)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    left = spine.pending("acme", R)
    assert all(waiting.attempts == 1 for waiting in left)
    handled = sum(spine.is_handled(event_id, R) for event_id in ids)
    assert len(left) + handled == len(ids)


def test_a_database_of_the_version_before_keeps_what_was_handled(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    import liftos_pipelines.spine as room

    url = f"sqlite:///{tmp_path / 'old.db'}"
    config = Config()
    config.set_main_option("script_location", str(Path(room.__file__).parent / "migrations"))
    engine = create_engine(url)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number in range(2):
            connection.exec_driver_sql(
                "INSERT INTO events (event_id, client, type, occurred_at, recorded_at, payload, correlation_id) "
                "VALUES (?, 'acme', 'campaign_started', '2025-01-01 00:00:00', '2025-01-01 00:00:00', ?, 'c')",
                (f"e{number}", started(f"c{number}").model_dump_json()),
            )
        connection.exec_driver_sql("INSERT INTO handled VALUES ('e0', ?, '2025-01-02 00:00:00')", (R,))
        connection.commit()
    engine.dispose()
    spine = Spine(url)
    assert [event.event_id for event in spine.due(R, TYPES, now=NOW)] == ["e1"]
    assert spine.raise_event("acme", started("c2"), occurred_at=NOW).seq == 3


def test_what_is_told_together_stands_together(spine: Spine) -> None:
    event = spine.raise_event("acme", started("a"), occurred_at=NOW)
    spine.tell(new(3), [(event.event_id, R), (event.event_id, R)])
    spine.tell(new(3), [(event.event_id, R)])
    assert len(spine.events("acme")) == 4
    assert spine.is_handled(event.event_id, R)
    spine.tell([], [])
    with pytest.raises(SpineError, match="no event"):
        spine.id_of("acme", "zzzz")
