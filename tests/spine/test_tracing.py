"""Spans: one trace a correlation, parents that are right under threads and generators, nothing lost, nothing failed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from liftos_pipelines.spine import telemetry, tracing
from liftos_pipelines.spine.telemetry_ids import trace_id_of
from liftos_pipelines.spine.telemetry_store import SpanRecord, TelemetryStore
from liftos_pipelines.spine.tracing import span


@pytest.fixture
def recorded(home: Path):  # type: ignore[no-untyped-def]
    """What was written so far, by name."""

    def read() -> dict[str, SpanRecord]:
        telemetry.flush()
        return {each.name: each for each in TelemetryStore(telemetry.telemetry_file()).spans()}

    yield read
    telemetry.shutdown()


def test_a_correlation_is_one_trace_whoever_opens_the_span(recorded) -> None:  # type: ignore[no-untyped-def]
    with span("first", correlation_id="c1"), span("below"):
        pass
    thread = threading.Thread(target=lambda: span("elsewhere", correlation_id="c1").__enter__()._span.end())
    thread.start()
    thread.join()
    spans = recorded()
    assert {each.trace_id for each in spans.values()} == {f"{trace_id_of('c1'):032x}"}
    assert spans["below"].parent_id == spans["first"].span_id
    assert spans["first"].parent_id is None
    assert spans["elsewhere"].parent_id is None
    assert {each.correlation_id for each in spans.values()} == {"c1"}


def test_work_for_another_correlation_begins_in_its_own_trace_and_links_back(recorded) -> None:  # type: ignore[no-untyped-def]
    with span("batch", correlation_id="run"), span("decision", correlation_id="event"), span("inside"):
        pass
    spans = recorded()
    assert spans["decision"].trace_id == f"{trace_id_of('event'):032x}" != spans["batch"].trace_id
    assert spans["decision"].parent_id is None
    assert spans["decision"].links == [spans["batch"].span_id]
    assert spans["inside"].parent_id == spans["decision"].span_id


def test_concurrent_spans_are_never_mis_parented(recorded) -> None:  # type: ignore[no-untyped-def]
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        ready.wait()
        for turn in range(20):
            with span(f"outer {number} {turn}", correlation_id=f"c{number}"), span(f"inner {number} {turn}"):
                time.sleep(0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = recorded()
    assert len(spans) == 8 * 20 * 2
    for number in range(8):
        for turn in range(20):
            outer, inner = spans[f"outer {number} {turn}"], spans[f"inner {number} {turn}"]
            assert outer.parent_id is None
            assert inner.parent_id == outer.span_id
            assert inner.trace_id == outer.trace_id == f"{trace_id_of(f'c{number}'):032x}"


def test_a_run_in_another_process_continues_below_the_span_that_asked_for_it(recorded) -> None:  # type: ignore[no-untyped-def]
    with span("reaction", correlation_id="c9"):
        tags = tracing.run_tags("c9")
    with span("asset", correlation_id=tags[tracing.CORRELATION_TAG], traceparent=tags[tracing.TRACEPARENT_TAG]):
        pass
    with span("torn", correlation_id="c9", traceparent="00-not-a-traceparent-01"):
        pass
    spans = recorded()
    assert spans["asset"].parent_id == spans["reaction"].span_id
    assert spans["asset"].trace_id == spans["reaction"].trace_id
    assert spans["torn"].parent_id is None


def test_an_error_is_noted_on_its_span_and_raised_on(recorded) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ZeroDivisionError), span("careless", correlation_id="c"):
        _ = 1 / 0
    found = recorded()["careless"]
    assert found.status == "error"
    assert found.attributes["error.type"] == "ZeroDivisionError"
    assert found.events[0]["attributes"]["exception.message"] == "division by zero"
    assert tracing.correlation_id() is None


def test_a_table_written_after_its_step_hangs_below_that_step(recorded) -> None:  # type: ignore[no-untyped-def]
    with span("asset a/b", correlation_id="c"):
        tracing.remember_step("run-1", "a/b")
    with span("write", step=("run-1", "a/b")):
        pass
    spans = recorded()
    assert spans["write"].parent_id == spans["asset a/b"].span_id
    assert spans["write"].correlation_id == "c"


def test_switched_off_it_writes_nothing_and_still_hands_out_spans(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFTOS_TRACING", "off")
    with span("quiet", correlation_id="c") as quiet:
        quiet.set_attribute("a", 1)
        quiet.add_event("b")
        quiet.fail("c")
    telemetry.flush()
    assert not telemetry.telemetry_file().exists()


def test_a_damaged_or_locked_file_costs_the_work_nothing_and_is_said_once(
    recorded, caplog: pytest.LogCaptureFixture
) -> None:  # type: ignore[no-untyped-def]
    with span("before", correlation_id="c"):
        pass
    assert "before" in recorded()
    telemetry.health.said.clear()
    other = sqlite3.connect(telemetry.telemetry_file(), timeout=0)
    other.execute("BEGIN EXCLUSIVE")
    for name in ("locked 1", "locked 2"):
        with span(name, correlation_id="c"):
            pass
        telemetry.flush()
    other.rollback()
    other.close()
    assert sum("spans cannot be stored" in each.message for each in caplog.records) == 1
    # Nothing is lost when the file can be written again.
    with span("after", correlation_id="c"):
        pass
    assert {"locked 1", "locked 2", "after"} <= set(recorded())
    telemetry.shutdown()
    telemetry.telemetry_file().write_bytes(b"this is not a database" * 100)
    with span("on rubbish", correlation_id="c"):
        done = True
    telemetry.shutdown()
    assert done
    assert telemetry.health.lost_spans >= 1


def test_a_full_disk_costs_the_work_nothing(home: Path) -> None:
    script = """
