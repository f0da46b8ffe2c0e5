"""Latency of the memory: recall with a cached vector, cold recall, and a durable store, at 10,000 memories."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval

MEMORIES = 10_000
RECALLS = 300
SUBJECTS = ("tv", "search", "social", "video", "newsletter", "display", "pricing", "delivery", "packaging", "support")
EVENTS = ("budget was raised", "creative was changed", "delivery failed", "price was cut", "landing page was rewritten")
PLACES = ("north", "south", "east", "west", "coast", "capital", "border", "islands")


def measure(_: Path) -> Iterator[Figure]:
    """Recall and store on a client of generated memories, beside a brute-force dot product over the vectors."""
    from liftos_pipelines.modules.memory.records import from_sources
    from liftos_pipelines.modules.memory.records.items import combine, with_provenance
    from liftos_pipelines.resources.embedder import open_embedder
    from liftos_pipelines.resources.memory_store import MemoryStore

    rng = np.random.default_rng(7)
    embedder = open_embedder()
    notes = _notes(rng, MEMORIES)
    with tempfile.TemporaryDirectory() as folder:
        store = MemoryStore("bench", embedder, Path(folder))
        items = with_provenance(combine([from_sources.notes(notes)]), {"sources/notes": 0})
        store.remember(items, datetime.now(UTC))
        queries = _notes(rng, RECALLS)["text"].to_list()
        embedder.encode(queries)
        store.recall(queries[0])
        cached = milliseconds(lambda i: store.recall(queries[i % len(queries)]), RECALLS)
        cold_texts = [f"{text} number {i}" for i, text in enumerate(queries[:40])]
        cold = milliseconds(lambda i: store.recall(cold_texts[i]), len(cold_texts))
        index = store.index()
        dot = milliseconds(lambda i: np.argsort(index.vectors @ index.vectors[i])[-10:], RECALLS)
        extra = [
            with_provenance(combine([from_sources.notes(_notes(rng, 1, offset=MEMORIES + i))]), {"sources/notes": 1})
            for i in range(20)
        ]
        for one in extra:
            embedder.encode(one["text"].to_list())
        written = milliseconds(lambda i: store.remember(extra[i], datetime.now(UTC)), len(extra))
    dot_p95 = float(np.percentile(dot, 95))
    for name, sample, method, goal in (
        ("recall p95, cached vector", cached, "hybrid recall, k 10, in process, query vector cached", "< 10 ms"),
        ("recall p95, cold text", cold, "the same with a MiniLM forward pass for the query", None),
        ("store p95, durable", written, "one memory, durable in LanceDB, vector cached", "< 10 ms"),
    ):
        value, low, high = p95_interval(sample)
        yield Figure(
            benchmark="memory",
            name=name,
            value=value,
            low=low,
            high=high,
            unit="ms",
            n=sample.size,
            goal=goal,
            method=f"{method}; {MEMORIES:,} memories",
            baseline="brute-force dot product p95",
            baseline_value=dot_p95,
        )


def _notes(rng: np.random.Generator, count: int, offset: int = 0) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    texts = [
        f"In {rng.choice(PLACES)} the {rng.choice(EVENTS)} for {rng.choice(SUBJECTS)} and conversions moved by "
        f"{rng.integers(-40, 40)} percent in week {rng.integers(1, 53)} of campaign {rng.integers(1, 999)}"
        for _ in range(count)
    ]
    return pl.DataFrame(
        {
            "note_id": [f"n{offset + i}" for i in range(count)],
            "at": [start + timedelta(minutes=offset + i) for i in range(count)],
            "text": texts,
            "author": [None] * count,
            "subject": [None] * count,
            "tags": [None] * count,
        },
        schema={
            "note_id": pl.String,
            "at": pl.Datetime("us", "UTC"),
            "text": pl.String,
            "author": pl.String,
            "subject": pl.String,
            "tags": pl.List(pl.String),
        },
    )
