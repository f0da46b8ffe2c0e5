"""Words, meaning and their fusion, on small worlds where the right answer is known."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.recall.index import RecallIndex, fuse
from liftos_pipelines.modules.memory.recall.lexical import Bm25, terms
from liftos_pipelines.modules.memory.records import history, items

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def index(texts: list[str], vectors: np.ndarray, kinds: list[str] | None = None) -> RecallIndex:
    rows = [{"source_key": str(i), "text": text, "valid_from": NOW} for i, text in enumerate(texts)]
    frames = [items.as_items((kinds or ["note"] * len(rows))[i], "sources/notes", [row]) for i, row in enumerate(rows)]
    return RecallIndex(history.remember(items.empty_items(), pl.concat(frames), NOW).added, vectors.astype(np.float32))


def unit(*rows: list[float]) -> np.ndarray:
    matrix = np.array(rows, dtype=float)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_terms_drop_endings_and_stop_words_and_pair_signs_without_spaces() -> None:
    assert terms("The deliveries of boxes, delivered") == ["deliveri", "box", "deliv"]
    assert terms("配送遅延") == ["配送", "送遅", "遅延"]
    assert terms("the of a") == []


def test_bm25_equals_the_formula_by_hand() -> None:
    bm25 = Bm25(["late parcel", "late late train arrives", "cheap shoes"])
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    mean = (2 + 4 + 2) / 3
    expected = [idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * n / mean)) for tf, n in ((1, 2), (2, 4))]
    assert np.allclose(bm25.scores("late"), [*expected, 0.0])
    assert bm25.shared("late parcel", 0) == ["parcel", "late"]  # the rarer word first


def test_words_and_meaning_each_carry_what_the_other_misses() -> None:
    found = index(["invoice 4711 unpaid", "parcels arrive late", "summer sale"], unit([1, 0, 0], [0, 1, 0], [0, 0, 1]))
    by_word = found.search("4711", unit([0.1, 0.1, 0.1])[0], 1)[0]
    by_meaning = found.search("slow shipping", unit([0, 1, 0.2])[0], 1)[0]
    assert by_word.text == "invoice 4711 unpaid"
    assert "carried by words" in by_word.explanation
    assert by_meaning.text == "parcels arrive late"
    assert "carried by meaning" in by_meaning.explanation
    assert found.search("slow shipping", unit([0, 1, 0.2])[0], 1, method="bm25")[0].bm25 == 0  # the dummy knows nothing


def test_fusion_keeps_scores_between_0_and_1_and_ties_are_stable() -> None:
    score = fuse(np.array([0.0, 2.0, 4.0]), np.array([0.3, 0.1, 0.2]))
    assert np.allclose(score, [0.5, 0.25, 0.75])
    assert np.allclose(fuse(np.zeros(3), np.full(3, 0.4)), 0)
    same = index(["x"] * 5, unit(*[[1.0, 0.0]] * 5))
    assert [hit.memory_id for hit in same.search("x", unit([1.0, 0.0])[0], 3)] == sorted(same.items["memory_id"])[:3]


def test_filters_and_limits() -> None:
    found = index(["a b", "a c", "a d"], unit([1, 0], [0, 1], [1, 1]), ["note", "alert", "note"])
    query = unit([1, 0])[0]
    assert {hit.kind for hit in found.search("a", query, 10, kinds=["alert"])} == {"alert"}
    assert found.search("a", query, 10, kinds=["nothing"]) == []
    assert len(found.search("a", query, 10, exclude=[found.items["memory_id"][0]])) == 2
    assert found.search("a", query, 10, as_of=datetime(2020, 1, 1, tzinfo=UTC)) == []
    with pytest.raises(ValueError, match="at least 1"):
        found.search("a", query, 0)


def test_the_best_k_of_many_are_the_best_k_of_a_full_sort() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(*rng.normal(size=(500, 8)).tolist())
    found = index([f"w{i % 7} w{i % 11}" for i in range(500)], vectors)
    query = unit(rng.normal(size=8).tolist())[0]
    few = [hit.memory_id for hit in found.search("w3 w5", query, 10)]
    assert few == [hit.memory_id for hit in found.search("w3 w5", query, 500)][:10]
    assert few == found.ranking("w3 w5", query, "hybrid")[:10]
