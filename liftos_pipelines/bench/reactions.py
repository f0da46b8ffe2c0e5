"""How long the loop takes: from an accepted event to the pattern stored, each hop a Dagster run in a real process.

The same chain is answered by the reactor (on SQLite and, where a server can be started, on PostgreSQL) and by stock
Dagster's sensors and launcher, on the demo world, in the same call.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from liftos_pipelines.bench.figure import Figure, p95_interval, unmeasured
from liftos_pipelines.bench.reaction_house import (
    CLIENT,
    instance_of,
    postgres_server,
    prepared_home,
    reactor,
    stock_services,
    until,
)

EVENTS, PEER_EVENTS, BURST, LAUNCHES, PEER_LAUNCHES = 24, 3, 1000, 10, 3
EVENT_SECONDS, PEER_SECONDS, BURST_SECONDS = 30.0, 150.0, 150.0
ASSETS = ("causal/impact", "agentic/proposals", "memory/items", "memory/patterns")
LAUNCHED = "agentic/registry"
WINDOWS = 14
"""Fortnights of the demo world with enough history before them."""


def measure(_: Path) -> Iterator[Figure]:
    """Sentiment drops, one at a time and a thousand at once."""
    with prepared_home() as home:
        with instance_of(home, "sqlite") as instance, reactor(home):
            taken = _chain(instance, EVENTS, "sqlite", EVENT_SECONDS)
            launched = [_launch(instance) for _ in range(LAUNCHES)]
            burst = _burst()
        with instance_of(home, "stock") as instance, stock_services(home) as workspace:
            peer = _patiently(instance)
            stock = [_launch(instance, workspace) for _ in range(PEER_LAUNCHES)]
        yield from _chain_figures("SQLite", taken, "< 2,000 ms", peer)
        yield from _burst_figures(burst)
        yield Figure(
            benchmark="reactions",
            name="a launched run of one asset, median",
            value=_ms(launched, 50),
            unit="ms",
            n=len(launched),
            method=f"{LAUNCHED} by instance.launch_run, until the run has ended, warm worker, SQLite",
            baseline=f"Dagster's own launcher, n = {len(stock)}",
            baseline_value=_ms(stock, 50),
        )
        yield from _on_postgres(home)


def _on_postgres(home: Path) -> Iterator[Figure]:
    with postgres_server() as server:
        if server is None:
            yield unmeasured("reactions", "event to pattern stored, PostgreSQL", "ms", "no server can be started here")
            return
        with instance_of(home, "postgres", server) as instance:
            instance.add_dynamic_partitions("clients", [CLIENT])
            with reactor(home):
                yield from _chain_figures("PostgreSQL", _chain(instance, EVENTS, "pg", EVENT_SECONDS), "< 500 ms", [])


# --- one at a time -----------------------------------------------------------------------------------------
def _chain(instance: dg.DagsterInstance, number: int, name: str, patience: float) -> list[float]:
    """Seconds from accepted to stored of each of `number` events; the first one, which warms, is left out."""
    seconds = []
    for count in range(number + 1):
        _quiet(instance)
        event = _raise([_drop(f"{name}-{count}", count)])[0]
        accepted = time.time()
        until(partial(_is_answered, event), patience, pause=0.01)
        seen = time.time()
        run_ids = until(partial(_finished, instance, event), patience, pause=0.02)
        stored = [_stored_at(instance, asset, run_ids) for asset in ASSETS]
        if any(moment is None for moment in stored):
            raise RuntimeError(f"{event.event_id}: not in Dagster's log: {dict(zip(ASSETS, stored, strict=True))}")
        seconds.append(max(seen, *(moment for moment in stored if moment is not None)) - accepted)
    return seconds[1:]


def _patiently(instance: dg.DagsterInstance) -> list[float]:
    """The peer's times; none when a loaded machine does not come to an end with it."""
    try:
        return _chain(instance, PEER_EVENTS, "stock", PEER_SECONDS)
    except TimeoutError:
        return []


def _drop(name: str, count: int) -> Any:
    from liftos_pipelines.spine.payloads import SentimentDropDetected

    start = datetime(2025, 3, 3, tzinfo=UTC) + timedelta(weeks=2 * (count % WINDOWS))
    return SentimentDropDetected(
        alert_id=f"bench-{name}",
        campaign_id="all",
        detected_at=start + timedelta(days=6),
        window_start=start.date(),
        window_end=(start + timedelta(days=13)).date(),
        severity=0.5,
        effect=-0.2,
        n=200,
    )


def _raise(payloads: list[Any]) -> list[Any]:
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.events import NewEvent

    events = [NewEvent(client=CLIENT, payload=payload, occurred_at=payload.detected_at) for payload in payloads]
    return open_spine().raise_events(events)


def _is_answered(event: Any) -> bool:
    """Whether the chain of one event has come to its end: its action is remembered."""
    from liftos_pipelines.resources.spine import open_spine

    spine = open_spine()
    after = spine.events(CLIENT, types=["agent_action_initiated"], after=event.seq)
    actions = [each for each in after if each.correlation_id == event.correlation_id]
    return bool(actions) and all(spine.is_handled(each.event_id, "memory/items") for each in actions)


def _finished(instance: dg.DagsterInstance, event: Any) -> set[str]:
    """The chain's runs, once all have succeeded."""
    runs = instance.get_runs(dg.RunsFilter(tags={"liftos/correlation": event.correlation_id}))
    wanted = {"causal/impact", "agentic/proposals", "memory/items"}
    done = {run.tags["liftos/reaction"]: run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS}
    return {run.run_id for run in done.values()} if wanted <= set(done) else set()


