"""Reading answers: brands and ranks against hand labels of real answers, the GEO measure, and speed.

The labels (`tests/fixtures/surfacing`, read and labelled by hand for this project) hold identifiers and brand names;
the answers are public data beside the project. Intervals treat a topic as one observation: its answers share their
brands.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.bench.figure import Figure, NoData, unmeasured
from liftos_pipelines.modules.surfacing.answers.impression import word_position_impression
from liftos_pipelines.modules.surfacing.answers.mentions import answer_mentions
from liftos_pipelines.stats import FloatArray, cluster_bootstrap, percentile_interval, wilson_interval
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

LABELS = settings.PROJECT / "tests" / "fixtures" / "surfacing" / "brand_labels.json"
HALVES = {"development": "development half", "held_out": "held-out half"}
TRACKED = 60
GEO_ANSWERS = 500
SEED = 11

Pairs = dict[tuple[str, str], bool]
"""(answer, brand) -> whether it is mentioned."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labels of one half: pairs, ranks, and the topic each answer belongs to."""

    mentioned: Pairs
    ranks: dict[str, dict[str, int]]
    topics: dict[str, str]


def measure(data: Path) -> Iterator[Figure]:
    """Precision, recall and rank agreement on both halves, beside two baselines; GEO error; answers a second."""
    folder = data / "surfacing" / "ai_product_bench" / "responses"
    if not folder.is_dir():
        raise NoData(f"{folder} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    recorded, products = recorded_answers(folder)
    if LABELS.is_file():
        yield from _against_labels(json.loads(LABELS.read_text(encoding="utf-8")), recorded)
    else:
        yield unmeasured("surfacing", "brand extraction", "", f"{LABELS} is absent: the labels come with the source")
    yield from _against_products(recorded, products)
    yield _geo_error()


def recorded_answers(folder: Path) -> tuple[pl.DataFrame, dict[str, list[tuple[str, int]]]]:
    """The recorded answers as `sources/answers`, and per answer the (brand, rank) of the products the data list."""
    rows: list[dict[str, Any]] = []
    products: dict[str, list[tuple[str, int]]] = {}
    for file in sorted(folder.glob("*/run_*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                answer = json.loads(line)
                answer_id = _answer_id(file.parent.name, answer["run"], answer["query_id"])
                rows.append(
                    {
                        "answer_id": answer_id,
                        "asked_at": datetime(2025, 5, 24, tzinfo=UTC),
                        "engine": file.parent.name,
                        "prompt_id": answer["query_id"],
                        "prompt": answer["query_id"],
                        "run": str(answer["run"]),
                        "text": answer["response"],
                        "citations": [source["url"] for source in answer["sources"]],
                    }
                )
                products[answer_id] = [(p["brand"], p["rank"]) for p in answer["products_mentioned"] if p.get("brand")]
    return table("sources/answers").conform(pl.DataFrame(rows)), products


def _answer_id(engine: str, run: int, query: str) -> str:
    return f"{engine}-{run}-{query}"


def _against_labels(labels: dict[str, Any], recorded: pl.DataFrame) -> Iterator[Figure]:
    for half, title in HALVES.items():
        topics = {name: topic for name, topic in labels["topics"].items() if topic["half"] == half}
        truth = _truth(labels["answers"], topics)
        found, ranks = _extracted(labels["answers"], topics, recorded)
        plain = {name: _searched(labels["answers"], topics, recorded, rule) for name, rule in BASELINES.items()}
        for measure_name, goal in (("precision", ">= .98"), ("recall", ">= .97")):
            yield _rate(f"brand {measure_name}, {title}", measure_name, truth, found, plain["word search"], goal)
        for measure_name in ("precision", "recall"):
            name = f"{measure_name} of a substring search, {title}"
            yield _rate(name, measure_name, truth, plain["substring"], None, None)
        yield from _rank_figures(title, truth, ranks)


def _truth(answers: Sequence[dict[str, Any]], topics: dict[str, Any]) -> Labelled:
    mentioned: Pairs = {}
    ranks: dict[str, dict[str, int]] = {}
    topic_of: dict[str, str] = {}
    for answer in answers:
        if answer["topic"] not in topics:
            continue
        answer_id = _answer_id(answer["engine"], answer["run"], answer["query_id"])
        topic_of[answer_id] = answer["topic"]
        for brand in topics[answer["topic"]]["brands"]:
            mentioned[answer_id, brand["name"]] = brand["name"] in answer["mentioned"]
        ranks[answer_id] = answer.get("rank", {})
    return Labelled(mentioned=mentioned, ranks=ranks, topics=topic_of)


def _extracted(
    answers: Sequence[dict[str, Any]], topics: dict[str, Any], recorded: pl.DataFrame
) -> tuple[Pairs, dict[tuple[str, str], int | None]]:
    found: Pairs = {}
    ranks: dict[tuple[str, str], int | None] = {}
    for topic, described in topics.items():
        brands = [
            Name(name=b["name"], aliases=tuple(b.get("aliases", ())), products=tuple(b.get("products", ())))
            for b in described["brands"]
        ]
        rows = answer_mentions(_of_topic(answers, topic, recorded), brands)
        for answer_id, brand, mentioned, rank in rows.select("answer_id", "brand", "mentioned", "rank").iter_rows():
            found[answer_id, brand], ranks[answer_id, brand] = bool(mentioned), rank
    return found, ranks


def _of_topic(answers: Sequence[dict[str, Any]], topic: str, recorded: pl.DataFrame) -> pl.DataFrame:
    wanted = [_answer_id(a["engine"], a["run"], a["query_id"]) for a in answers if a["topic"] == topic]
    return recorded.filter(pl.col("answer_id").is_in(wanted))


def _substring(text: str, spelling: str) -> bool:
    return spelling.lower() in text.lower()


def _word_search(text: str, spelling: str) -> bool:
    return re.search(rf"\b{re.escape(spelling)}(?!\w)", text, re.IGNORECASE) is not None


BASELINES: dict[str, Callable[[str, str], bool]] = {"substring": _substring, "word search": _word_search}


def _searched(
    answers: Sequence[dict[str, Any]], topics: dict[str, Any], recorded: pl.DataFrame, rule: Callable[[str, str], bool]
) -> Pairs:
    found: Pairs = {}
    for topic, described in topics.items():
        for answer_id, text in _of_topic(answers, topic, recorded).select("answer_id", "text").iter_rows():
            for brand in described["brands"]:
                spellings = (brand["name"], *brand.get("aliases", ()), *brand.get("products", ()))
                found[answer_id, brand["name"]] = any(rule(text, spelling) for spelling in spellings)
    return found


def _rate(name: str, kind: str, truth: Labelled, found: Pairs, baseline: Pairs | None, goal: str | None) -> Figure:
    value, low, high, n = _precision_or_recall(kind, truth, found)
    return Figure(
        benchmark="surfacing",
        name=name,
        value=value,
        low=low,
        high=high,
        unit="",
        n=n,
        goal=goal,
        method=f"hand labels of {len(truth.topics)} real answers, {len(set(truth.topics.values()))} topics; "
        "bootstrap over topics, without any error a Wilson interval over answers",
        baseline=None if baseline is None else "word search, any case",
        baseline_value=None if baseline is None else _precision_or_recall(kind, truth, baseline)[0],
    )


def _precision_or_recall(kind: str, truth: Labelled, found: Pairs) -> tuple[float, float, float, int]:
    """Value, 90 % interval and the number of pairs it is a share of."""
    pairs = [pair for pair, said in (found if kind == "precision" else truth.mentioned).items() if said]
    right = np.array([truth.mentioned[pair] and found[pair] for pair in pairs], dtype=float)
    topics = np.array([truth.topics[answer] for answer, _ in pairs])
    value = float(right.mean())
    if value == 1.0:  # no error to draw: a bootstrap would claim certainty
        answers = len({answer for answer, _ in pairs})
        low, high = wilson_interval(answers, answers)
    else:
        low, high = percentile_interval(
            cluster_bootstrap(topics, lambda rows: float(right[rows].mean()), seed=SEED, replicates=400)
        )
    return value, low, high, len(pairs)


def _rank_figures(title: str, truth: Labelled, ranks: dict[tuple[str, str], int | None]) -> Iterator[Figure]:
    exact: list[bool] = []
    topics: list[str] = []
    ordered: list[bool] = []
    reading: list[bool] = []
    for answer_id, labelled in truth.ranks.items():
        for brand, rank in labelled.items():
            exact.append(ranks[answer_id, brand] == rank)
            topics.append(truth.topics[answer_id])
        for (one, first), (two, second) in combinations(labelled.items(), 2):
            if first != second:
                a, b = ranks[answer_id, one], ranks[answer_id, two]
                ordered.append(a is not None and b is not None and (a < b) == (first < second))
        # What a count of tracked brands in reading order would say: the first is 1, the next 2, ...
        for place, (_, rank) in enumerate(sorted(labelled.items(), key=lambda item: item[1]), start=1):
            reading.append(place == rank)
    right = np.array(exact, dtype=float)
    low, high = percentile_interval(
        cluster_bootstrap(np.array(topics), lambda rows: float(right[rows].mean()), seed=SEED, replicates=400)
    )
    yield Figure(
        benchmark="surfacing",
        name=f"rank exactly right, {title}",
        value=float(right.mean()),
        low=low,
        high=high,
        unit="",
        n=len(exact),
        method="brands with a labelled position in the answer's own list; bootstrap over topics",
        baseline="place among tracked brands, order known",
        baseline_value=float(np.mean(reading)),
    )
    yield Figure(
        benchmark="surfacing",
        name=f"pairs of brands in the right order, {title}",
        value=float(np.mean(ordered)),
        unit="",
        n=len(ordered),
        method="the same labels",
        baseline="chance",
        baseline_value=0.5,
    )


def _against_products(recorded: pl.DataFrame, products: dict[str, list[tuple[str, int]]]) -> Iterator[Figure]:
    counts: dict[str, int] = {}
    for listed in products.values():
        for brand in {name for name, _ in listed}:
            counts[brand] = counts.get(brand, 0) + 1
    tracked = sorted(counts, key=lambda brand: (-counts[brand], brand))[:TRACKED]
    brands = [Name(name=brand) for brand in tracked]
    began = time.process_time()
    found = answer_mentions(recorded, brands)
    plain = recorded.height / (time.process_time() - began)
    named = set(found.filter("mentioned").select("answer_id", "brand").iter_rows())
    listed_pairs = {(a, brand) for a, each in products.items() for brand, _ in each if brand in tracked}
    yield Figure(
        benchmark="surfacing",
        name="brands of the data's own products found",
        value=len(named & listed_pairs) / len(listed_pairs),
        unit="",
        n=len(listed_pairs),
        method="weak check: the set's own extraction, at most five products an answer; it credits iPhone to Apple",
    )
    yield Figure(
        benchmark="surfacing",
        name="answers read",
        value=plain,
        unit="answers/s",
        n=recorded.height,
        method=f"processor time, one core, {TRACKED} brands, without tone",
    )
    from liftos_pipelines.assets.surfacing import net_sentiment
    from liftos_pipelines.resources.sentiment_model import packaged_model

    model = packaged_model()
    began = time.process_time()
    answer_mentions(recorded, brands, lambda texts: net_sentiment(texts, model))
    yield Figure(
        benchmark="surfacing",
        name="answers read with tone",
        value=recorded.height / (time.process_time() - began),
        unit="answers/s",
        n=recorded.height,
        method="as above, with the packaged sentiment model on each mention's clause",
    )


def _geo_error() -> Figure:
    """Largest difference to the formula written out sentence by sentence, on random answers with bad references."""
    rng = np.random.default_rng(SEED)
    worst, naive_wrong = 0.0, 0
    for _ in range(GEO_ANSWERS):
        n, size = int(rng.integers(1, 8)), int(rng.integers(2, 40))
        counts: list[int] = rng.integers(0, 50, size).tolist()
        cited: list[list[int]] = [rng.integers(0, n + 3, rng.integers(0, 4)).tolist() for _ in range(size)]
        ours = word_position_impression(counts, cited, range(1, n + 1))
        expected = written_out(counts, cited, n)
        if (ours is None) != (expected is None):
            worst = math.inf
        elif ours is not None and expected is not None:
            worst = max(worst, max(abs(ours[i + 1] - expected[i]) for i in range(n)))
            naive_wrong += bool(np.abs(_python_indexing(counts, cited, n) - expected).max() > 1e-9)
    return Figure(
        benchmark="surfacing",
        name="GEO word count, largest error",
        value=worst,
        unit="",
        n=GEO_ANSWERS,
        goal="<= 1e-9",
        method="against the published formula written out; references 0 and beyond the list credit nobody",
        baseline="share of answers that 1-based indexing of a Python list gets wrong",
        baseline_value=naive_wrong / GEO_ANSWERS,
    )


def written_out(counts: Sequence[int], cited: Sequence[Sequence[int]], n: int) -> FloatArray | None:
    """Aggarwal et al. (2024), sum by sum; only references 1..n exist."""
    impressions = np.zeros(n)
    for source in range(1, n + 1):
        for position, references in enumerate(cited):
            for reference in references:
                if reference == source:
                    share = counts[position] / len(references)
                    impressions[source - 1] += share * math.exp(-position / (len(counts) - 1))
    return impressions / impressions.sum() if impressions.sum() > 0 else None


def _python_indexing(counts: Sequence[int], cited: Sequence[Sequence[int]], n: int) -> FloatArray:
    """The pitfall: `impressions[reference - 1]` with 0 falls through to the last source."""
    impressions = np.zeros(n)
    for position, references in enumerate(cited):
        for reference in references:
            if reference - 1 < n:
                impressions[reference - 1] += (
                    counts[position] / len(references) * math.exp(-position / (len(counts) - 1))
                )
    return impressions / max(impressions.sum(), 1e-300)
