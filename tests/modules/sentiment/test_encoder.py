"""The encoder tier's arithmetic: spelling, stored changes, mixing with the fast tier, and where it is not asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.adapter import Adapter, AdapterError, copy_key, held_back, prepare
from liftos_pipelines.modules.sentiment.reading.calibration import debiased_calibration_error
from liftos_pipelines.modules.sentiment.reading.emotions import MOODS, EmotionScales, LabelScale
from liftos_pipelines.modules.sentiment.reading.encoder import (
    HEADS,
    DenseHead,
    PackagedReader,
    SentimentEncoder,
    SentimentReader,
)
from liftos_pipelines.modules.sentiment.reading.linear import softmax
from liftos_pipelines.modules.sentiment.reading.mixing import (
    Heard,
    Mixing,
    cross_fitted,
    fit_mixing,
    gain,
)
from liftos_pipelines.modules.sentiment.reading.model import ModelError
from liftos_pipelines.resources.sentiment_model import packaged_model

WIDTH = 6


def _scale(outputs: int) -> LabelScale:
    return LabelScale(slopes=np.ones(outputs), offsets=np.zeros(outputs), thresholds=np.full(outputs, 0.5))


@pytest.fixture
def encoder() -> SentimentEncoder:
    """An encoder whose first three features are its sentiment logits, and which serves English alone."""
    rng = np.random.default_rng(1)
    heads = {
        name: DenseHead(
            weights=rng.normal(size=(WIDTH, outputs)).astype(np.float16).astype(np.float32), bias=np.zeros(outputs)
        )
        for name, outputs in HEADS.items()
    }
    heads["sentiment"] = DenseHead(weights=np.eye(WIDTH, 3, dtype=np.float32), bias=np.zeros(3))
    change = (np.ones((4, 2), dtype=np.float16), np.full((2, 3), 0.5, dtype=np.float16))
    mixing = Mixing(fast=0.5, encoder=1.0, weights=np.zeros((30, 3)), offsets=np.zeros(3))
    return SentimentEncoder(
        adapter=Adapter(base="base", changes={"2.up": change}), heads=heads, mixing={"en": mixing},
        emotions=EmotionScales(fine=_scale(28), groups=_scale(4), basic=_scale(7)), mood_scale=(1.0, (0.0,) * 4),
        irony_scale=_scale(1),
    )  # fmt: skip


def test_emoji_hashtags_links_and_stretched_letters_reach_the_vocabulary_as_words() -> None:
    said = prepare("RT @anna: sooooo good \U0001f602\U0001f602\U0001f602 #SoHappy https://x.io/1")
    assert said == "@user: soo good face with tears of joy face with tears of joy # So Happy http"
    assert prepare("") == ""


def test_copies_of_a_text_are_held_back_together() -> None:
    texts = [f"the phone is fine {word}" for word in ("a", "bc", "def", "ghij", "klm", "nop", "qrs")] * 20
    copies = [text.upper() + f" !!! {k}" for k, text in enumerate(texts)]
    assert [held_back(text) for text in texts] == [held_back(text) for text in copies]
    assert copy_key("Great!! 12") == copy_key("great")
    share = np.mean(
        [held_back(f"text number {'x' * (k % 40)} {chr(97 + k % 26)} {'y' * (k // 40)}") for k in range(2000)]
    )
    assert 0.1 < share < 0.2


def test_a_stored_encoder_comes_back_the_same_and_a_damaged_one_is_refused(encoder: SentimentEncoder) -> None:
    arrays = encoder.to_arrays()
    again = SentimentEncoder.from_arrays(arrays)
    assert again.encoder_id == encoder.encoder_id
    features = np.random.default_rng(2).normal(size=(4, WIDTH)).astype(np.float32)
    for name, values in encoder.logits(features).items():
        assert np.allclose(again.logits(features)[name], values, atol=1e-5)
    with pytest.raises(ModelError, match=r"head\.irony\.weights"):
        SentimentEncoder.from_arrays({name: one for name, one in arrays.items() if name != "head.irony.weights"})
    with pytest.raises(AdapterError, match="stored by half"):
        Adapter.from_arrays("base", {name: one for name, one in arrays.items() if name != "change.2.up.a"})


def test_a_change_is_added_to_its_own_weight_and_refused_by_another_shape(encoder: SentimentEncoder) -> None:
    weight = np.zeros((4, 3), dtype=np.float32)
    assert np.allclose(encoder.adapter.changed("2.up", weight), 1.0)
    assert encoder.adapter.changed("0.up", weight) is weight
    with pytest.raises(AdapterError, match=r"2\.up is for a weight of 4 x 3, but the encoder's is 5 x 3"):
        encoder.adapter.changed("2.up", np.zeros((5, 3), dtype=np.float32))


def test_only_languages_that_gain_are_encoded_and_the_rest_stay_as_they_were(encoder: SentimentEncoder) -> None:
    asked: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.tile(np.array([0, 0, 9, 0, 0, 0], dtype=np.float32), (len(texts), 1))

    model = packaged_model()
    texts, codes = ["awful", "schlimm", "horrible", "bad"], ["en", "de", "es", "en"]
    alone = PackagedReader(model=model)
    both = PackagedReader(model=model, encoder=encoder, encode=encode)
    read = both.read(texts, codes, skip=np.array([False, False, False, True]))
    assert asked == ["awful"]
    assert read.encoded.tolist() == [True, False, False, False]
    assert read.probabilities[0].argmax() == 2
    assert np.allclose(read.probabilities[1:], alone.probabilities(texts, codes)[1:])
    assert read.emotions.mood[0] in MOODS
    assert read.emotions.mood[1:] == [None] * 3
    assert np.isnan(read.emotions.irony[1:]).all()
    assert both.model_id != alone.model_id == model.model_id
    assert isinstance(both, SentimentReader)
    assert replace(both, encode=None).read(texts, codes).encoded.sum() == 0


def _world(n: int, seed: int, strength: float) -> tuple[np.ndarray, Heard, np.ndarray]:
    """True classes, a weak calibrated fast reading, and an encoder that adds `strength` of its own, overconfident."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size=n)
    signal = np.eye(3)[labels]
    fast = softmax(signal * 1.0 + rng.normal(size=(n, 3)))
    logits = 3 * (signal * strength + rng.normal(size=(n, 3)))
    return fast, Heard(logits=logits, evidence=rng.normal(size=(n, 30))), labels


