"""Pattern recognition on Banking77 (published, CC BY 4.0) and recall at size, with what must fail beside."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.learning.evidence import Evidence
from liftos_pipelines.modules.memory.learning.recogniser import Recogniser
from liftos_pipelines.modules.memory.learning.recognition_quality import expected_calibration_error
from liftos_pipelines.modules.memory.learning.scope import ALPHA, calibrate, reach
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.records import history, items
from liftos_pipelines.resources.embedder import Embedder, default_model_path

SEED = 7


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], np.ndarray]:
    return Embedder(default_model_path(), tmp_path_factory.mktemp("cache")).encode


def read(folder: Path, split: str) -> pl.DataFrame:
    return pl.read_csv(folder / "memory" / "banking77" / f"{split}.csv")


def evidence_of(contexts: np.ndarray, topics: np.ndarray) -> Evidence:
    n = len(contexts)
    names = np.arange(n).astype(str)
    return Evidence(
        ids=names, contexts=contexts, actions=contexts[:1], action_codes=np.zeros(n, dtype=np.int64), action_texts=("x",),
        success=np.full(n, 0.5), moments=np.zeros(n, dtype=np.int64), groups=names, topics=topics,
        effects=np.zeros(n), errors=np.ones(n), metrics=names, scales=np.ones(n), fingerprint="",
    )  # fmt: skip


def recognise(similar: np.ndarray, labels: np.ndarray, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The label most of the k nearest agree on, and vote share times largest similarity."""
    guessed, sure = [], []
    for row in similar:
        nearest = np.argsort(-row, kind="stable")[:k]
        names, codes = np.unique(labels[nearest], return_inverse=True)
        votes = np.bincount(codes, weights=row[nearest])
        guessed.append(names[votes.argmax()])
        sure.append(votes.max() / votes.sum() * row[nearest[0]])
    return np.array(guessed), np.array(sure)


def at_coverage(right: np.ndarray, sure: np.ndarray, coverage: float) -> float:
    kept = np.argsort(-sure, kind="stable")[: round(coverage * right.size)]
    return float(right[kept].mean())


def half_seen(folder: Path, encode: Callable[[list[str]], np.ndarray], a_class: int, asked: int) -> dict[str, float]:
    """Half the intents are in memory, the other half are asked about too: what is answered, and is it right?"""
    rng = np.random.default_rng(SEED)
    train, test = read(folder, "train"), read(folder, "test").sample(asked, seed=SEED)
    seen = rng.permutation(sorted(train["category"].unique()))[:38].tolist()
    memory = train.sample(fraction=1.0, shuffle=True, seed=SEED).filter(pl.col("category").is_in(seen))
    memory = memory.group_by("category", maintain_order=True).head(a_class)
    held = evidence_of(encode(memory["text"].to_list()), memory["category"].to_numpy().astype(str))
    scope = calibrate(held)
    similar = (encode(test["text"].to_list()) @ held.contexts.T).astype(float)
    answered = np.array([scope.p_unrelated(score) <= ALPHA for score in reach(similar, held.topics)])
    inside = test["category"].is_in(seen).to_numpy()
    guessed, _ = recognise(similar, held.topics)
    right = guessed == test["category"].to_numpy()
    return {
        "false_answers": float(answered[~inside].mean()),
        "coverage": float(answered[inside].mean()),
        "accuracy": float(right[inside].mean()),
        "accuracy_answered": float(right[inside & answered].mean()),
        "n": float(asked),
    }


def test_memory_abstains_on_intents_it_never_saw_and_knows_those_it_did(
    shared_data: Path, encode: Callable[[list[str]], np.ndarray]
) -> None:
    got = half_seen(shared_data, encode, a_class=8, asked=160)
    assert got["false_answers"] <= ALPHA + 0.07  # two standard errors of 80 questions above the promise
    assert got["coverage"] > 0.5  # a memory that is always silent would pass the line above
    assert got["accuracy_answered"] > max(got["accuracy"], 0.9)


@pytest.mark.slow
def test_banking77_at_full_size(shared_data: Path, encode: Callable[[list[str]], np.ndarray]) -> None:
    train, test = read(shared_data, "train"), read(shared_data, "test")
    memory = train.sample(fraction=1.0, shuffle=True, seed=SEED).group_by("category", maintain_order=True).head(30)
    labels, truth = memory["category"].to_list(), test["category"].to_numpy()
    known, asked = encode(memory["text"].to_list()), encode(test["text"].to_list())
    begun = time.process_time()
    taught = Recogniser.of(memory["text"].to_list(), known, labels)
    spent = time.process_time() - begun
    found = taught.recognise(test["text"].to_list(), asked)
    right = found.best == truth
    nearest, _ = recognise((asked @ known.T).astype(float), np.array(labels))
    error = expected_calibration_error(found.sure, right.astype(float), bins=15)
    at_most = at_coverage(right, found.sure, 0.8)
    print(
        f"\nBanking77, n {right.size}: {right.mean():.3f}, 80 % {at_most:.3f}, ECE {error:.3f}, fit {spent:.1f} CPU s"
    )
    print("  half the intents unseen:", half_seen(shared_data, encode, a_class=20, asked=3000))
    assert right.mean() > max(0.905, (nearest == truth).mean() + 0.03)
    assert at_most >= 0.96
    assert error <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("n", [10_000, 50_000])
def test_recall_is_quick_at_size(n: int) -> None:
    """p95 of recall with a known query vector, beside a bare numpy product on the same machine."""
    rng = np.random.default_rng(SEED)
    vocabulary = np.array([f"word{i}" for i in range(8_000)])
    chances = 1 / np.arange(1, vocabulary.size + 1)
    texts = [" ".join(row) for row in rng.choice(vocabulary, size=(n, 20), p=chances / chances.sum())]
    vectors = rng.normal(size=(n, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [{"source_key": str(i), "text": text, "valid_from": None} for i, text in enumerate(texts)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    held = history.remember(items.empty_items(), items.as_items("note", "sources/notes", rows), now).added
    begun = time.perf_counter()
    index = RecallIndex(held, vectors)
    built = time.perf_counter() - begun

    def timed(call: Callable[[int], object]) -> np.ndarray:
        spent = []
        for i in range(300):
            start = time.perf_counter()
            call(i)
            spent.append((time.perf_counter() - start) * 1000)
        return np.percentile(spent, [50, 95])

    bare = timed(lambda i: np.argpartition(-(vectors @ vectors[i]), 10)[:10])
    found = timed(lambda i: index.search(texts[(i * 7) % n][:60], vectors[i], 10))
    print(
        f"\n{n} memories: recall p50 {found[0]:.1f} p95 {found[1]:.1f} ms; bare product p50 {bare[0]:.1f} p95 {bare[1]:.1f} ms; index built in {built:.1f} s"
    )
    assert found[0] < 40 * n / 10_000
