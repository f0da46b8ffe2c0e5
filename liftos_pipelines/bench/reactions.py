"""How long the loop takes: from an accepted event to the pattern stored, each hop a Dagster run in a real process.

The same chain is answered by the reactor (on SQLite and, where a server can be started, on PostgreSQL) and by stock
Dagster's sensors and launcher, on the demo world, in the same call.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
EVENT_SECONDS, PEER_SECONDS, BURST_SECONDS = 20.0, 120.0, 60.0
"""What one event, one event of the peer and the burst may take before they are unknown."""
CHAIN_SECONDS, PEER_CHAIN_SECONDS = 75.0, 150.0
"""What all events of a chain may take together: the rest is not measured, and said so."""
ASSETS = ("causal/impact", "agentic/proposals", "memory/items", "memory/patterns")
LAUNCHED = "agentic/registry"
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
WINDOWS = 14
"""Fortnights of the demo world with enough history before them."""


@dataclass(kw_only=True)
class Taken:
    """Seconds of what came to its end, and why the rest did not."""

    seconds: list[float] = field(default_factory=list)
    reason: str = ""


def measure(_: Path) -> Iterator[Figure]:
    """Sentiment drops, one at a time and a thousand at once."""
    with prepared_home() as home:
        with instance_of(home, "sqlite") as instance, reactor(home):
            taken = _chain(instance, EVENTS, "sqlite", EVENT_SECONDS, CHAIN_SECONDS)
            launched = _several(lambda: _launch(instance), LAUNCHES)
            burst = _burst()
        peer, stock = _peer(home)
        yield from _chain_figures("SQLite", taken, "< 2,000 ms", peer)
        yield from _burst_figures(burst)
        yield _launch_figure(launched, stock)
        yield from _on_postgres(home)


def _peer(home: Path) -> tuple[Taken, Taken]:
    """The same chain and the same launch by stock Dagster; what does not come to its end in time is unknown."""
    chain, launches = Taken(), Taken()
    try:
        with instance_of(home, "stock") as instance, stock_services(home) as workspace:
            chain = _chain(instance, PEER_EVENTS, "stock", PEER_SECONDS, PEER_CHAIN_SECONDS, warming=0)
            launches = _several(lambda: _launch(instance, workspace), PEER_LAUNCHES)
    except Exception as error:  # the peer must not end the benchmark
        reason = f"stock services: {error}"
        chain.reason, launches.reason = chain.reason or reason, launches.reason or reason
    return chain, launches


def _several(take: Callable[[], float], number: int) -> Taken:
    taken = Taken()
    try:
        for _ in range(number):
            taken.seconds.append(take())
    except (TimeoutError, RuntimeError) as error:
        taken.reason = f"{len(taken.seconds)} of {number}: {error}"
    return taken


def _on_postgres(home: Path) -> Iterator[Figure]:
    try:
        with postgres_server() as server:
            if server is None:
                raise RuntimeError("no server can be started here")
            with instance_of(home, "postgres", server) as instance:
                instance.add_dynamic_partitions("clients", [CLIENT])
                with reactor(home):
                    taken = _chain(instance, EVENTS, "pg", EVENT_SECONDS, CHAIN_SECONDS)
    except (TimeoutError, RuntimeError, OSError) as error:
        taken = Taken(reason=str(error))
    yield from _chain_figures("PostgreSQL", taken, "< 500 ms", None)


# --- one at a time -----------------------------------------------------------------------------------------
def _chain(
    instance: dg.DagsterInstance, number: int, name: str, patience: float, within: float, *, warming: int = 1
) -> Taken:
    """Seconds from accepted to stored of each of `number` events; the first `warming` are left out.

    Parameters
    ----------
    patience, within : seconds that one event, and all together, may take
    """
    taken, ends = Taken(), time.monotonic() + within
    for count in range(number + warming):
        left = ends - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError(f"the time for all, {within:g} s, had run out")
            seconds = _one(instance, f"{name}-{count}", count, min(patience, left))
        except TimeoutError as error:
            taken.reason = f"{len(taken.seconds)} of {number} came to their end: {error}"
            break
        if count >= warming:
            taken.seconds.append(seconds)
    return taken


def _one(instance: dg.DagsterInstance, name: str, count: int, patience: float) -> float:
    _quiet(instance, patience)
    event = _raise([_drop(name, count)])[0]
    accepted = time.time()
    until(partial(_is_answered, event), patience, pause=0.01)
    seen = time.time()
    run_ids = until(partial(_finished, instance, event), patience, pause=0.02)
    stored = [_stored_at(instance, asset, run_ids) for asset in ASSETS]
    if any(moment is None for moment in stored):
        raise RuntimeError(f"{event.event_id}: not in Dagster's log: {dict(zip(ASSETS, stored, strict=True))}")
    return max(seen, *(moment for moment in stored if moment is not None)) - accepted


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


def _quiet(instance: dg.DagsterInstance, patience: float) -> None:
    """Until no run is under way: other reactions follow the chain, such as a prediction noted for eval."""
    under_way = dg.RunsFilter(statuses=UNDER_WAY)
    quiet, ends = 0, time.monotonic() + patience
    while quiet < 3:
        if time.monotonic() > ends:
            raise TimeoutError(f"runs were still under way after {patience:g} s")
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
def _chain_figures(storage: str, taken: Taken, goal: str, peer: Taken | None) -> Iterator[Figure]:
    if not taken.seconds:
        yield unmeasured("reactions", f"event to pattern stored, {storage}, p95", "ms", taken.reason)
        return
    value, low, high = p95_interval(np.array(taken.seconds) * 1000)
    method = f"reactor on {storage}, demo world, one event at a time, {len(ASSETS)} assets checked in Dagster's log"
    method += f" ({taken.reason})" if taken.reason else ""
    baseline = None
    if peer is not None:
        baseline = f"stock sensors and launcher, median, n = {len(peer.seconds)}"
        baseline += f" ({peer.reason})" if peer.reason else ""
    shared: dict[str, Any] = {
        "benchmark": "reactions",
        "unit": "ms",
        "n": len(taken.seconds),
        "method": method,
        "baseline": baseline,
        "baseline_value": _ms(peer.seconds, 50) if peer is not None and peer.seconds else None,
    }
    yield Figure(name=f"event to pattern stored, {storage}, p95", value=value, low=low, high=high, goal=goal, **shared)
    yield Figure(name=f"event to pattern stored, {storage}, median", value=_ms(taken.seconds, 50), **shared)


def _launch_figure(launched: Taken, stock: Taken) -> Figure:
    name = "a launched run of one asset, median"
    if not launched.seconds:
        return unmeasured("reactions", name, "ms", launched.reason)
    return Figure(
        benchmark="reactions",
        name=name,
        value=_ms(launched.seconds, 50),
        unit="ms",
        n=len(launched.seconds),
        method="by instance.launch_run, until the run has ended, warm worker, SQLite",
        baseline=f"Dagster's own launcher, n = {len(stock.seconds)}" + (f" ({stock.reason})" if stock.reason else ""),
        baseline_value=_ms(stock.seconds, 50) if stock.seconds else None,
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
