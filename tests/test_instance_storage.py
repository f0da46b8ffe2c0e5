"""The kept-open SQLite storage is Dagster's own in all but its connections: each reads what the other wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from liftos_pipelines.instance_storage import FILES_HELD_OPEN, KeptEventLog

PROJECT = Path(__file__).resolve().parents[1]
STOCK = "storage: {sqlite: {base_dir: {env: LIFTOS_DAGSTER_STORAGE}}}\n"


@dg.asset
def one() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"number": 1.0})


@dg.asset_check(asset=one)
def judged() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that dagster.yaml describes."""
    monkeypatch.setenv("LIFTOS_DAGSTER_STORAGE", str(home / "dagster"))
    with dg.DagsterInstance.from_config(str(PROJECT)) as instance:
        yield instance


def stock(home: Path) -> dg.DagsterInstance:
    folder = home / "stock"
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(STOCK)
    return dg.DagsterInstance.from_config(str(folder))


def seen(instance: dg.DagsterInstance, run_id: str) -> list[str | None]:
    return [entry.dagster_event and entry.dagster_event.event_type_value for entry in instance.all_logs(run_id)]


def held_open() -> int:
    return sum(".db" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd))


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_each_reads_what_the_other_wrote(kept: dg.DagsterInstance, home: Path) -> None:
    assert isinstance(kept.event_log_storage, KeptEventLog)
    ours = dg.materialize([one, judged], instance=kept)
    with stock(home) as other:
        assert seen(other, ours.run_id) == seen(kept, ours.run_id)
        assert "ASSET_CHECK_EVALUATION" in seen(other, ours.run_id)
        run = other.get_run_by_id(ours.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        theirs = dg.materialize([one, judged], instance=other)
    assert seen(kept, theirs.run_id)[-1] == "PIPELINE_SUCCESS"
    latest = kept.get_latest_materialization_event(one.key)
    assert latest is not None
    assert latest.run_id == theirs.run_id


def test_many_runs_do_not_hold_many_files_open(kept: dg.DagsterInstance) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are counted in /proc")
    before = held_open()
    for _ in range(FILES_HELD_OPEN + 4):
        kept.event_log_storage.get_logs_for_run(dg.materialize([one], instance=kept).run_id)
    # A database in WAL mode is three files; the run storage holds one database more.
    assert held_open() - before <= 3 * (FILES_HELD_OPEN + 2)


def test_a_wiped_storage_starts_afresh(kept: dg.DagsterInstance) -> None:
    first = dg.materialize([one], instance=kept)
    kept.event_log_storage.wipe()
    assert seen(kept, first.run_id) == []
    second = dg.materialize([one], instance=kept)
    assert seen(kept, second.run_id)[-1] == "PIPELINE_SUCCESS"


def test_a_forked_process_opens_its_own(kept: dg.DagsterInstance) -> None:
    run_id = dg.materialize([one], instance=kept).run_id
    before = seen(kept, run_id)
    child = os.fork()
    if child == 0:
        os._exit(0 if seen(kept, run_id) == before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert seen(kept, run_id) == before
