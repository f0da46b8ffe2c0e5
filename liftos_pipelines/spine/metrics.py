"""Counters, gauges and histograms by the OpenTelemetry SDK, and their totals over all processes of this home.

```python
counter("liftos.events.raised").add(1, {"liftos.client": client, "type": event.type})
histogram("liftos.recall.duration").record(seconds, {"encoder": "static"})
gauge("liftos.reactions.backlog").set(12, {"reaction": "causal/impact"})
```

A name that `METRICS` does not list is refused in tests and counted as trouble at run time: a figure without a unit
and a meaning is no figure. Labels are of few values: never an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.spine import telemetry as _telemetry
from liftos_pipelines.spine.telemetry_store import MetricRecord


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a metric is: `unit` in UCUM as OpenTelemetry wants it, `meaning` in words for a reader."""

    name: str
    kind: str
    unit: str
    meaning: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="liftos.events.raised", kind="counter", unit="{event}", meaning="events raised"),
        Metric(name="liftos.events.handled", kind="counter", unit="{event}", meaning="events answered"),
        Metric(name="liftos.events.dead", kind="counter", unit="{event}", meaning="events given up, dead letters"),
        Metric(name="liftos.runs", kind="counter", unit="{run}", meaning="Dagster runs"),
        Metric(name="liftos.assets", kind="counter", unit="{asset}", meaning="assets materialised"),
        Metric(name="liftos.decisions", kind="counter", unit="{decision}", meaning="decisions of agents"),
        Metric(name="liftos.actions", kind="counter", unit="{action}", meaning="actions of agents"),
        Metric(name="liftos.memories.written", kind="counter", unit="{memory}", meaning="memories written"),
        Metric(name="liftos.recalls", kind="counter", unit="{recall}", meaning="recalls"),
        Metric(name="liftos.reactions.backlog", kind="gauge", unit="{event}", meaning="events waiting for an answer"),
        Metric(name="liftos.workers", kind="gauge", unit="{worker}", meaning="warm workers"),
        Metric(name="liftos.memories", kind="gauge", unit="{memory}", meaning="memories held"),
        Metric(name="process.memory.usage", kind="gauge", unit="By", meaning="memory in use, resident"),
        Metric(name="liftos.reaction.duration", kind="histogram", unit="s", meaning="event accepted to answered"),
        Metric(name="liftos.recall.duration", kind="histogram", unit="s", meaning="recall"),
        Metric(name="liftos.remember.duration", kind="histogram", unit="s", meaning="memory write, acknowledged"),
        Metric(name="liftos.asset.duration", kind="histogram", unit="s", meaning="an asset's own work"),
    )
}


class Instrument:
    """One metric by its name; recording never raises and costs next to nothing when tracing is off."""

    __slots__ = ("metric",)

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def add(self, amount: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Count; for counters."""
        self._call("add", amount, attributes)

    def record(self, value: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Note one duration or size; for histograms."""
        self._call("record", value, attributes)

    def set(self, value: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Note a present level; for gauges."""
        self._call("set", value, attributes)

    def _call(self, verb: str, value: float, attributes: Mapping[str, Any] | None) -> None:
        try:
            held = _telemetry.telemetry()
            if held is None:
                return
            instrument = held.instruments.get(self.metric.name)
            if instrument is None:
                create = getattr(held.meter, f"create_{self.metric.kind}")
                instrument = create(self.metric.name, unit=self.metric.unit, description=self.metric.meaning)
                held.instruments[self.metric.name] = instrument
            getattr(instrument, verb)(value, attributes)
        except Exception as error:
            _telemetry.health.trouble(f"metric {self.metric.name}", error)


def counter(name: str) -> Instrument:
    """The counter of that name.

    Raises
    ------
    KeyError : it is not in `METRICS`, or is of another kind
    """
    return _known(name, "counter")


def histogram(name: str) -> Instrument:
    """The histogram of that name; raises as `counter` does."""
    return _known(name, "histogram")


def gauge(name: str) -> Instrument:
    """The gauge of that name; raises as `counter` does."""
    return _known(name, "gauge")


_instruments = {name: Instrument(metric) for name, metric in METRICS.items()}


def _known(name: str, kind: str) -> Instrument:
    instrument = _instruments.get(name)
    if instrument is None or instrument.metric.kind != kind:
        names = ", ".join(each.name for each in METRICS.values() if each.kind == kind)
        raise KeyError(f'there is no {kind} "{name}" (add it to METRICS with unit and meaning); {kind}s: {names}')
    return instrument


def quantile(record: MetricRecord, share: float) -> float | None:
    """A quantile of a histogram, linear within its bucket and within what was seen; None without observations.

    As Prometheus' `histogram_quantile` reads buckets, but the last one ends at the highest value seen.
    """
    if not record.count or not record.buckets:
        return None
    wanted, seen = share * record.count, 0
    highest = record.highest if record.highest is not None else (record.bounds[-1] if record.bounds else record.value)
    lowest = record.lowest or 0.0
    edges = [*record.bounds, highest]
    for place, inside in enumerate(record.buckets):
        if inside and seen + inside >= wanted:
            low = max(edges[place - 1] if place else 0.0, lowest)
            high = max(min(edges[place], highest), low)
            return low + (high - low) * (wanted - seen) / inside
        seen += inside
    return highest


def prometheus_text(records: Iterable[MetricRecord]) -> str:
    """Metrics in Prometheus' text exposition format 0.0.4."""
    lines: list[str] = []
    told: set[str] = set()
    for record in sorted(records, key=lambda each: (each.name, sorted(each.labels.items()))):
        name = _prometheus_name(record)
        if name not in told:
            told.add(name)
            known = METRICS.get(record.name)
            lines += [f"# HELP {name} {known.meaning if known else record.name}", f"# TYPE {name} {record.kind}"]
        if record.kind != "histogram":
            lines.append(f"{name}{_labels(record.labels)} {record.value:.17g}")
            continue
        total = 0
        for bound, inside in zip((*record.bounds, float("inf")), record.buckets, strict=True):
            total += inside
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f"{name}_bucket{_labels(record.labels | {'le': edge})} {total}")
        lines.append(f"{name}_sum{_labels(record.labels)} {record.value:.17g}")
        lines.append(f"{name}_count{_labels(record.labels)} {record.count or 0}")
    return "\n".join(lines) + ("\n" if lines else "")


def _prometheus_name(record: MetricRecord) -> str:
    base = record.name.replace(".", "_")
    base += {"s": "_seconds", "By": "_bytes"}.get(record.unit, "")
    return base + ("_total" if record.kind == "counter" else "")


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = {
        key.replace(".", "_"): value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for key, value in sorted(labels.items())
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"
