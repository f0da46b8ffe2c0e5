"""How long ingestion takes: files to a validated Delta table, first and again with nothing new."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure

ROWS = 30_000


def measure(_: Path) -> Iterator[Figure]:
    """Seconds for 30,000 mentions, beside Polars reading the same file and writing it to Delta unchecked."""
    import dagster as dg

    from liftos_pipelines.assets import sources
    from liftos_pipelines.resources.lake import LakeIOManager, LakeResource

    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("LIFTOS_HOME")
        os.environ["LIFTOS_HOME"] = folder
        try:
            file = _client(Path(folder))
            resources = {"lake_io": LakeIOManager(), "lake": LakeResource()}
            with dg.DagsterInstance.ephemeral() as instance:
                instance.add_dynamic_partitions("clients", ["bench"])
                taken = []
                for _round in range(3):
                    began = time.perf_counter()
                    dg.materialize(
                        [sources.mentions],
                        partition_key="bench",
                        instance=instance,
                        resources=resources,
                        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    )
                    taken.append(time.perf_counter() - began)
            began = time.perf_counter()
            pl.read_csv(file).write_delta(str(Path(folder) / "plain"))
            plain = time.perf_counter() - began
        finally:
            if before is None:
                del os.environ["LIFTOS_HOME"]
            else:
                os.environ["LIFTOS_HOME"] = before
    common = {"benchmark": "ingestion", "unit": "s", "n": ROWS, "baseline": "unchecked copy", "baseline_value": plain}
    yield Figure(
        name="first ingestion",
        value=taken[0],
        method="one CSV, typed, validated by Great Expectations, written; includes its first import",
        **common,  # type: ignore[arg-type]
    )
    yield Figure(
        name="same file again",
        value=min(taken[1:]),
        method="best of two; nothing new, so no new table version",
        **common,  # type: ignore[arg-type]
    )


def _client(home: Path) -> Path:
    folder = home / "clients" / "bench"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    words = np.array(
        [
            "the",
            "delivery",
            "was",
            "late",
            "again",
            "and",
            "nobody",
            "answered",
            "but",
            "the",
            "jacket",
            "itself",
            "is",
            "warm",
            "and",
            "well",
            "made",
        ]
    )
    pl.DataFrame(
        {
            "mention_id": [f"m{number}" for number in range(ROWS)],
            "published_at": [(start + timedelta(minutes=15 * number)).isoformat() for number in range(ROWS)],
            "source": rng.choice(["x", "reviews", "forum"], ROWS),
            "text": [" ".join(rng.choice(words, 16)) for _ in range(ROWS)],
        }
    ).write_csv(folder / "mentions.csv")
    (folder / "client.yaml").write_text("client: bench\nsources: {mentions: {path: mentions.csv}}\n", encoding="utf-8")
    return folder / "mentions.csv"
