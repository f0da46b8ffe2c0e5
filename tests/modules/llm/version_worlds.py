"""Calls of prompt versions whose truth is known: days have effects of their own, askers ask again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.measured import UNIT, with_metrics
from liftos_pipelines.modules.llm.versions.arms import DAY, prepared
from liftos_pipelines.tables import table

START = datetime(2025, 3, 3, 8, tzinfo=UTC)
WORDS = np.array(
    [
        "price",
        "size",
        "colour",
        "stock",
        "return",
        "parcel",
        "shop",
        "gift",
        "card",
        "order",
        "size",
        "repair",
        "wash",
        "fit",
        "kids",
        "sole",
    ]
)


def calls(
    rng: np.random.Generator,
    *,
    days: range,
    per_day: int = 20,
    version: str = "1",
    model: str = "m",
    feedback: float = 0.6,
    latency: float = 800.0,
    groundedness: float = 0.8,
    day_spread: float = 0.0,
    topic: str = "",
) -> pl.DataFrame:
    """`per_day` calls on each day; `day_spread` is the standard deviation of a day's effect on the log of latency."""
    rows = []
    for day in days:
        slow = rng.normal(0, day_spread)
        for place in range(per_day):
            asked = " ".join(rng.choice(WORDS, 6)) + f" {topic}"
            rows.append(
                {
                    "call_id": f"{version}-{model}-{day}-{place}",
                    "called_at": START + timedelta(days=day, minutes=place),
                    "model": model,
                    "prompt_name": "answer",
                    "prompt_version": version,
                    "input": asked,
                    "output": " ".join(rng.choice(WORDS, 12)),
                    "latency_ms": float(latency * np.exp(rng.normal(slow, 0.3))),
                    "input_tokens": 20,
                    "output_tokens": int(rng.integers(30, 50)),
                    "unit_id": f"u{rng.integers(0, 40)}",
                    "user_feedback": int(rng.random() < feedback),
                    "error": "",
                    "_grounded": float(np.clip(rng.normal(groundedness, 0.1), 0, 1)),
                }
            )
    return pl.DataFrame(rows)


def measured(frame: pl.DataFrame) -> pl.DataFrame:
    """The calls as the module takes them."""
    typed = table("sources/llm_calls").conform(frame.drop("_grounded"))
    scores = frame.select("call_id", pl.col("_grounded").alias("groundedness"), pl.lit(None, pl.Float64).alias("cost"))
    return prepared(with_metrics(typed, scores))


def lasting_days(rng: np.random.Generator, n: int, lasting: float, spread: float) -> np.ndarray:
    """Effects of n days with this standard deviation, each correlated with the next."""
    effect = rng.normal(0, spread, n)
    for day in range(1, n):
        effect[day] = lasting * effect[day - 1] + np.sqrt(1 - lasting**2) * effect[day]
    return effect


def latencies(rng: np.random.Generator, *, days: int, per_day: int, lasting: float) -> pl.DataFrame:
    """The log of latency with its day and its asker; the truth is 0."""
    day = np.repeat(np.arange(days), per_day)
    unit = rng.integers(0, 300, day.size)
    slow, slower = lasting_days(rng, days, lasting, 0.2), rng.normal(0, 0.1, 300)
    return pl.DataFrame(
        {
            "latency_ms": slow[day] + slower[unit] + rng.normal(0, 0.3, day.size),
            DAY: pl.Series(day).cast(pl.Int32).cast(pl.Date),
            UNIT: pl.Series(unit).cast(pl.String),
        }
    )
