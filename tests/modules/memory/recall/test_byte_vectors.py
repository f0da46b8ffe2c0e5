"""Byte-sized vectors: the same order as exact cosines, exact for the best, no mixing, growing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.recall import byte_vectors, meaning
from liftos_pipelines.modules.memory.recall.byte_vectors import EXACT, ByteVectors
from liftos_pipelines.modules.memory.recall.query import RecallQuery


def unit(n: int, d: int = 96, seed: int = 1) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_cosines_are_close_everywhere_and_exact_for_the_best() -> None:
    vectors = unit(3_000)
    asked = vectors[7]
    exact, small = vectors @ asked, ByteVectors.of(vectors).cosines(asked, vectors)
    assert np.abs(exact - small).max() < 0.006
    best = np.argsort(-exact)[: EXACT // 2]
    assert np.allclose(small[best], exact[best], atol=1e-6)
    assert np.array_equal(np.argsort(-small)[:20], np.argsort(-exact)[:20])


def test_rows_without_a_vector_stay_at_nothing() -> None:
    vectors = unit(600)
    vectors[5] = 0
    assert ByteVectors.of(vectors).cosines(unit(1)[0], vectors)[5] == 0


def test_grown_equals_made_at_once_and_the_shorter_one_stays() -> None:
    vectors = unit(1_000)
    short = ByteVectors.of(vectors[:700])
    whole = short.extended(vectors[700:])
    asked = unit(1, seed=9)[0]
    assert np.array_equal(whole.cosines(asked, vectors), ByteVectors.of(vectors).cosines(asked, vectors))
    assert short.cosines(asked, vectors[:700]).shape == (700,)


def test_the_channel_ranks_alike_with_bytes_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = {"a": unit(900), "b": unit(900, 32)}
    plain = meaning.MeaningChannel.of(900, vectors)
    monkeypatch.setattr(meaning, "WORTH_IT", 500)
    fast = meaning.MeaningChannel.of(900, vectors)
    assert not plain.small
    assert set(fast.small) == {"a", "b"}
    for model in vectors:
        query = RecallQuery(text="", vector=unit(1, vectors[model].shape[1], seed=4)[0], model_id=model)
        assert np.allclose(plain.scores(query), fast.scores(query), atol=0.006)
        assert np.argmax(plain.scores(query)) == np.argmax(fast.scores(query))
    grown = plain.extended(pl.DataFrame({"text": ["x"]}), {"a": unit(1, seed=8)})
    query = RecallQuery(text="", vector=unit(1, seed=8)[0], model_id="a")
    assert np.argmax(grown.scores(query)) == 900
    assert grown.scores(RecallQuery(text="", vector=unit(1, 32)[0], model_id="b"))[900] == 0
    assert byte_vectors.WORTH_IT > 1_000, "small memories are compared exactly"
