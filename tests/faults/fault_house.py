"""A home with the demo client, events for it, and what must hold of every chain whatever happened on the way."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from liftos_pipelines.bench.reaction_house import CLIENT, environment, instance_of
from liftos_pipelines.bench.reactions import _drop as drop_of
from liftos_pipelines.reactor.dispatcher import Dispatcher
from liftos_pipelines.reactor.executing import execute
from liftos_pipelines.reactor.jobs import asset_job
from liftos_pipelines.reactor.protocol import ReactorUnreachable, ask
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.sensors.reactions import REACTIONS
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.tables import table

CHAIN = ("causal/impact", "agentic/proposals", "memory/items")


class FaultHouse:
    """The home, its Dagster instance and its spine."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.raised = 0

    @property
    def spine(self) -> Spine:
        return open_spine()

    def raise_drop(self) -> Event:
        """A sentiment drop of the demo client, each time another one."""
        self.raised += 1
        payload = drop_of(f"fault-{self.raised}", self.raised)
        return self.spine.raise_event(CLIENT, payload, occurred_at=payload.detected_at)

    def dispatcher(self) -> Dispatcher:
        """A dispatcher that executes in this process, with the code location's own assets."""
        job = asset_job("liftos_pipelines.definitions", "defs", os.getcwd())
        return Dispatcher(
            self.instance,
            job,
            self.spine,
            REACTIONS,
            boot="faults",
            execute=lambda run: execute(job, run, self.instance, worker="faults"),
            say=lambda _: None,
            batch=False,
        )

    # --- what came of it ---------------------------------------------------------------------------------
    def open_of(self, event: Event) -> set[str]:
        """Which steps of an event's chain are still owed."""
        spine = self.spine
        if not spine.is_handled(event.event_id, CHAIN[0]):
            return set(CHAIN)
        chain = [each for each in spine.events(CLIENT, after=event.seq) if each.correlation_id == event.correlation_id]
        impacts = [each for each in chain if each.type == "causal_impact_identified"]
        actions = [each for each in chain if each.type == "agent_action_initiated"]
        owed = set() if impacts and all(spine.is_handled(each.event_id, CHAIN[1]) for each in impacts) else {CHAIN[1]}
        remembered = actions and all(spine.is_handled(each.event_id, CHAIN[2]) for each in actions)
        return owed if remembered else owed | {CHAIN[2]}

    def answered(self, events: list[Event]) -> bool:
        return not any(self.open_of(event) for event in events)

    def assert_each_once(self, events: list[Event]) -> None:
        """Nothing lost and nothing twice: events, impact rows, ledger, memory; and the ledger proves itself."""
        spine, lake = self.spine, Lake(str(self.home / "lake"))
        assert {event.event_id: self.open_of(event) for event in events if self.open_of(event)} == {}
        log = spine.events(CLIENT)
        assert len({event.event_id for event in log}) == len(log)
        for kind, causes in (
            ("causal_impact_identified", [event.event_id for event in events]),
            ("agent_action_initiated", [each.event_id for each in log if each.type == "causal_impact_identified"]),
        ):
            told = Counter(each.causation_id for each in log if each.type == kind)
            assert {cause: told[cause] for cause in causes if told[cause] != 1} == {}, kind
        impacts = lake.read(CLIENT, "causal/impact")
        key = list(table("causal/impact").key)
        assert impacts.select(key).n_unique() == impacts.height
        assert impacts.height >= len(events)
        audit = spine.verify_ledger(CLIENT)
        assert audit.verified, audit
        entries = [entry.idempotency_key for entry in spine.ledger(CLIENT)]
        assert len(entries) == len(set(entries))
        items = lake.read(CLIENT, "memory/items")
        assert items.select("memory_id", "recorded_at").n_unique() == items.height
        current = items.filter(items["superseded_at"].is_null())
        assert current["memory_id"].n_unique() == current.height
        assert spine.dead_letters(CLIENT) == []


@contextmanager
def house_at(home: Path) -> Iterator[FaultHouse]:
    values: dict[str, str | None] = {"LIFTOS_HOME": str(home), "LIFTOS_LAKE_URI": None, "LIFTOS_TRACING": "off"}
    with environment(values), instance_of(home, "sqlite") as instance:
        yield FaultHouse(home, instance)


def until(seen: Callable[[], object], seconds: float) -> object:
    """Wait for something to become true, and hand it back."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = seen()
        except ReactorUnreachable:
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen within {seconds:g} s")


def reaction_worker() -> int | None:
    """The process that answers events, when one is at work."""
    for worker in ask({"do": "status"})["workers"]:
        if worker["kind"] == "reactions" and worker["state"] in ("idle", "busy"):
            return int(worker["pid"])
    return None


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
