"""Does recall find what answers? Turns of long dialogues and documents, without a language model.

Every question is asked of its own collection by every method: the product's recall with its packaged weights, and
beside it what others do: MiniLM alone, BM25 alone, their reciprocal rank fusion, their equal sum, and chance. The
rivals read the plain texts; what the product makes of a text (who said it, the turn beside) is part of what is
measured. Intervals: 90 %, bootstrap over conversations, traces, questions or intents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.bench import retrieval_sets
from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.bench.retrieval_sets import Asked, RetrievalSet
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval

if TYPE_CHECKING:
    from liftos_pipelines.modules.memory.recall.index import RecallIndex

FloatArray = NDArray[np.float64]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
RIVALS = ("MiniLM alone", "BM25 alone", "reciprocal rank fusion", "equal sum", "chance")
METRICS = ("recall@10", "MRR", "hit@10", "session hit@5")
GOALS = {"recall@10": ">= .70", "MRR": ">= .50"}
SEED = 11


def measure(data: Path) -> Iterator[Figure]:
    """Simulated dialogues of seeds that nothing was chosen on, then the public sets that are there."""
    from liftos_pipelines.resources.embedder import open_embedder

    encode = open_embedder().encode
    talks = retrieval_sets.simulated()
    yield from figures(talks, encode)
    for named in (True, False):
        yield from figures(retrieval_sets.without_columns(talks, named=named), encode)
    for found in retrieval_sets.public(data):
        yield from figures(found, encode)


def figures(asked: RetrievalSet, encode: Encode) -> Iterator[Figure]:
    """A figure a method and metric; the product's own stand beside BM25 alone."""
    scores, groups, categories = scored(asked, encode)
    metrics = METRICS if asked.sessions else METRICS[:3]

    def figure(method: str, metric: str, among: NDArray[np.bool_], label: str = "") -> Figure:
        column = METRICS.index(metric)
        values = scores[method][among, column]
        draws = cluster_bootstrap(groups[among], lambda rows: float(values[rows].mean()), seed=SEED)
        low, high = percentile_interval(draws)
        own = method == "recall"
        return Figure(
            benchmark="memory",
            name=f"{asked.name}{label}: {metric}, {method}",
            value=float(values.mean()),
            low=low,
            high=high,
            unit="",
            n=int(among.sum()),
            goal=GOALS.get(metric) if own and asked.sessions and not label else None,
            baseline="BM25 alone" if own else None,
            baseline_value=float(scores["BM25 alone"][among, column].mean()) if own else None,
            method=f"{len(asked.collections)} collections, {sum(len(notes) for notes, _ in asked.collections):,} texts",
        )

    everything = np.ones(len(groups), dtype=bool)
    for metric in metrics:
        for method in ("recall", *RIVALS):
            yield figure(method, metric, everything)
    yield _against_words(asked.name, scores, groups)
    for category in sorted(set(categories.tolist()) - {""}) if asked.sessions else ():
        yield figure("recall", "recall@10", categories == category, f", {category}")


def _against_words(name: str, scores: dict[str, FloatArray], groups: NDArray[np.str_]) -> Figure:
    gain = scores["recall"][:, 0] - scores["BM25 alone"][:, 0]
    low, high = percentile_interval(cluster_bootstrap(groups, lambda rows: float(gain[rows].mean()), seed=SEED))
    return Figure(
        benchmark="memory",
        name=f"{name}: recall@10, recall minus BM25 alone",
        value=float(gain.mean()),
        low=low,
        high=high,
        unit="",
        n=gain.size,
        goal="interval not below 0",
        method="paired by question",
    )


def scored(asked: RetrievalSet, encode: Encode) -> tuple[dict[str, FloatArray], NDArray[np.str_], NDArray[np.str_]]:
    """(questions, metrics) of every method, and each question's group and category."""
    found: dict[str, list[list[float]]] = {method: [] for method in ("recall", *RIVALS)}
    groups, categories = [], []
    rng = np.random.default_rng(SEED)
    for notes, questions in asked.collections:
        own, plain, places = _indexes(notes, encode)
        sessions = np.array([subject or "" for subject in notes["subject"].to_list()])
        vectors = encode([question.text for question in questions])
        for question, vector in zip(questions, vectors, strict=True):
            rankings = {
                "recall": own.ranking(question.text, vector, "hybrid"),
                "MiniLM alone": plain.ranking(question.text, vector, "vector"),
                "BM25 alone": plain.ranking(question.text, vector, "bm25"),
                "reciprocal rank fusion": plain.ranking(question.text, vector, "rrf"),
                "equal sum": plain.ranking(question.text, vector, "linear"),
            }
            rows = {method: [places[name] for name in ranking] for method, ranking in rankings.items()}
            rows["chance"] = list(rng.permutation(notes.height))
            wanted = _wanted(question, notes)
            for method, ranking in rows.items():
                found[method].append(_metrics(ranking, wanted, sessions))
            groups.append(question.group)
            categories.append(question.category)
    return {method: np.array(values) for method, values in found.items()}, np.array(groups), np.array(categories)


def _indexes(notes: pl.DataFrame, encode: Encode) -> tuple[RecallIndex, RecallIndex, dict[str, int]]:
    """The product's index, one over the plain texts, and each memory id's row in `notes`."""
    from liftos_pipelines.modules.memory.recall.index import RecallIndex
    from liftos_pipelines.modules.memory.recall.texts import searchable
    from liftos_pipelines.modules.memory.records import from_sources, history
    from liftos_pipelines.modules.memory.records.items import empty_items

    items = from_sources.notes(notes)
    kept = history.remember(empty_items(), items, datetime(2026, 1, 1, tzinfo=UTC)).added
    nameless = pl.lit(None, dtype=pl.String)
    plain = kept.with_columns(text=pl.col("context"), author=nameless, subject=nameless)
    row_of = {key: row for row, key in enumerate(notes["note_id"])}
    keys = [json.loads(origin)["key"] for origin in kept["provenance"]]
    places = {name: row_of[key] for name, key in zip(kept["memory_id"], keys, strict=True)}
    return (
        RecallIndex(kept, encode(searchable(kept))),
        RecallIndex(plain, encode(plain["text"].to_list())),
        places,
    )


def _wanted(question: Asked, notes: pl.DataFrame) -> frozenset[int]:
    return frozenset(np.flatnonzero(notes["note_id"].is_in(list(question.relevant)).to_numpy()).tolist())


def _metrics(ranking: list[int], wanted: frozenset[int], sessions: NDArray[np.str_]) -> list[float]:
    """Recall@10, reciprocal rank, hit@10, and whether a session with an answer is among the five found first."""
    places = [place for place, row in enumerate(ranking, start=1) if row in wanted]
    first = list(dict.fromkeys(sessions[row] for row in ranking[:200]))[:5]
    return [
        sum(place <= 10 for place in places) / len(wanted),
        1 / places[0] if places else 0.0,
        float(bool(places) and places[0] <= 10),
        float(any(sessions[row] in first for row in wanted)),
    ]
