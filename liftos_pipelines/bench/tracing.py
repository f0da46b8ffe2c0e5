"""What observing costs: the same Dagster step traced and untraced in turn, one span, and what a kill loses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, p95_interval
from liftos_pipelines.bench.temporary_home import temporary_home

PAIRS, PAIRS_A_RUN, BLOCK = 200, 20, 5
SPANS = 20_000
ORIGINAL_US = 29.0
"""The original tracer's cost of a span, the middle of the 27 to 31 us measured of its code."""
KILLS = 3
KILLED = """
import sys, time
from liftos_pipelines.spine.tracing import span
number = 0
while True:
    with span("tick", correlation_id="c", attributes={"number": number}): pass
    number += 1
    sys.stdout.write(f"{number} {time.time_ns()}\\n"); sys.stdout.flush()
    time.sleep(0.002)
"""


def measure(_: Path) -> Iterator[Figure]:
    """Overhead a step (paired), cost of a span beside the original tracer's, loss on an orderly end and on a kill."""
    with temporary_home() as (home, _instance):
        (home / "product").mkdir()
        # As dagster.yaml has it: the stock storage opens a file for each event, which drowns what is looked for.
        storage = {
            "module": "liftos_pipelines.instance_storage",
            "class": "KeptSqliteStorage",
            "config": {"base_dir": str(home / "product")},
        }
        logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
        overrides = {"storage": {"custom": storage}, "compute_logs": logs}
        with _switched("local"), dg.DagsterInstance.local_temp(str(home / "product"), overrides) as instance:
            own: list[float] = []
            yield from _overhead(*_paired(instance, own), np.array(own))
            yield from _one_span()
        yield from _losses(home)


