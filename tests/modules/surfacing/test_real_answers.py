"""792 recorded answers of two assistants: no exception, brands found, ranks near the benchmark's, usable speed."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import answer_mentions
from liftos_pipelines.modules.surfacing.visibility.visibility import visibility
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

TRACKED = 60
Products = dict[str, list[tuple[str, int]]]


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> tuple[pl.DataFrame, Products]:
    """Answers as a client would bring them, and per answer the (brand, rank) of the products the benchmark lists."""
    rows, products = [], {}
    for file in sorted((shared_data / "surfacing" / "ai_product_bench" / "responses").glob("*/run_*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                answer = json.loads(line)
                answer_id = f"{file.parent.name}-{answer['run']}-{answer['query_id']}"
                rows.append(
                    {"answer_id": answer_id, "asked_at": datetime(2025, 5, 24, tzinfo=UTC), "engine": file.parent.name,
                     "prompt_id": answer["query_id"], "prompt": answer["query_id"], "run": str(answer["run"]),
                     "text": answer["response"], "citations": [source["url"] for source in answer["sources"]]}
                )  # fmt: skip
                products[answer_id] = [(p["brand"], p["rank"]) for p in answer["products_mentioned"] if p.get("brand")]
    return table("sources/answers").conform(pl.DataFrame(rows)), products


@pytest.fixture(scope="module")
def read(recorded: tuple[pl.DataFrame, Products]) -> tuple[pl.DataFrame, float, set[str]]:
    answers, products = recorded
    counts = Counter(brand for listed in products.values() for brand in {name for name, _ in listed})
    tracked = [brand for brand, _ in counts.most_common(TRACKED)]
    start = time.process_time()
    found = answer_mentions(answers, [Name(name=brand) for brand in tracked])
    return found, answers.height / (time.process_time() - start), set(tracked)


def test_every_answer_is_read_at_speed(
    recorded: tuple[pl.DataFrame, Products], read: tuple[pl.DataFrame, float, set[str]]
) -> None:
    found, per_second, _ = read
    assert recorded[0].height == 792
    assert found.height == 792 * TRACKED
    assert found["mentioned"].null_count() == 0
    assert per_second > 100


def test_brands_of_listed_products_are_found(
    recorded: tuple[pl.DataFrame, Products], read: tuple[pl.DataFrame, float, set[str]]
) -> None:
    products, (found, _, tracked) = recorded[1], read
    named = {(row[0], row[1]) for row in found.filter("mentioned").select("answer_id", "brand").iter_rows()}
    listed = {(answer, brand) for answer, each in products.items() for brand, _ in each if brand in tracked}
    assert len(named & listed) / len(listed) > 0.99
    # The benchmark lists at most a handful of products an answer, so this bounds precision from below.
    assert len(named & listed) / len(named) > 0.65


def test_the_benchmark_s_first_product_is_of_the_brand_ranked_first(
    recorded: tuple[pl.DataFrame, Products], read: tuple[pl.DataFrame, float, set[str]]
) -> None:
    products, (found, _, tracked) = recorded[1], read
    first: dict[str, set[str]] = {}
    for answer, brand in found.filter(pl.col("rank") == 1).select("answer_id", "brand").iter_rows():
        first.setdefault(answer, set()).add(brand)
    judged = [
        (answer, brand) for answer, each in products.items() for brand, rank in each if rank == 1 and brand in tracked
    ]
    assert sum(brand in first.get(answer, set()) for answer, brand in judged) / len(judged) > 0.9


def test_real_answers_cluster_by_prompt_so_that_naive_intervals_are_too_narrow(
    read: tuple[pl.DataFrame, float, set[str]],
) -> None:
    rates = visibility(read[0]).filter(
        (pl.col("engine") == "all") & (pl.col("metric") == "mention_rate") & (pl.col("value") > 0.02)
    )
    naive = 2 * 1.645 * (rates["value"] * (1 - rates["value"]) / 792).sqrt()
    ratio = ((rates["high"] - rates["low"]) / naive).median()
    assert isinstance(ratio, float)
    assert ratio > 1.8
