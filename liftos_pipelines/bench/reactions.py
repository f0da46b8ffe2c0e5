"""How long the loop takes: from an event in the spine to the pattern stored, each hop a Dagster run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console

from liftos_pipelines.bench.figure import Figure, p95_interval
from liftos_pipelines.bench.temporary_home import temporary_home

EVENTS = 12
CHAIN = ("causal/impact", "agentic/proposals", "memory/items")
PREPARE = "sources/*,sentiment/model,surfacing/answer_mentions,surfacing/shifts"


def measure(_: Path) -> Iterator[Figure]:
    """Sentiment drops on the demo world, answered by the reactions' own assets in one warm process.

    The clock runs from the event's append to the moment at which `memory/items` has noted the action as handled.
    """
    import dagster as dg

    from liftos_pipelines.definitions import build_defs
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.running import register, run_client
    from liftos_pipelines.sensors.reactions import REACTIONS
    from liftos_pipelines.simulate.world import write_client
    from liftos_pipelines.spine.payloads import SentimentDropDetected

    with temporary_home() as (home, instance):
        defs, quiet = build_defs(), Console(quiet=True)
        write_client(home / "clients" / "demo")
        register(instance, "demo")
        # An empty agentic and causal past is enough: what the hops read are the sources and the spine.
        prepared = run_client(
            "demo", f"{PREPARE},causal/impact,agentic/registry", defs=defs, instance=instance, console=quiet
        )
        if not prepared.success:
            raise RuntimeError(f"the demo client could not be prepared: {prepared.assets}")
        spine, job = open_spine(), defs.resolve_implicit_global_asset_job_def()
        taken = []
        for number in range(EVENTS + 1):
            began = time.perf_counter()
            start = datetime(2025, 3, 3, tzinfo=UTC) + timedelta(weeks=2 * number)
            spine.raise_event(
                "demo",
                SentimentDropDetected(
                    alert_id=f"bench-{number}",
                    campaign_id="all",
                    detected_at=start + timedelta(days=6),
                    window_start=start.date(),
                    window_end=(start + timedelta(days=13)).date(),
                    severity=0.5,
                    effect=-0.2,
                    n=200,
                ),
                occurred_at=start,
            )
            for reaction in (each for each in REACTIONS if each.name in CHAIN):
                assets = [dg.AssetKey(name.split("/")) for name in reaction.assets]
                job.execute_in_process(
                    instance=instance,
                    partition_key="demo",
                    asset_selection=assets,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
                for event in spine.unhandled(reaction.name, reaction.event_types):
                    raise RuntimeError(f"{reaction.name} left {event.type} unanswered")
            taken.append((time.perf_counter() - began) * 1000)
    value, low, high = p95_interval(np.array(taken[1:]))
    yield Figure(
        benchmark="reactions",
        name="event to pattern stored, p95",
        value=value,
        low=low,
        high=high,
        unit="ms",
        n=EVENTS,
        goal="< 2,000 ms",
        method="three runs (impact, proposal, memory) in one warm process on SQLite, demo world; the first left out",
        baseline="the first, cold",
        baseline_value=taken[0],
    )
