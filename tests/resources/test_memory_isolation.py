"""No name, filter or text, however hostile, reaches another client's memory; what is unknown answers nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftos_pipelines.clients import ClientError
from liftos_pipelines.modules.memory.records import from_sources, items
from liftos_pipelines.resources.embedder import Embedder, _key, default_model_path
from liftos_pipelines.resources.memory_journal import JournalError
from liftos_pipelines.resources.memory_store import MemoryRefused, MemoryStore, open_memory
from liftos_pipelines.resources.memory_table import checked_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINE, THEIRS = "our own parcels came late", "their secret margin is nine percent"
HOSTILE = [
    "acme/../other", "../other", "..\\other", "/etc/passwd", "other\x00", "acme%2f..%2fother", "%2e%2e/other", "acme' OR '1'='1",
    "' OR 1=1 --", "note') OR (1=1", "note' UNION SELECT * FROM items --", '"; DROP TABLE items; --', "*", "%", "_", "оther", "ｏther", "Other",
    "other ", " other", "other\n", "\u202eother", "o\u0301ther", "", ".", "..", "~", "$HOME", "other;acme", "other,acme", "null", "None",
    "x" * 64, "x" * 100_000, "memory_id IS NOT NULL", "superseded_at IS NULL) OR (TRUE",
]  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryStore, MemoryStore]:
    """Two clients' memories beside each other, flushed to LanceDB; vectors known, so that no model is loaded."""
    root, cache = tmp_path_factory.mktemp("memory"), tmp_path_factory.mktemp("cache")
    embedder = Embedder(default_model_path(), cache)
    vector = (np.ones(384) / np.sqrt(384)).astype(np.float32)
    embedder._write({_key(text): vector for text in (MINE, THEIRS)})
    mine, theirs = (MemoryStore(name, embedder, root, flush_seconds=None) for name in ("acme", "other"))
    for store, text in ((mine, MINE), (theirs, THEIRS)):
        store.remember(from_sources.facts([{"subject": "x", "predicate": "y", "text": text}]), NOW)
        store.flush()
    return mine, theirs


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if name not in ("null", "other")], ids=range(len(HOSTILE) - 1)
)
def test_a_hostile_name_opens_no_memory(name: str, home: Path, stores: tuple[MemoryStore, MemoryStore]) -> None:
    with pytest.raises(ClientError):
        open_memory(name, stores[0].embedder)
    assert not (home / "memory").exists()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_filter_or_id_finds_nothing(value: str, stores: tuple[MemoryStore, MemoryStore]) -> None:
    mine, theirs = stores
    for filters in ({"kinds": [value]}, {"domains": [value]}):
        assert mine.recall(MINE, encoder="full", **filters) == []
    with pytest.raises(MemoryRefused, match="no memory"):
        mine.forget(value)
    if not (value.isascii() and value.isalnum()):
        with pytest.raises(ValueError, match="not a memory id"):
            checked_id(value)
    with pytest.raises((KeyError, MemoryRefused)):
        mine.at(value)
    assert (mine.count(), theirs.count()) == (1, 1)


def test_a_text_in_place_of_a_set_of_names_is_refused(stores: tuple[MemoryStore, MemoryStore]) -> None:
    with pytest.raises(MemoryRefused, match="collections of names"):
        stores[0].recall(MINE, kinds="fact")
    assert stores[0].recall(MINE, kinds=[], encoder="full") == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.text(min_size=1, max_size=60).filter(str.strip), kind=st.text(max_size=20))
def test_no_question_brings_back_what_another_client_said(
    asked: str, kind: str, stores: tuple[MemoryStore, MemoryStore]
) -> None:
    mine, _ = stores
    for filters in ({}, {"kinds": [kind]}, {"domains": [kind]}):
        for hit in mine.recall(asked, encoder="static", **filters):
            assert hit.text == MINE


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    subject=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
)
def test_any_text_is_kept_as_it_is_and_stays_at_home(
    text: str, subject: str, tmp_path_factory: pytest.TempPathFactory, stores: tuple[MemoryStore, MemoryStore]
) -> None:
    root = tmp_path_factory.mktemp("texts")
    said = from_sources.facts([{"subject": subject, "predicate": "p", "text": text}])
    MemoryStore("acme", stores[0].embedder, root, flush_seconds=None).remember(said, NOW)
    opened = MemoryStore("acme", stores[0].embedder, root, flush_seconds=None)
    assert opened.history()["text"].to_list() == [text]
    assert opened.history()["subject"].to_list() == [subject]
    assert MemoryStore("other", stores[0].embedder, root, flush_seconds=None).count() == 0


def test_another_clients_journal_file_is_not_read_as_ones_own(
    tmp_path: Path, stores: tuple[MemoryStore, MemoryStore]
) -> None:
    store = MemoryStore("acme", stores[0].embedder, tmp_path, flush_seconds=None)
    folder = tmp_path / "acme" / "journal"
    folder.mkdir(parents=True)
    (folder / f"{0:012d}.active").write_bytes(b"not a record\n00000000 {}\n")
    assert store.count() == 0
    store.remember(from_sources.facts([{"subject": "x", "predicate": "y", "text": MINE}]), NOW)
    assert store.history()["text"].to_list() == [MINE]


def test_ids_of_memories_can_stand_in_a_predicate() -> None:
    assert checked_id(items.memory_id("note", "' OR 1=1 --"))


def test_an_error_of_the_journal_names_the_file(tmp_path: Path, stores: tuple[MemoryStore, MemoryStore]) -> None:
    store = MemoryStore("acme", stores[0].embedder, tmp_path, flush_seconds=None)
    folder = tmp_path / "acme" / "journal"
    folder.mkdir(parents=True)
    (folder / f"{0:012d}.active").mkdir()  # something that cannot be written
    with pytest.raises((JournalError, OSError), match="active"):
        store.remember(pl.concat([from_sources.facts([{"subject": "x", "predicate": "y", "text": MINE}])]), NOW)