def test_mixing_gains_where_the_encoder_knows_more_and_claims_nothing_where_it_does_not() -> None:
    fast, heard, labels = _world(600, seed=3, strength=1.0)
    alone, mixed = (cross_fitted(fast, one, labels, seed=0) for one in (None, heard))
    _, low, _ = gain(alone, mixed, labels, seed=0)
    assert low > 0.05
    claimed = 0
    for seed in range(20):
        fast, noise, labels = _world(300, seed=100 + seed, strength=0.0)
        alone, mixed = (cross_fitted(fast, one, labels, seed=0) for one in (None, noise))
        claimed += gain(alone, mixed, labels, seed=0)[1] > 0.01
    assert claimed == 0


def test_the_mixture_states_the_confidence_it_deserves_and_the_bare_encoder_does_not() -> None:
    fast, heard, labels = _world(600, seed=4, strength=1.0)
    held_fast, held, truth = _world(6000, seed=5, strength=1.0)
    mixed = fit_mixing(fast, heard, labels).apply(held_fast, held)
    bare = softmax(held.logits)

    def error(p: np.ndarray) -> float:
        return debiased_calibration_error(p.max(axis=1), p.argmax(axis=1) == truth)

    assert error(mixed) < 0.04
    assert error(bare) > 0.1
    assert (mixed.argmax(axis=1) == truth).mean() > (held_fast.argmax(axis=1) == truth).mean()
