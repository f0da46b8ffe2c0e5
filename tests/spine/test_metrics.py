"""Metrics: totals that all processes share, quantiles that are right, Prometheus' format that parses."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.spine import telemetry
from liftos_pipelines.spine.metrics import METRICS, counter, gauge, histogram, prometheus_text, quantile
from liftos_pipelines.spine.telemetry_store import MetricRecord, TelemetryStore


@pytest.fixture
def store(home: Path) -> Iterator[TelemetryStore]:
    yield TelemetryStore(telemetry.telemetry_file())
    telemetry.shutdown()


def _by_name(store: TelemetryStore) -> dict[str, MetricRecord]:
    telemetry.flush()
    return {each.name: each for each in store.metrics()}


def test_counts_of_several_processes_add_up_and_a_gauge_keeps_the_last(store: TelemetryStore) -> None:
    script = (
        "from liftos_pipelines.spine.metrics import counter, gauge, histogram\n"
        "counter('liftos.recalls').add(2)\nhistogram('liftos.recall.duration').record(0.004)\n"
        "gauge('liftos.workers').set(7)"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    counter("liftos.recalls").add(1)
    histogram("liftos.recall.duration").record(0.5)
    gauge("liftos.workers").set(2)
    found = _by_name(store)
    assert found["liftos.recalls"].value == 7
    assert found["liftos.recall.duration"].count == 4
    assert found["liftos.recall.duration"].value == pytest.approx(0.512)
    assert (found["liftos.recall.duration"].lowest, found["liftos.recall.duration"].highest) == (0.004, 0.5)
    assert found["liftos.workers"].value == 2


def test_flushing_often_counts_nothing_twice(store: TelemetryStore) -> None:
    for _ in range(5):
        counter("liftos.recalls").add(1, {"encoder": "static"})
        telemetry.flush()
        telemetry.flush()
    assert _by_name(store)["liftos.recalls"].value == 5


def test_quantiles_lie_in_the_bucket_of_the_true_one(store: TelemetryStore) -> None:
    sample = np.random.default_rng(5).lognormal(-3, 1, 2000)
    for seconds in sample:
        histogram("liftos.asset.duration").record(float(seconds))
    record = _by_name(store)["liftos.asset.duration"]
    for share in (0.5, 0.95, 0.99):
        true, told = float(np.quantile(sample, share)), quantile(record, share)
        edges = (0.0, *record.bounds, float("inf"))
        place = int(np.searchsorted(edges, true)) - 1
        assert told is not None
        assert edges[place] <= told <= min(edges[place + 1], sample.max())
    assert quantile(MetricRecord(name="x", kind="histogram", unit="s", labels={}, at_ns=0, value=0.0), 0.5) is None


def test_a_metric_without_unit_and_meaning_is_refused() -> None:
    with pytest.raises(KeyError, match="add it to METRICS"):
        counter("liftos.invented")
    with pytest.raises(KeyError, match=r"liftos\.workers"):
        gauge("liftos.recalls")
    assert all(metric.unit and metric.meaning for metric in METRICS.values())


def test_prometheus_text_parses_and_buckets_are_cumulative(store: TelemetryStore) -> None:
    counter("liftos.events.raised").add(3, {"type": 'od"d\\ty\npe'})
    for seconds in (0.0005, 0.02, 0.02, 400.0):
        histogram("liftos.recall.duration").record(seconds, {"encoder": "full"})
    telemetry.flush()
    text = prometheus_text(store.metrics())
    line = re.compile(r'^[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [-+0-9.eInf]+$')
    bodies = [each for each in text.splitlines() if not each.startswith("#")]
    assert bodies
    assert all(line.match(each) for each in bodies), text
    assert 'liftos_events_raised_total{type="od\\"d\\\\ty\\npe"} 3' in text
    buckets = [int(each.rsplit(" ", 1)[1]) for each in bodies if "recall_duration_seconds_bucket" in each]
    assert buckets == sorted(buckets)
    assert buckets[0] == 1
    assert buckets[-1] == 4
    assert "# TYPE liftos_recall_duration_seconds histogram" in text
