"""Recognising topics whose truth is planted: right, calibrated, silent about topics it does not hold."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.modules.memory.learning.familiarity import auroc
from liftos_pipelines.modules.memory.learning.recogniser import ALPHA, Recogniser
from liftos_pipelines.modules.memory.learning.recognition_quality import expected_calibration_error
from liftos_pipelines.modules.memory.learning.word_votes import WordTable

DIMENSIONS = 48


def texts_of(
    classes: int, each: int, spread: float, seed: int, world: int = 99
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes around directions of their own, with common directions that tell nothing; every class has a word."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(world).normal(size=(40, DIMENSIONS))
    labels = np.repeat(np.arange(classes), each)
    noise = rng.normal(size=(labels.size, DIMENSIONS)) * spread
    noise[:, :8] *= 3
    vectors = centres[labels] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    told = [f"text {rng.integers(50)} about w{label if rng.random() < 0.5 else rng.integers(40)}" for label in labels]
    return told, vectors.astype(np.float32), np.array([f"c{label}" for label in labels])


@pytest.fixture(scope="module")
def known() -> Recogniser:
    return Recogniser.of(*_lists(texts_of(20, 15, 1.0, seed=1)))


def _lists(made: tuple[list[str], np.ndarray, np.ndarray]) -> tuple[list[str], np.ndarray, list[str]]:
    return made[0], made[1], made[2].tolist()


def test_topics_are_recognised_better_than_by_the_nearest_text_and_with_honest_probability(known: Recogniser) -> None:
    texts, vectors, labels = texts_of(20, 40, 1.0, seed=2)
    found = known.recognise(texts, vectors)
    right = (found.best == labels).astype(float)
    nearest = known.classes[known.readings.codes[(vectors @ known.readings.vectors.T).argmax(axis=1)]] == labels
    assert right.mean() > nearest.mean() + 0.02
    assert expected_calibration_error(found.sure, right) < 0.07
    assert right[found.sure >= np.quantile(found.sure, 0.2)].mean() > right.mean()
    assert np.allclose(found.probability.sum(axis=1), 1)


def test_unknown_topics_are_taken_for_known_ones_as_rarely_as_promised(known: Recogniser) -> None:
    texts, vectors, labels = texts_of(40, 10, 1.0, seed=3)
    held = np.isin(labels, known.classes)
    found = known.recognise(texts, vectors)
    assert found.known[~held].mean() <= ALPHA + 0.05
    assert found.known[held].mean() > 0.3  # saying "unknown" to everything would pass the line above
    assert auroc(found.familiarity[held], found.familiarity[~held]) > 0.75


@pytest.mark.parametrize("each", [2, 3, 5])
def test_a_few_examples_are_enough_to_be_careful(each: int) -> None:
    wrongly, rightly, right = [], [], []
    for world in range(8):
        few = Recogniser.of(*_lists(texts_of(20, each, 0.6, seed=world, world=world + 500)))
        texts, vectors, labels = texts_of(40, 6, 0.6, seed=world + 1000, world=world + 500)
        held = np.isin(labels, few.classes)
        found = few.recognise(texts, vectors)
        wrongly.append(found.known[~held].mean())
        rightly.append(found.known[held].mean())
        right.append((found.best == labels)[held & found.known].mean())
    assert np.mean(wrongly) <= ALPHA + 2 * np.std(wrongly) / np.sqrt(8)
    assert np.mean(rightly) > 0.8
    assert np.mean(right) > 0.9


def test_one_class_or_two_texts_cannot_tell_the_unknown() -> None:
    texts, vectors, labels = _lists(texts_of(1, 3, 0.5, seed=6))
    found = Recogniser.of(texts, vectors, labels).recognise(texts, vectors)
    assert np.isnan(found.p_unrelated).all()
    assert not found.known.any()
    alone = Recogniser.of(["a", "b"], vectors[:2], ["x", "y"]).recognise(["never seen", ""], vectors[:2])
    assert not alone.known.any()
    with pytest.raises(ValueError, match="as many of each"):
        Recogniser.of([], vectors[:0], [])


def test_few_and_many_texts_are_matched_alike_by_words() -> None:
    told, _, _ = texts_of(5, 10, 0.5, seed=8)
    table = WordTable.of(told)
    many = table.similarity(told)
    assert np.allclose(many, np.vstack([table.similarity([text]) for text in told]), atol=1e-6)
    assert np.allclose(np.diag(many), 1, atol=1e-5)
    assert not table.similarity(["quite other words"]).any()
