"""Weights learnt from answered questions: the channel that matters is found, chance teaches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.fit import WORDS_ALONE, Labelled, fit
from liftos_pipelines.modules.memory.recall.fusion import PRIOR, Settings
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors
from liftos_pipelines.modules.memory.records import history, items

ROWS, QUESTIONS, GROUPS = 120, 60, 12
START = Settings(weights={"words": 0.5, "meaning": 0.3, "oracle": 0.2}, spread=0.0)


@dataclass(frozen=True, eq=False)
class Oracle:
    """A channel that knows the answer to the questions of a world, or whatever it is told to say."""

    told: Callable[[str], NDArray[np.float64]]
    name: str = "oracle"

    def scores(self, query: RecallQuery) -> FloatArray:
        return self.told(query.text)

    def explain(self, query: RecallQuery, row: int) -> str:
        return "known"

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> Oracle:
        return self


def world(seed: int, *, words: float, meaning: float, oracle: float) -> tuple[RecallIndex, list[Labelled]]:
    """A collection where each channel points to the answer with its own probability, and elsewhere otherwise."""
    rng = np.random.default_rng(seed)
    rows = [{"source_key": str(i), "text": f"topic{i} thing"} for i in range(ROWS)]
    frame = history.remember(items.empty_items(), items.as_items("alert", "x", rows), datetime(2026, 1, 1, tzinfo=UTC))
    vectors = rng.normal(size=(ROWS, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = rng.integers(ROWS, size=QUESTIONS)

    def pointed(chance: float) -> NDArray[np.int64]:
        return np.where(rng.random(QUESTIONS) < chance, truth, rng.integers(ROWS, size=QUESTIONS))

    by_word, by_meaning, by_oracle = pointed(words), pointed(meaning), pointed(oracle)

    def told(text: str) -> NDArray[np.float64]:
        scores = 0.5 * np.random.default_rng(int(text.split()[0][1:])).random(ROWS)
        scores[by_oracle[int(text.split()[0][1:])]] = 1.0
        return scores

    index = RecallIndex(frame.added, vectors, channels=(Oracle(told),), settings=START)
    ids = frame.added["memory_id"].to_list()
    asked = [
        Labelled(
            query=RecallQuery(text=f"q{n} topic{by_word[n]}", vector=vectors[by_meaning[n]]),
            relevant=frozenset({ids[int(truth[n])]}),
            group=f"g{n % GROUPS}",
        )
        for n in range(QUESTIONS)
    ]
    return index, asked


def test_the_channel_that_matters_gets_the_weight() -> None:
    index, asked = world(1, words=0.1, meaning=0.1, oracle=0.9)
    found = fit(index, asked, prior=START)
    assert found.chosen == "fitted"
    assert found.settings.weights["oracle"] > 0.5 > START.weights["oracle"]
    assert found.gain_on_prior is not None
    assert found.gain_on_prior[1] > 0
    assert sum(found.settings.weights.values()) == 1
    other, asked_other = world(2, words=0.1, meaning=0.9, oracle=0.1)
    by_meaning = fit(other, asked_other, prior=START).settings.weights
    assert by_meaning["meaning"] > max(by_meaning["words"], by_meaning["oracle"])


def test_links_at_random_give_the_prior_back() -> None:
    rng = np.random.default_rng(5)
    kept = 0
    for seed in range(4):
        index, asked = world(10 + seed, words=0.5, meaning=0.5, oracle=0.5)
        ids = index.items["memory_id"].to_list()
        shuffled = [replace(one, relevant=frozenset({ids[int(rng.integers(ROWS))]})) for one in asked]
        kept += fit(index, shuffled, prior=START).chosen == "prior"
    assert kept >= 3


def test_a_prior_that_is_worse_than_words_gives_way_to_words_and_says_so() -> None:
    index, asked = world(3, words=0.95, meaning=0.05, oracle=0.05)
    bad = Settings(weights={"words": 0.02, "meaning": 0.9, "oracle": 0.08}, spread=0.0)
    found = fit(index, asked, prior=bad)
    assert found.settings.weights["words"] > 0.4  # fitted weights, or words alone: never the bad prior
    assert found.chosen in ("fitted", "words")
    hopeless = fit(index, [replace(one, group=f"g{n % 4}") for n, one in enumerate(asked)], prior=bad)
    assert hopeless.gain_on_words is not None
    assert hopeless.chosen != "prior" or hopeless.gain_on_words[2] >= 0
    assert WORDS_ALONE.weights == {"words": 1.0}


def test_few_questions_or_few_groups_teach_nothing() -> None:
    index, asked = world(4, words=0.1, meaning=0.1, oracle=0.9)
    assert fit(index, asked[:10]).settings is PRIOR
    one_group = fit(index, [replace(one, group="all") for one in asked], prior=START)
    assert one_group.chosen == "prior"
    assert "60 answered questions of 1 groups" in one_group.reason
