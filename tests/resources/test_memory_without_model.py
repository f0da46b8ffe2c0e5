"""The memory where its model or its cache of vectors fails: kept, found by what is left, put right later, and said."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.modules.memory.records import from_sources
from liftos_pipelines.resources import embedder as embedding
from liftos_pipelines.resources.embedder import Embedder, default_model_path
from liftos_pipelines.resources.memory_store import MemoryRefused, MemoryStore, _shared, open_memory
from liftos_pipelines.simulate.dialogue_worlds import NOTES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARCELS, BUDGET = "Parcels arrived late and customers were angry", "We raised the television budget"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LIFTOS_HOME", str(tmp_path))
    yield tmp_path
    _shared.cache_clear()


def notes() -> pl.DataFrame:
    rows = [(f"n{place}", NOW, text, None, None, None) for place, text in enumerate((PARCELS, BUDGET))]
    return from_sources.notes(pl.DataFrame(rows, schema=NOTES, orient="row"))


def test_without_the_weights_memories_are_kept_found_by_words_and_static_vectors_and_embedded_later(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LIFTOS_EMBEDDER_PATH", str(home / "nowhere"))
    with caplog.at_level(logging.WARNING):
        bare = open_memory("acme")
    assert "memories are kept but not embedded" in caplog.text
    assert "LIFTOS_EMBEDDER_PATH" in caplog.text, "the warning says what to do"
    assert bare.remember(notes(), NOW).added == 2
    assert bare.recall("the television budget", 1)[0].text == BUDGET
    meant = bare.recall("package delays", 1)[0]
    assert (meant.text, meant.matched) == (PARCELS, ()), "no shared word: the static vectors found it"
    assert [part.channel for part in meant.evidence] == ["meaning"]
    bare.optimize()
    assert bare.count_unembedded() == 2

    monkeypatch.delenv("LIFTOS_EMBEDDER_PATH")
    healed = open_memory("acme")
    assert healed.embedder is not None
    healed.optimize()
    assert healed.count_unembedded() == 0
    assert healed.recall("package delays", 1, encoder="full")[0].text == PARCELS

    # Forgetting reaches what the model left behind, also when the model is gone.
    assert healed.embedder.known(PARCELS) is not None
    monkeypatch.setenv("LIFTOS_EMBEDDER_PATH", str(home / "nowhere"))
    parcels = next(hit.memory_id for hit in healed.recall(PARCELS, 2) if hit.text == PARCELS)
    assert open_memory("acme").forget(parcels).cached_vectors == 1
    assert Embedder(default_model_path_of(monkeypatch), home / "memory" / "_cache").known(PARCELS) is None


def default_model_path_of(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LIFTOS_EMBEDDER_PATH", raising=False)
    return default_model_path()


def test_a_damaged_cache_costs_time_and_a_locked_one_stops_only_forgetting(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_LOCK_SECONDS", 0.05)
    cache = home / "memory" / "_cache"
    first = Embedder(default_model_path(), cache)
    cache.mkdir(parents=True)
    first.cache_file.write_bytes(b"this is no database" * 100)
    store = MemoryStore("acme", first, flush_seconds=None)
    store.remember(notes(), NOW)
    with pytest.warns(UserWarning, match="made anew"):
        assert store.recall("package delays", 1, encoder="full")[0].text == PARCELS
    store.flush()

    with closing(sqlite3.connect(first.cache_file, isolation_level=None)) as other:
        other.execute("CREATE TABLE IF NOT EXISTS held (x)")
        other.execute("BEGIN EXCLUSIVE")
        reader = MemoryStore("acme", Embedder(default_model_path(), cache), flush_seconds=None)
        with pytest.warns(UserWarning, match="free the disk or the lock"):
            hit = reader.recall("packages were delayed", 1, encoder="full")[0]
        assert hit.text == PARCELS
        with pytest.raises(MemoryRefused, match="forget again"):
            reader.forget(hit.memory_id)
        other.execute("ROLLBACK")
    assert reader.count_current() == 2, "what was not forgotten whole was not forgotten at all"
    assert reader.forget(hit.memory_id).versions == 1
    assert [left.text for left in reader.recall("package delays", 2, encoder="full")] == [BUDGET]