def _stored_at(instance: dg.DagsterInstance, asset: str, run_ids: set[str]) -> float | None:
    """When an asset was materialised by one of these runs, by Dagster's log."""
    for record in instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=20).records:
        if record.run_id in run_ids:
            return float(record.timestamp)
    return None


def _quiet(instance: dg.DagsterInstance) -> None:
    """Until no run is under way: other reactions follow the chain, such as a prediction noted for eval."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    quiet = 0
    while quiet < 3:
        quiet = 0 if instance.get_runs(under_way, limit=1) else quiet + 1
        time.sleep(0.1)


# --- many at once ------------------------------------------------------------------------------------------
def _burst() -> dict[str, float]:
    """A thousand events of one client appended at once."""
    from liftos_pipelines.resources.spine import open_spine

    spine = open_spine()
    events = _raise([_drop(f"burst-{number}", number) for number in range(BURST)])
    began, answered = time.perf_counter(), 0.0
    first = events[0].seq
    ids = {event.event_id for event in events}
    while time.perf_counter() - began < BURST_SECONDS:
        open_triggers = spine.open_among(sorted(ids), "causal/impact")
        if not open_triggers and not answered:
            answered = time.perf_counter() - began
        actions = spine.events(CLIENT, types=["agent_action_initiated"], after=first)
        impacts = spine.events(CLIENT, types=["causal_impact_identified"], after=first)
        rest = spine.open_among([each.event_id for each in impacts], "agentic/proposals")
        rest |= spine.open_among([each.event_id for each in actions], "memory/items")
        if answered and impacts and not rest:
            break
        time.sleep(0.25)
    whole = time.perf_counter() - began
    impacts = [each for each in impacts if each.causation_id in ids]
    acted = Counter(each.causation_id for each in actions)
    return {
        "lost": float(len(spine.open_among(sorted(ids), "causal/impact")) + len(rest)),
        "doubled": float(
            sum(times - 1 for times in Counter(each.causation_id for each in impacts).values())
            + sum(times - 1 for times in acted.values())
        ),
        "answered": answered or float("nan"),
        "seconds": whole,
    }


# --- launched runs -----------------------------------------------------------------------------------------
def _launch(instance: dg.DagsterInstance, workspace: Path | None = None) -> float:
    """Seconds from the launch of a run of one asset to its end."""
    from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths

    from liftos_pipelines.reactor.jobs import asset_job
    from liftos_pipelines.reactor.runs import QUIET, create_run

    job = asset_job("liftos_pipelines.definitions", "defs", str(Path.cwd()))
    run = create_run(
        instance,
        job,
        [dg.AssetKey(LAUNCHED.split("/"))],
        run_id=str(uuid.uuid4()),
        tags={},
        run_config=QUIET,
        partition=CLIENT,
    )
    began = time.perf_counter()
    if workspace is None:
        instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
    else:
        with load_workspace_process_context_from_yaml_paths(instance, [str(workspace)]) as process:
            began = time.perf_counter()
            instance.launch_run(run.run_id, process.create_request_context())
    ended = until(lambda: _end(instance, run.run_id), 60, pause=0.005)
    if ended is not dg.DagsterRunStatus.SUCCESS:
        raise RuntimeError(f"run {run.run_id} ended as {ended}")
    return time.perf_counter() - began


def _end(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = instance.get_run_by_id(run_id)
    return run.status if run is not None and run.is_finished else None


# --- figures -----------------------------------------------------------------------------------------------
def _chain_figures(storage: str, seconds: list[float], goal: str, peer: list[float]) -> Iterator[Figure]:
    value, low, high = p95_interval(np.array(seconds) * 1000)
    method = f"reactor on {storage}, demo world, one event at a time, {len(ASSETS)} assets checked in Dagster's log"
    baseline = f"stock sensors and launcher, median, n = {len(peer)}" if storage == "SQLite" else None
    yield Figure(
        benchmark="reactions",
        name=f"event to pattern stored, {storage}, p95",
        value=value,
        low=low,
        high=high,
        unit="ms",
        n=len(seconds),
        goal=goal,
        method=method,
        baseline=baseline,
        baseline_value=_ms(peer, 50) if peer else None,
    )
    yield Figure(
        benchmark="reactions",
        name=f"event to pattern stored, {storage}, median",
        value=_ms(seconds, 50),
        unit="ms",
        n=len(seconds),
        method=method,
        baseline=baseline,
        baseline_value=_ms(peer, 50) if peer else None,
    )


def _burst_figures(burst: dict[str, float]) -> Iterator[Figure]:
    method = f"{BURST:,} events of one client appended at once, reactor on SQLite, each followed to its last reaction"
    for name, unit, goal in (("lost", "events", "0"), ("doubled", "effects", "0"), ("seconds", "s", None)):
        yield Figure(
            benchmark="reactions",
            name=f"burst of {BURST:,}: {name}",
            value=burst[name],
            unit=unit,
            n=BURST,
            goal=goal,
            method=method,
        )
    yield Figure(
        benchmark="reactions",
        name="sustained rate, whole chain",
        value=BURST / burst["seconds"],
        unit="events/s",
        n=BURST,
        method=method,
        baseline="first hop alone",
        baseline_value=BURST / burst["answered"],
    )


def _ms(seconds: list[float], percentile: float) -> float:
    return float(np.percentile(np.array(seconds) * 1000, percentile))