import resource, signal, sys
from liftos_pipelines.spine import telemetry
from liftos_pipelines.spine.tracing import span
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with span("fits", correlation_id="c"): pass
telemetry.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
for number in range(3000):
    with span("does not fit", correlation_id="c", attributes={"text": "x" * 400}): pass
telemetry.flush()
assert telemetry.health.errors, "the limit was not met"
print("done", len(telemetry.health.said))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.startswith("done"), ended.stderr
    assert ended.returncode == 0
    assert ended.stderr.count("spans cannot be stored") == 1


def test_spans_of_an_orderly_end_are_all_there_and_a_kill_loses_one_interval_at_most(home: Path) -> None:
    script = """
import sys, time
from liftos_pipelines.spine.tracing import span
for number in range(int(sys.argv[1])):
    with span("early", correlation_id="c"): pass
print("early", flush=True)
if sys.argv[2] == "stay":
    time.sleep(2.0)
    for number in range(50):
        with span("late", correlation_id="c"): pass
    print("late", flush=True)
    time.sleep(60)
"""
    subprocess.run([sys.executable, "-c", script, "700", "leave"], check=True, timeout=60)
    store = TelemetryStore(telemetry.telemetry_file())
    assert len(store.spans()) == 700
    killed = subprocess.Popen([sys.executable, "-c", script, "300", "stay"], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "early\n"
    assert killed.stdout.readline() == "late\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=10)
    early = [each for each in store.spans() if each.name == "early"]
    assert len(early) == 1000
    # The late ones were written less than a flush interval before the kill: they may be gone, none half-written.
    assert len([each for each in store.spans() if each.name == "late"]) in range(51)


def test_a_forked_worker_writes_its_own_spans_and_not_its_parents(recorded) -> None:  # type: ignore[no-untyped-def]
    with span("parent", correlation_id="c"):
        child = os.fork()
        if child == 0:
            with span("child", correlation_id="c"):
                pass
            telemetry.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    telemetry.flush()
    names = [each.name for each in TelemetryStore(telemetry.telemetry_file()).spans()]
    assert sorted(names) == ["child", "parent"]


@pytest.mark.slow
def test_mlflow_keeps_its_traces_and_we_keep_ours(home: Path, recorded) -> None:  # type: ignore[no-untyped-def]
    import mlflow
    from opentelemetry import trace as global_trace

    before = global_trace.get_tracer_provider()
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    mlflow.set_experiment("traces")
    with span("ours", correlation_id="c"), mlflow.start_span("theirs"), span("ours within theirs"):
        pass
    mlflow.flush_trace_async_logging()
    (theirs,) = mlflow.search_traces(return_type="list")
    assert [each.name for each in theirs.data.spans] == ["theirs"]
    spans = recorded()
    assert set(spans) == {"ours", "ours within theirs"}
    assert spans["ours within theirs"].parent_id == spans["ours"].span_id
    assert global_trace.get_tracer_provider() is before
    shutil.rmtree(home / "mlruns", ignore_errors=True)


def test_old_spans_are_forgotten_and_their_number_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from liftos_pipelines.spine import telemetry_store

    monkeypatch.setattr(telemetry_store, "PRUNE_EVERY", 100)
    monkeypatch.setattr(telemetry_store, "KEEP_SPANS", 150)
    store, now = TelemetryStore(home / "t.db"), time.time_ns()

    def made(number: int, end: int) -> SpanRecord:
        return SpanRecord(
            trace_id="t", span_id=f"{number}", parent_id=None, name="n", start_ns=end - 5, end_ns=end, status="ok"
        )

    store.add_spans([made(0, now - 40 * 86_400_000_000_000)])
    store.add_spans([made(number, now) for number in range(1, 401)])
    kept = store.spans()
    assert len(kept) == 150
    assert kept[-1].span_id == "400"