def _paired(instance: dg.DagsterInstance, own: list[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wall ms of the same step untraced and traced; (PAIRS,) each.

    Pairs of one step without and with the wrapper stand side by side in runs of `PAIRS_A_RUN` pairs, which of the two
    comes first drawn by lot. A step is timed as Dagster does it, from its start to its success in the event log,
    storing its output and the metadata that tracing adds included. `own` gets the wrapper's own CPU ms in each
    traced step: its thread's from call to return less that of the function within.
    """
    rng = np.random.default_rng(7)
    instance.add_dynamic_partitions("clients", ["acme"])
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    plain: list[float] = []
    traced: list[float] = []
    for turn in range(PAIRS // PAIRS_A_RUN + 1):
        first = rng.random(PAIRS_A_RUN) < 0.5
        within: list[float] = []
        names = [(pair, place) for pair in range(PAIRS_A_RUN) for place in "ab"]
        steps = [_step(f"s{pair:02d}{place}", (place == "a") == first[pair], within) for pair, place in names]
        job = dg.Definitions(
            assets=steps, resources={"lake_io": dg.InMemoryIOManager()}
        ).resolve_implicit_global_asset_job_def()
        tags = {"liftos/correlation": f"bench-{turn}"}
        ran = job.execute_in_process(instance=instance, partition_key="acme", run_config=quiet, tags=tags)
        if turn == 0:
            continue  # imports and first writes are nobody's overhead
        own += within
        taken = _durations(instance, ran.run_id)
        for pair in range(PAIRS_A_RUN):
            one, other = taken[f"bench__s{pair:02d}a"], taken[f"bench__s{pair:02d}b"]
            traced.append(one if first[pair] else other)
            plain.append(other if first[pair] else one)
    return np.array(plain), np.array(traced)


def _step(name: str, traced: bool, own: list[float]) -> dg.AssetsDefinition:
    from liftos_pipelines.assets.common import result
    from liftos_pipelines.assets.observed import observed
    from liftos_pipelines.clients import clients_partitions

    within = [0.0]

    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult[pl.DataFrame]:
        began = time.thread_time()
        made = result(pl.DataFrame({"note_id": ["a", "b"]}))
        within[0] = time.thread_time() - began
        return made

    watched = observed(f"bench/{name}", step)

    @wraps(step)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        made = watched(*args, **kwargs)
        own.append((time.thread_time() - began - within[0]) * 1000)
        return made

    declare = dg.asset(key=["bench", name], partitions_def=clients_partitions, io_manager_key="lake_io")
    return declare(timed if traced else step)


def _durations(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    began: dict[str, float] = {}
    taken: dict[str, float] = {}
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type_value == "STEP_START":
            began[event.step_key] = entry.timestamp
        elif event.event_type_value == "STEP_SUCCESS":
            taken[event.step_key] = (entry.timestamp - began[event.step_key]) * 1000
    return taken


def _overhead(plain: NDArray[np.float64], traced: NDArray[np.float64], own: NDArray[np.float64]) -> Iterator[Figure]:
    for share, name in ((50, "p50"), (95, "p95")):
        low, high = _difference_interval(plain, traced, share)
        yield Figure(
            benchmark="tracing",
            name=f"added to an asset step, {name}",
            value=float(np.percentile(traced, share) - np.percentile(plain, share)),
            low=low,
            high=high,
            unit="ms",
            n=PAIRS,
            goal="< 6 ms, target 1",
            method="difference of percentiles, one Dagster step traced and untraced side by side, in random order, "
            "on the embedded storage; interval by bootstrap over pairs in blocks of five",
            baseline=f"the untraced step, {name}",
            baseline_value=float(np.percentile(plain, share)),
        )
    value, low, high = p95_interval(own)
    yield Figure(
        benchmark="tracing",
        name="the wrapper's own work in an asset step, p95",
        value=value,
        low=low,
        high=high,
        unit="ms",
        n=own.size,
        goal="< 6 ms, target 1",
        method="CPU time of the step's thread in the wrapper less that of the asset's function, in the same traced "
        "steps: free of what else the machine does",
    )


def _difference_interval(
    plain: NDArray[np.float64], traced: NDArray[np.float64], share: float, replicates: int = 2000
) -> tuple[float, float]:
    """90 % interval of a difference of percentiles; neighbours in time share their load, so blocks are drawn."""
    rng = np.random.default_rng(11)
    blocks = np.arange(plain.size).reshape(-1, BLOCK)
    drawn = blocks[rng.integers(0, len(blocks), size=(replicates, len(blocks)))].reshape(replicates, -1)
    found = np.percentile(traced[drawn], share, axis=1) - np.percentile(plain[drawn], share, axis=1)
    low, high = np.percentile(found, [5, 95])
    return float(low), float(high)


def _one_span() -> Iterator[Figure]:
    from liftos_pipelines.spine import telemetry
    from liftos_pipelines.spine.tracing import span

    attributes = {"liftos.client": "acme", "liftos.asset": "sources/notes"}
    walls, works = [], []
    for _ in range(SPANS // 1000):
        began, worked = time.perf_counter(), time.thread_time()
        for _ in range(1000):
            with span("bench", correlation_id="bench", attributes=attributes) as spanned:
                spanned.set_attribute("liftos.rows", 2)
        walls.append((time.perf_counter() - began) * 1e3)
        works.append((time.thread_time() - worked) * 1e3)
    telemetry.flush()
    for name, costs, method in (
        ("one span, wall", walls, "spans without a pause in one thread, the background writer at work meanwhile"),
        ("one span, work of the thread that opens it", works, "CPU time of that thread in the same spans"),
    ):
        drawn = np.random.default_rng(3).choice(costs, size=(2000, len(costs)))
        low, high = np.percentile(np.median(drawn, axis=1), [5, 95])
        yield Figure(
            benchmark="tracing",
            name=name,
            value=float(np.median(costs)),
            low=float(low),
            high=float(high),
            unit="us",
            n=SPANS,
            method=f"{method}; median of batches of 1,000",
            baseline="the original tracer, measured once of its code (kept in memory only)",
            baseline_value=ORIGINAL_US,
        )


def _losses(home: Path) -> Iterator[Figure]:
    from liftos_pipelines.spine.telemetry import telemetry_file
    from liftos_pipelines.spine.telemetry_store import TelemetryStore

    environment = os.environ | {"LIFTOS_TRACING": "local", "LIFTOS_HOME": str(home)}
    orderly = KILLED.replace("while True", "while number < 500").replace("time.sleep(0.002)", "pass")
    store = TelemetryStore(telemetry_file(home))

    def ticks() -> dict[int, int]:
        return {int(each.attributes["number"]): each.end_ns for each in store.spans(limit=10**6) if each.name == "tick"}

    before = len([each for each in store.spans(limit=10**6) if each.name == "tick"])
    subprocess.run([sys.executable, "-c", orderly], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    after = len([each for each in store.spans(limit=10**6) if each.name == "tick"])
    yield Figure(
        benchmark="tracing",
        name="spans lost when a process ends in order",
        value=float(500 - (after - before)),
        unit="spans",
        n=500,
        goal="0",
        method="a process of its own ends right after its last span",
    )
    worst: list[float] = []
    for _ in range(KILLS):
        store.file.unlink(missing_ok=True)
        for suffix in ("-wal", "-shm"):
            Path(f"{store.file}{suffix}").unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED], env=environment, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert child.stdout is not None
        told: list[tuple[int, int]] = []
        until = time.monotonic() + 3.0 + np.random.default_rng(len(worst)).uniform(0, 1)
        while time.monotonic() < until:
            number, at = child.stdout.readline().split()
            told.append((int(number), int(at)))
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
        kept = ticks()
        last = max(kept.values(), default=told[0][1])
        missing_before = [number for number in range(max(kept, default=-1)) if number not in kept]
        worst.append((told[-1][1] - last) / 1e9 if not missing_before else float("inf"))
    yield Figure(
        benchmark="tracing",
        name="spans lost by kill -9, as the time before it",
        value=float(max(worst)),
        unit="s",
        n=KILLS,
        goal="<= 1 s, one flush interval",
        method="the largest age of what was lost; a span every 2 ms, killed 3 to 4 s after its start",
    )


@contextmanager
def _switched(setting: str) -> Iterator[Any]:
    before = os.environ.get("LIFTOS_TRACING")
    os.environ["LIFTOS_TRACING"] = setting
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LIFTOS_TRACING", None)
        else:
            os.environ["LIFTOS_TRACING"] = before
