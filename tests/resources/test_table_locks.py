"""One writer a table: threads and processes take turns, a process that dies lets go."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from liftos_pipelines.clients import ClientError
from liftos_pipelines.resources.table_locks import TableLocked, lock_step, table_lock, unlock_step
from liftos_pipelines.settings import clients_folder

HOLD = """
import sys, time
from liftos_pipelines.resources.table_locks import TableLock
TableLock("acme", "memory/items").acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFTOS_HOME", str(tmp_path))
    monkeypatch.delenv("LIFTOS_LAKE_URI", raising=False)


def test_two_threads_take_turns_and_other_tables_are_free() -> None:
    at_work, most = 0, 0

    def write() -> None:
        nonlocal at_work, most
        for _ in range(5):
            with table_lock("acme", "memory/items"):
                at_work += 1
                most = max(most, at_work)
                time.sleep(0.002)
                at_work -= 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    with table_lock("acme", "memory/items"), table_lock("bolt", "memory/items", 0), table_lock("acme", "x/y", 0):
        pass


def test_another_process_waits_and_its_death_lets_go() -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with (
        pytest.raises(TableLocked, match="acme/memory/items has been written by another run"),
        table_lock("acme", "memory/items", 0.1),
    ):
        pass
    child.kill()
    child.wait()
    with table_lock("acme", "memory/items", 1):
        pass


def test_a_step_that_failed_before_its_table_was_stored_does_not_hold_the_next_one_up() -> None:
    (clients_folder() / "acme").mkdir(parents=True)
    lock_step("acme", "memory/items")
    with pytest.raises(TableLocked), table_lock("acme", "memory/items", 0):
        pass
    assert lock_step("acme", "memory/items", patience=0.5) < 0.5
    unlock_step()
    with table_lock("acme", "memory/items", 0):
        pass


def test_a_client_that_is_not_there_leaves_no_lock_behind(tmp_path: Path) -> None:
    assert lock_step("nobody", "memory/items") == lock_step("../x", "memory/items") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_client_id_locks_nothing() -> None:
    with pytest.raises(ClientError), table_lock("../acme", "memory/items"):
        pass
