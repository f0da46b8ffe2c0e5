"""What the spine's log of events costs: raising, looking for what is due, asking what is newest, a burst."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval

LOG = 100_000
CALLS = 400
BURST = 1_000
OPEN = 50
REACTION, TYPES = "memory/patterns", ("campaign_started",)
MOMENT = datetime(2025, 6, 1, tzinfo=UTC)


def measure(_: Path) -> Iterator[Figure]:
    """On SQLite in a temporary file, with a log of 100,000 handled events behind, one process."""
    from liftos_pipelines.spine.database import NewEvent, Spine
    from liftos_pipelines.spine.payloads import CampaignStarted

    def new(number: int) -> NewEvent:
        payload = CampaignStarted(campaign_id=f"c{number}", name="Spring", start=date(2025, 5, 1))
        return NewEvent(client=f"client{number % 20}", payload=payload, occurred_at=MOMENT)

    with tempfile.TemporaryDirectory() as folder:
        spine = Spine(f"sqlite:///{folder}/spine.db")
        for start in range(0, LOG, 5_000):
            stored = spine.raise_events(new(number) for number in range(start, start + 5_000))
            spine.dismiss([event.event_id for event in stored], REACTION)
        began = time.perf_counter()
        spine.due(REACTION, TYPES, now=MOMENT)
        first_look = (time.perf_counter() - began) * 1000
        yield _figure("newest_seq, p95", lambda _: spine.newest_seq(), "< 0.2 ms", "one indexed read")
        yield _figure(
            "due, nothing open, p95",
            lambda _: spine.due(REACTION, TYPES, now=MOMENT),
            "< 2 ms",
            f"behind {LOG:,} handled events; the baseline is the first look of a reaction, which enters them all",
            first_look,
        )
        yield _figure(
            "raise_event, p95",
            lambda number: spine.raise_event("acme", new(LOG + number).payload, occurred_at=MOMENT),
            "< 3 ms",
            f"one transaction each, {LOG:,} events in the log",
        )
        open_ones = [event.event_id for event in spine.due(REACTION, TYPES, now=MOMENT)]
        spine.dismiss(open_ones[OPEN:], REACTION)
        yield _figure(
            f"due, {OPEN} open, p95",
            lambda _: spine.due(REACTION, TYPES, now=MOMENT),
            "< 10 ms",
            "parsed and typed",
        )
        burst = [new(2 * LOG + number) for number in range(BURST)]
        began = time.perf_counter()
        spine.raise_events(burst)
        seconds = time.perf_counter() - began
        yield Figure(
            benchmark="events",
            name="events raised in a burst, per second",
            value=BURST / seconds,
            unit="1/s",
            n=BURST,
            method="raise_events, one transaction",
        )
        spine.engine.dispose()


def _figure(name: str, action: Callable[[int], object], goal: str, method: str, first: float | None = None) -> Figure:
    action(-1)
    value, low, high = p95_interval(np.sort(milliseconds(action, CALLS)))
    return Figure(
        benchmark="events",
        name=name,
        value=value,
        low=low,
        high=high,
        unit="ms",
        n=CALLS,
        goal=goal,
        method=f"{method}; SQLite",
        baseline=None if first is None else "first look",
        baseline_value=first,
    )
