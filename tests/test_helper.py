"""A helper process changes where a call runs, never what it gives; without one, or when it dies, all runs here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines import helper
from liftos_pipelines.checks.expectations import Verdict, judge
from liftos_pipelines.checks.suites import rules_of
from liftos_pipelines.modules.sources.rows import FILE, ROW

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "mention_id": ["a", "b", "b"],
        "published_at": [datetime(2024, 5, 31, tzinfo=UTC), datetime(1924, 1, 1, tzinfo=UTC), None],
        "engagement": [1.0, -2.0, 0.0],
        FILE: ["m.csv"] * 3,
        ROW: [2, 3, 4],
    }
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper finds the functions of this file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


class Awkward(Exception):
    """Survives the way out of a process, not the way in."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def refuse(path: str) -> None:
    raise FileNotFoundError(path)


def be_awkward() -> None:
    raise Awkward("quite", "awkward")


def die_unless_in(process: int) -> int:
    if os.getpid() != process:
        os.kill(os.getpid(), signal.SIGKILL)
    return process


def verdicts() -> list[Verdict]:
    return judge("sources/mentions", ROWS, rules_of("sources/mentions", NOW))


def test_checks_are_the_same_with_and_without_a_helper() -> None:
    alone = verdicts()
    with helper.helping([helper.SUITES]) as running:
        assert running is not None
        assert helper.call(os.getpid) == running.process.pid
        assert verdicts() == alone
    assert {verdict.check for verdict in alone if not verdict.passed} >= {"keys_unique", "engagement_not_negative"}


def test_without_a_helper_a_call_runs_here() -> None:
    assert helper.call(os.getpid) == os.getpid()
    with helper.helping([]) as running:
        assert running is None
        assert helper.call(os.getpid) == os.getpid()


def test_errors_come_through_with_their_own_kind_and_the_helper_stays() -> None:
    with helper.helping(["math:sqrt"]):  # cannot be prepared: told by nobody, harms nobody
        with pytest.raises(FileNotFoundError, match="nowhere"):
            helper.call(refuse, "nowhere")
        with pytest.raises(RuntimeError, match="Awkward: quite awkward"):
            helper.call(be_awkward)
        assert helper.call(os.getpid) != os.getpid()


def test_a_helper_that_dies_leaves_the_work_to_this_process(caplog: pytest.LogCaptureFixture) -> None:
    with helper.helping(["math:sqrt"]):
        waiting = helper.submit(die_unless_in, os.getpid())
        assert waiting() == os.getpid()
        assert "going on without it" in caplog.text
        assert helper.call(os.getpid) == os.getpid()


def test_a_helper_that_cannot_start_is_told_and_not_needed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with helper.helping([helper.SUITES]) as running:
        assert running is None
        assert helper.call(os.getpid) == os.getpid()
    assert "no helper process" in caplog.text


def test_a_call_the_helper_cannot_read_is_an_error_and_not_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    with helper.helping(["math:sqrt"]):
        with pytest.raises(ModuleNotFoundError, match=__name__):
            helper.call(be_awkward)
        assert helper.call(os.getpid) != os.getpid()


def test_answers_find_their_calls_in_any_order() -> None:
    with helper.helping(["math:sqrt"]):
        first, second = helper.submit(abs, -1), helper.submit(abs, -2)
        assert (second(), first()) == (2, 1)


def test_it_imports_here_what_comes_later_while_it_waits() -> None:
    sys.modules.pop("colorsys", None)
    with helper.helping(["math:sqrt"]):
        helper.foresee(prepare=["no.such:thing"], imports=["no.such.module", "colorsys"])
        assert helper.call(pow, 2, 3) == 8
        helper.submit(time.sleep, 0.3)()
    assert "colorsys" in sys.modules


def test_the_helper_ends_with_its_run_even_a_killed_one() -> None:
    code = (
        "import os, signal; from liftos_pipelines import helper\n"
        "with helper.helping(['math:sqrt']) as running:\n"
        "    helper.call(abs, 1); print(running.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    for _ in range(100):
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
        time.sleep(0.1)
    pytest.fail("the helper outlived its run")


def test_the_helper_does_not_import_dagster() -> None:
    code = "import sys; import liftos_pipelines.checks.evaluation, liftos_pipelines.resources.mlflow_store\n"
    code += "print('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
