"""The exporters: the local table, and an OTLP collector when one is configured."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter, UpDownCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from liftos_pipelines.spine import telemetry as _telemetry
from liftos_pipelines.spine.telemetry_store import MetricRecord, SpanRecord, TelemetryStore

WAY_OUT = "Free the disk, or delete {file} if it is damaged; `LIFTOS_TRACING=off` silences this."
DELTAS = {kind: AggregationTemporality.DELTA for kind in (Counter, Histogram, ObservableCounter, UpDownCounter)}
"""What happened since the last time is added to the total that all processes share."""


class LocalSpans(SpanExporter):
    """Spans into the local table. What could not be written is held for the next time, up to a bound."""

    def __init__(self, store: TelemetryStore) -> None:
        self.store = store
        self._held: list[SpanRecord] = []
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._held += [_telemetry.span_record(each) for each in spans]
            return SpanExportResult.SUCCESS if self._write() else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        with self._lock:
            if self._held and not self._write():
                _telemetry.health.lost_spans += len(self._held)
                self._held = []

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _write(self) -> bool:
        try:
            self.store.add_spans(self._held)
        except Exception as error:  # a full disk, a lock, a damaged file: none may reach the work
            _telemetry.health.trouble("spans cannot be stored", error, WAY_OUT.format(file=self.store.file))
            over = len(self._held) - _telemetry.HELD
            if over > 0:
                _telemetry.health.lost_spans += over
                del self._held[:over]
            return False
        self._held = []
        return True


class LocalMetrics(MetricExporter):
    """Changes of metrics into the local table, added to what is there."""

    def __init__(self, store: TelemetryStore) -> None:
        super().__init__(preferred_temporality=DELTAS)  # type: ignore[arg-type]
        self.store = store
        self._held: list[MetricRecord] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        try:
            self._held += metric_records(metrics_data)
            if self._held:
                self.store.add_metrics(self._held)
        except Exception as error:
            _telemetry.health.trouble("metrics cannot be stored", error, WAY_OUT.format(file=self.store.file))
            over = len(self._held) - _telemetry.HELD
            if over > 0:
                _telemetry.health.lost_metrics += over
                del self._held[:over]
            return MetricExportResult.FAILURE
        self._held = []
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        _telemetry.health.lost_metrics += len(self._held)
        self._held = []


def metric_records(data: MetricsData) -> list[MetricRecord]:
    """The SDK's points as rows: one a series."""
    found = []
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = {"Sum": "counter", "Gauge": "gauge"}.get(type(metric.data).__name__, "histogram")
                found += [_point(metric.name, metric.unit or "", kind, point) for point in metric.data.data_points]
    return found


def _point(name: str, unit: str, kind: str, point: Any) -> MetricRecord:
    labels = {key: str(value) for key, value in dict(point.attributes or {}).items()}
    if kind != "histogram":
        return MetricRecord(
            name=name, kind=kind, unit=unit, labels=labels, at_ns=point.time_unix_nano, value=float(point.value)
        )
    return MetricRecord(
        name=name,
        kind=kind,
        unit=unit,
        labels=labels,
        at_ns=point.time_unix_nano,
        value=float(point.sum),
        count=int(point.count),
        bounds=tuple(point.explicit_bounds),
        buckets=tuple(point.bucket_counts),
        lowest=float(point.min) if point.count else None,
        highest=float(point.max) if point.count else None,
    )


def local_spans(store: TelemetryStore) -> BatchSpanProcessor:
    """The hot path appends to a queue in memory; a thread writes it every second."""
    return BatchSpanProcessor(
        LocalSpans(store),
        max_queue_size=_telemetry.QUEUE,
        schedule_delay_millis=_telemetry.SPAN_FLUSH_SECONDS * 1000,
        max_export_batch_size=_telemetry.BATCH,
    )


def local_readers(store: TelemetryStore) -> list[MetricReader]:
    interval = _telemetry.METRIC_FLUSH_SECONDS * 1000
    return [PeriodicExportingMetricReader(LocalMetrics(store), export_interval_millis=interval)]


def otlp_spans() -> list[SpanProcessor]:
    """A batch processor to the collector, when one is configured and the extra is installed."""
    if not _configured("TRACES"):
        return []
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        _telemetry.health.trouble("OTLP export", error, "Install it: pip install 'liftos-pipelines[otel]'.")
        return []
    return [BatchSpanProcessor(OTLPSpanExporter(timeout=_timeout("TRACES")))]


def otlp_readers() -> list[MetricReader]:
    if not _configured("METRICS"):
        return []
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    except ImportError as error:
        _telemetry.health.trouble("OTLP export", error, "Install it: pip install 'liftos-pipelines[otel]'.")
        return []
    return [PeriodicExportingMetricReader(OTLPMetricExporter(timeout=_timeout("METRICS")))]


def _configured(signal: str) -> bool:
    # `none` is the standard's word for an exporter that is switched off.
    if os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").lower() == "none":
        return False
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{part}ENDPOINT") for part in ("", f"{signal}_"))


def _timeout(signal: str) -> float:
    given = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT") or os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT")
    return float(given or _telemetry.OTLP_TIMEOUT)
