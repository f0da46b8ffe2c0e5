"""OTLP by configuration: a real collector on loopback decodes the protobuf that a real process sends it."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from liftos_pipelines.spine.telemetry import telemetry_file
from liftos_pipelines.spine.telemetry_ids import trace_id_of
from liftos_pipelines.spine.telemetry_store import TelemetryStore

SCRIPT = """
from liftos_pipelines.spine.metrics import counter, histogram
from liftos_pipelines.spine.tracing import span
with span("outer", correlation_id="c1", attributes={"liftos.client": "acme"}), span("inner", kind="producer"):
    counter("liftos.events.raised").add(3, {"type": "drift_detected"})
    histogram("liftos.asset.duration").record(0.2)
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, dict[str, list[bytes]]]]:
    received: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()


def _run(home: Path, endpoint: str) -> float:
    import os

    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "LIFTOS_HOME": str(home)}
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, timeout=60, check=False)
    assert ended.returncode == 0
    return time.monotonic() - began


def test_a_collector_gets_spans_and_metrics_beside_the_local_table(
    home: Path, collector: tuple[str, dict[str, list[bytes]]]
) -> None:
    endpoint, received = collector
    _run(home, endpoint)
    spans = {}
    for body in received["/v1/traces"]:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert names["service.name"] == "liftos"
            spans |= {each.name: each for scope in resource.scope_spans for each in scope.spans}
    assert set(spans) == {"outer", "inner"}
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert spans["outer"].trace_id == trace_id_of("c1").to_bytes(16, "big")
    metrics = {
        metric.name: metric
        for body in received["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert metrics["liftos.events.raised"].sum.data_points[0].as_int == 3
    assert metrics["liftos.asset.duration"].histogram.data_points[0].count == 1
    assert {each.name for each in TelemetryStore(telemetry_file(home)).spans()} == {"outer", "inner"}


def test_a_collector_that_is_down_neither_fails_nor_holds_up_the_process(home: Path) -> None:
    seconds = _run(home, "http://127.0.0.1:9")
    assert {each.name for each in TelemetryStore(telemetry_file(home)).spans()} == {"outer", "inner"}
    assert seconds < 20
