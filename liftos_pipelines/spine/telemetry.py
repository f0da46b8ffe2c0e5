"""Where spans and metrics go: OpenTelemetry providers of our own, one pair a home, written in the background.

Never the global providers: MLflow keeps tracing what it traces, a host application keeps what it set. Settings:
`LIFTOS_TRACING` (`local`, the default, or `off`), and the standard `OTEL_EXPORTER_OTLP_ENDPOINT` (and its
`_TRACES_`/`_METRICS_` forms, headers, timeout) for an OTLP/HTTP collector beside the local table.

Telemetry never fails the work it observes: what cannot be written is held, then counted as lost and said once.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import logging
import os
import sys
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liftos_pipelines import settings
from liftos_pipelines.spine.telemetry_store import MetricRecord, SpanRecord, TelemetryStore

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Tracer

SPAN_FLUSH_SECONDS, METRIC_FLUSH_SECONDS = 1.0, 2.0
"""At most this much is lost when the process is killed."""
QUEUE, BATCH, HELD = 20_000, 512, 20_000
OTLP_TIMEOUT = "3"
"""Seconds; the standard's ten would hold up the end of a process whose collector is down."""
EXIT_SECONDS = 4
SCOPE = "liftos_pipelines"
DURATION_BOUNDS = (*(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5), *(1, 2, 5, 10, 30, 60, 300))
"""Seconds; one set for recall (milliseconds), reactions (seconds) and assets (minutes)."""
log = logging.getLogger("liftos.telemetry")


@dataclass
class Health:
    """What the observer itself could not do, in this process."""

    lost_spans: int = 0
    lost_metrics: int = 0
    errors: int = 0
    said: set[str] = field(default_factory=set)

    def trouble(self, what: str, error: BaseException | str, way_out: str = "") -> None:
        """Count an error, and say it once a kind."""
        self.errors += 1
        if what not in self.said:
            self.said.add(what)
            log.warning("telemetry: %s: %s. The work goes on. %s", what, error, way_out)


health = Health()


class Telemetry:
    """The providers of one home. `spans` counts what ended here, so that what was dropped can be told."""

    def __init__(self, home: Path) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        from liftos_pipelines.spine.telemetry_export import local_readers, local_spans, otlp_readers, otlp_spans
        from liftos_pipelines.spine.telemetry_ids import CorrelatedIds

        self.store = TelemetryStore(telemetry_file(home))
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or "liftos",
                "service.version": _version(),
                "service.instance.id": uuid.uuid4().hex,
                "process.pid": os.getpid(),
                "process.command": Path(sys.argv[0]).name if sys.argv else "",
            }
        )
        # Shut down by this module, at exit, in the order it wants.
        self.traces: TracerProvider = TracerProvider(
            resource=resource, shutdown_on_exit=False, id_generator=CorrelatedIds()
        )
        self.local = local_spans(self.store)
        self.traces.add_span_processor(self.local)
        for processor in otlp_spans():
            self.traces.add_span_processor(processor)
        self.readers = local_readers(self.store)
        bounds = ExplicitBucketHistogramAggregation(DURATION_BOUNDS)
        self.metrics: MeterProvider = MeterProvider(
            metric_readers=[*self.readers, *otlp_readers()],
            resource=resource,
            shutdown_on_exit=False,
            views=[View(instrument_name="*.duration", aggregation=bounds)],
        )
        self.tracer: Tracer = self.traces.get_tracer(SCOPE, _version())
        self.meter: Meter = self.metrics.get_meter(SCOPE, _version())
        self.instruments: dict[str, Any] = {}

    def flush(self) -> None:
        """Write what has ended to the local table, now; the collector's turn comes in the background."""
        try:
            self.local.force_flush()
            for reader in self.readers:
                reader.force_flush()
        except Exception as error:
            health.trouble("flush", error)

    def shutdown(self) -> None:
        for close in (self.local.shutdown, self.traces.shutdown):
            try:
                close()
            except Exception as error:
                health.trouble("shutdown of tracing", error)
        try:
            self.metrics.shutdown(timeout_millis=EXIT_SECONDS * 1000)
        except Exception as error:
            health.trouble("shutdown of metrics", error)
        self.store.close()


_lock = threading.Lock()
_current: tuple[str | None, Telemetry | None] | None = None
_broken: set[str | None] = set()


def telemetry() -> Telemetry | None:
    """The providers of this process's home; None when tracing is off or cannot begin."""
    home = os.environ.get("LIFTOS_HOME")
    held = _current
    if held is not None and held[0] == home and held[1] is not None:
        return None if os.environ.get("LIFTOS_TRACING") == "off" else held[1]
    if is_off() or home in _broken:
        return None
    return _begin(home)


def is_off() -> bool:
    """Whether tracing and metrics are switched off for this process."""
    return os.environ.get("LIFTOS_TRACING", "").lower() == "off" or (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    )


def telemetry_file(home: Path | None = None) -> Path:
    """Where the local table stands."""
    return (home or settings.home()) / "telemetry" / "telemetry.db"


def flush() -> None:
    """Write this process's spans and metrics to the local table; call it at the end of a run."""
    held = _current
    if held is not None and held[1] is not None:
        held[1].flush()


def shutdown() -> None:
    """Write what is left and stop; the next span begins anew."""
    global _current
    with _lock:
        held, _current = _current, None
    if held is not None and held[1] is not None:
        held[1].shutdown()


def _begin(home: str | None) -> Telemetry | None:
    global _current
    with _lock:
        held = _current
        if held is not None and held[0] == home:
            return held[1]
        if held is not None and held[1] is not None:
            held[1].shutdown()
        try:
            begun = Telemetry(settings.home())
        except Exception as error:
            _broken.add(home)
            health.trouble("tracing cannot begin", error, "`LIFTOS_TRACING=off` silences this.")
            return None
        if held is None:
            _stop_at_exit()
        _current = (home, begun)
        return begun


_registered: set[int] = set()


def _stop_at_exit() -> None:
    if os.getpid() in _registered:
        return
    _registered.add(os.getpid())
    atexit.register(shutdown)
    # A forked worker of multiprocessing leaves without atexit; its own finalizers do run.
    from multiprocessing.util import Finalize

    Finalize(None, shutdown, exitpriority=100)


def _forget() -> None:
    # What the parent holds is the parent's to write, and its threads and locks do not live in the child.
    global _current, _lock
    _current, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _version() -> str:
    try:
        return importlib.metadata.version("liftos-pipelines")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def span_record(span: ReadableSpan) -> SpanRecord:
    """A finished span of the SDK as a row."""
    attributes = dict(span.attributes or {})
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return SpanRecord(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{parent.span_id:016x}" if parent is not None else None,
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status="error" if span.status.status_code.name == "ERROR" else "ok",
        client=_text(attributes.pop("liftos.client", None)),
        correlation_id=_text(attributes.pop("liftos.correlation_id", None)),
        run_id=_text(attributes.pop("dagster.run.id", None)),
        attributes=attributes | {"process.pid": span.resource.attributes.get("process.pid")},
        events=[
            {"name": event.name, "at_ns": event.timestamp, "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        links=[f"{link.context.span_id:016x}" for link in span.links],
        message=span.status.description,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


__all__ = [
    "MetricRecord",
    "Telemetry",
    "TelemetryStore",
    "flush",
    "health",
    "is_off",
    "shutdown",
    "span_record",
    "telemetry",
    "telemetry_file",
]
