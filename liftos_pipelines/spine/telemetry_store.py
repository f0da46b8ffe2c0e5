"""The local table of spans and metrics: one SQLite file in `LIFTOS_HOME`, written in batches, bounded in size.

A file of its own, so that a lock or a full disk of the observer never meets the spine's transactions.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEEP_DAYS, KEEP_SPANS = 30, 500_000
PRUNE_EVERY = 5_000
"""Spans written between two looks at the retention."""
BUSY_SECONDS = 1.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    seq INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL UNIQUE, parent_id TEXT, name TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, status TEXT NOT NULL,
    client TEXT, correlation_id TEXT, run_id TEXT, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace_id);
CREATE INDEX IF NOT EXISTS spans_by_run ON spans (run_id);
CREATE INDEX IF NOT EXISTS spans_by_end ON spans (end_ns);
CREATE TABLE IF NOT EXISTS metrics (
    name TEXT NOT NULL, labels TEXT NOT NULL, kind TEXT NOT NULL, unit TEXT NOT NULL, at_ns INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (name, labels)
);
"""


@dataclass(frozen=True, kw_only=True)
class SpanRecord:
    """One finished span; times in nanoseconds since the epoch, ids in hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: str
    client: str | None = None
    correlation_id: str | None = None
    run_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    message: str | None = None

    @property
    def milliseconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """What one series adds up to; `count` and `buckets` belong to histograms, bounds are upper ends."""

    name: str
    kind: str
    unit: str
    labels: dict[str, str]
    at_ns: int
    value: float
    count: int | None = None
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    lowest: float | None = None
    highest: float | None = None


class TelemetryStore:
    """Reads and writes the file; safe to use from several threads and processes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._since_prune = PRUNE_EVERY

    def add_spans(self, spans: Sequence[SpanRecord]) -> None:
        """Store spans in one transaction; one that is already there stays as it is.

        Raises
        ------
        sqlite3.Error, OSError : the file cannot be written; nothing of the batch is stored
        """
        rows = [
            (
                *(each.trace_id, each.span_id, each.parent_id, each.name, each.start_ns, each.end_ns, each.status),
                *(each.client, each.correlation_id, each.run_id, _body(each)),
            )
            for each in spans
        ]
        with self._lock, self._open() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO spans (trace_id, span_id, parent_id, name, start_ns, end_ns, status, client, "
                "correlation_id, run_id, body) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                rows,
            )
            self._since_prune += len(rows)
            if self._since_prune >= PRUNE_EVERY:
                self._since_prune = 0
                _prune(connection)

    def add_metrics(self, changes: Iterable[MetricRecord]) -> None:
        """Add what happened since the last time to each series; a gauge takes the newest value.

        Raises
        ------
        sqlite3.Error, OSError : the file cannot be written; nothing of the batch is stored
        """
        with self._lock, self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                labels = json.dumps(change.labels, sort_keys=True)
                row = connection.execute(
                    "SELECT kind, unit, at_ns, body FROM metrics WHERE name = ? AND labels = ?", (change.name, labels)
                ).fetchone()
                total = change if row is None else _sum(_metric(change.name, labels, *row), change)
                connection.execute(
                    "INSERT OR REPLACE INTO metrics (name, labels, kind, unit, at_ns, body) VALUES (?,?,?,?,?,?)",
                    (total.name, labels, total.kind, total.unit, total.at_ns, _metric_body(total)),
                )

    def spans(
        self,
        *,
        trace_id: str | None = None,
        run_id: str | None = None,
        client: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 10_000,
    ) -> list[SpanRecord]:
        """Spans of a trace, a Dagster run, a client, a time (by their end); oldest first; none without a file."""
        asked: dict[str, str | int | None] = {
            "trace_id = ?": trace_id,
            "run_id = ?": run_id,
            "client = ?": client,
            "end_ns >= ?": since_ns,
            "end_ns <= ?": until_ns,
        }
        wanted = {condition: value for condition, value in asked.items() if value is not None}
        where, values = " AND ".join(wanted) or "1", list(wanted.values())
        rows = self._read(
            "SELECT trace_id, span_id, parent_id, name, start_ns, end_ns, status, client, correlation_id, run_id, body "
            f"FROM spans WHERE {where} ORDER BY start_ns, seq LIMIT ?",
            (*values, limit),
        )
        return [_span(row) for row in rows]

    def metrics(self) -> list[MetricRecord]:
        """Every series with its total, by name and labels."""
        rows = self._read("SELECT name, labels, kind, unit, at_ns, body FROM metrics ORDER BY name, labels", ())
        return [_metric(*row) for row in rows]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        # A connection taken over a fork must not be used, nor closed, by the child.
        if self._process != os.getpid():
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=BUSY_SECONDS, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.executescript(SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _read(self, query: str, values: Sequence[Any]) -> list[Any]:
        if not self.file.is_file():
            return []
        with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS)) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise


def _prune(connection: sqlite3.Connection) -> None:
    oldest = time.time_ns() - KEEP_DAYS * 86_400_000_000_000
    connection.execute("DELETE FROM spans WHERE end_ns < ?", (oldest,))
    connection.execute("DELETE FROM spans WHERE seq <= (SELECT max(seq) FROM spans) - ?", (KEEP_SPANS,))


def _body(span: SpanRecord) -> str:
    parts: dict[str, Any] = {"attributes": span.attributes}
    parts |= {"events": span.events} if span.events else {}
    parts |= {"links": span.links} if span.links else {}
    parts |= {"message": span.message} if span.message else {}
    return json.dumps(parts, default=str)


def _span(row: Sequence[Any]) -> SpanRecord:
    names = ("trace_id", "span_id", "parent_id", "name", "start_ns", "end_ns", "status", "client", "correlation_id")
    return SpanRecord(**dict(zip((*names, "run_id"), row[:-1], strict=True)), **json.loads(row[-1]))


def _metric_body(record: MetricRecord) -> str:
    extra = {name: getattr(record, name) for name in ("count", "bounds", "buckets", "lowest", "highest")}
    return json.dumps({"value": record.value} | {name: held for name, held in extra.items() if held not in (None, ())})


def _metric(name: str, labels: str, kind: str, unit: str, at_ns: int, body: str) -> MetricRecord:
    held = json.loads(body)
    held |= {key: tuple(held[key]) for key in ("bounds", "buckets") if key in held}
    return MetricRecord(name=name, labels=json.loads(labels), kind=kind, unit=unit, at_ns=at_ns, **held)


def _sum(before: MetricRecord, change: MetricRecord) -> MetricRecord:
    if change.kind == "gauge":
        return change if change.at_ns >= before.at_ns else before
    # Other bounds than the held ones (a newer version): what was counted under the old ones cannot be split anew.
    if before.kind != change.kind or before.bounds != change.bounds:
        return change
    known = [value for value in (before.lowest, change.lowest) if value is not None]
    above = [value for value in (before.highest, change.highest) if value is not None]
    return MetricRecord(
        name=change.name,
        kind=change.kind,
        unit=change.unit,
        labels=change.labels,
        at_ns=max(before.at_ns, change.at_ns),
        value=before.value + change.value,
        count=None if change.count is None else (before.count or 0) + change.count,
        bounds=change.bounds,
        buckets=tuple(a + b for a, b in zip(before.buckets, change.buckets, strict=True)) if change.buckets else (),
        lowest=min(known) if known else None,
        highest=max(above) if above else None,
    )
