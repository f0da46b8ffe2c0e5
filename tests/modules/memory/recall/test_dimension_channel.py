"""Conceptual dimensions: signs on phrases that no pole holds, standardised places, and the channel made of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import yaml

from liftos_pipelines.modules.memory.recall.dimensions import (
    Dimension,
    DimensionError,
    Scale,
    axes_of,
    dimension_channel,
    dimensions_from,
)
from liftos_pipelines.modules.memory.recall.query import Channel, RecallQuery

SIZE = 64


def bag(texts: list[str]) -> np.ndarray:
    """Unit vectors by summed random word vectors: a space whose geometry is known."""
    out = np.zeros((len(texts), SIZE), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            out[row] += np.random.default_rng(abs(hash_of(word))).normal(size=SIZE).astype(np.float32)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def hash_of(word: str) -> int:
    return int.from_bytes(word.encode()[:8].ljust(8, b"."), "little")


PACE = Dimension(domain="d", name="pace", high=("fast quick rapid",), low=("slow tardy late",), high_words=("express",))
COST = Dimension(domain="d", name="cost", high=("dear pricey",), low=("cheap bargain",))


def channel(texts: list[str], **options: object) -> tuple[Channel, pl.DataFrame]:
    axes = axes_of([PACE, COST], bag, "bag")
    frame = pl.DataFrame({"text": texts})
    return dimension_channel(frame, {"bag": bag(texts)}, [axes], **options), frame  # type: ignore[arg-type]


def ask(text: str) -> RecallQuery:
    return RecallQuery(text=text, vector=bag([text])[0], model_id="bag")


def test_places_lie_at_the_poles_and_a_spoken_word_moves_them() -> None:
    axes = axes_of([PACE, COST], bag, "bag")
    texts = ["fast quick rapid", "slow tardy late"]
    places = axes.places(texts, bag(texts))
    assert places[0, 0] > 0.5
    assert places[1, 0] < -0.5
    plain, spoken = (axes.places([text], bag(["parcel"])) for text in ("parcel", "express parcel"))
    assert spoken[0, 0] - plain[0, 0] == pytest.approx(0.5)
    assert np.isnan(axes.places(["x"], np.zeros((1, SIZE), np.float32))).all()


def test_the_channel_brings_back_what_leans_the_same_way_and_says_on_what() -> None:
    texts = ["quick rapid parcel", "slow late parcel", "pricey parcel", "cheap parcel", "parcel"] * 10
    found, _ = channel(texts)
    query = ask("fast delivery")
    score = found.scores(query)
    assert isinstance(found, Channel)
    assert score[0] > score[4] > score[1] or score[0] > max(score[1], score[4])
    assert score[1] == 0, "leaning the other way is no evidence"
    assert found.explain(query, 0).startswith("both high in d pace")
    assert ((score >= 0) & (score <= 1 + 1e-6)).all()


def test_a_weight_of_zero_switches_a_dimension_off() -> None:
    texts = ["quick parcel", "cheap parcel", "pricey parcel", "slow parcel"] * 10
    off, _ = channel(texts, weights={"d.pace": 0.0})
    assert "pace" not in off.explain(ask("fast"), 0)
    silent, _ = channel(texts, weights={"d.pace": 0.0, "d.cost": 0.0})
    assert not silent.scores(ask("fast")).any()
    with pytest.raises(DimensionError, match=r"d\.speed"):
        channel(texts, weights={"d.speed": 1.0})


def test_another_models_vector_meets_nothing() -> None:
    found, _ = channel(["quick parcel", "slow parcel"])
    assert not found.scores(RecallQuery(text="fast", vector=bag(["fast"])[0], model_id="other")).any()
    assert not found.scores(RecallQuery(text="fast")).any()
    assert found.explain(RecallQuery(text="fast"), 0) == ""


def test_rows_without_a_vector_have_no_evidence_and_extended_rows_are_placed_as_the_first() -> None:
    texts = ["quick parcel", "slow parcel"] * 20
    axes = axes_of([PACE, COST], bag, "bag")
    vectors = bag(texts)
    vectors[0] = 0
    found = dimension_channel(pl.DataFrame({"text": texts}), {"bag": vectors}, [axes])
    assert found.scores(ask("quick"))[0] == 0
    grown = found.extended(pl.DataFrame({"text": ["quick parcel"]}), {"bag": bag(["quick parcel"])})
    score = grown.scores(ask("quick"))
    assert score.shape == (41,)
    assert score[40] == pytest.approx(score[2], abs=1e-6)
    assert grown.extended(pl.DataFrame({"text": ["x"]}), {}).scores(ask("quick"))[41] == 0


def test_a_small_collection_is_standardised_mostly_by_the_poles() -> None:
    axes = axes_of([PACE, COST], bag, "bag")
    one = Scale.of(np.array([[5.0, 5.0]]), axes)
    assert np.allclose(one.mean, axes.centre + (5 - axes.centre) / 31)
    empty = Scale.of(np.empty((0, 2)), axes)
    assert np.allclose(empty.deviation, axes.spread)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "domain"),
        ({"domain": "d", "dimensions": {"a": {"high": ["x"]}}}, "low has none"),
        ({"domain": "d", "dimensions": {"a": {"high": ["x"], "low": ["y"], "hi": []}}}, r"d\.a"),
        ({"domain": "d", "dimensions": {"a": {"high": ["x"], "low": [True]}}}, r"d\.a\.low"),
        ({"domain": "d", "dimensions": {"a": {"high": ["x"], "low": ["y"], "high_words": ["Z"], "low_words": ["z"]}}},
         "both poles"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_refused_with_its_place(content: dict[str, object], said: str) -> None:
    with pytest.raises(DimensionError, match=said):
        dimensions_from(content)


def test_poles_that_a_model_cannot_tell_apart_are_refused() -> None:
    same = Dimension(domain="d", name="x", high=("a b",), low=("b a",))
    with pytest.raises(DimensionError, match="same vector"):
        axes_of([same], bag, "bag")


def test_held_phrases_are_none_of_the_poles() -> None:
    from liftos_pipelines.bench import memory_dimensions
    from liftos_pipelines.resources.dimension_data import all_dimensions

    held = yaml.safe_load(memory_dimensions.PHRASES.read_text(encoding="utf-8"))
    count = 0
    for domain, dimensions in all_dimensions().items():
        assert {one.name for one in dimensions} == set(held[domain])
        for one in dimensions:
            written = set(one.high) | set(one.low)
            phrases = held[domain][one.name]["high"] + held[domain][one.name]["low"]
            assert not written & set(phrases)
            count += len(phrases)
    assert count == 300


@pytest.mark.slow
def test_signs_hold_on_held_phrases_and_random_lines_are_at_chance() -> None:
    from liftos_pipelines.bench import memory_dimensions
    from liftos_pipelines.resources.embedder import open_embedder

    signs = memory_dimensions.signs(open_embedder())
    assert signs.right > 0.72
    assert signs.ordered > 0.82
    assert abs(signs.random - 0.5) < 0.06
