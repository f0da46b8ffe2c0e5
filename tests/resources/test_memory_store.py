"""The memory store on real LanceDB: nothing twice, nothing lost, nothing of another client, forgotten for good."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from liftos_pipelines.clients import ClientError
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.resources.embedder import Embedder, default_model_path
from liftos_pipelines.resources.memory_store import (
    CHANGES_BEFORE_COMPACTION,
    MemoryRefused,
    MemoryStore,
    open_memory,
    recall,
)
from liftos_pipelines.tables import table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2025, 3, 1, tzinfo=UTC)
PARCELS, BUDGET = "Parcels arrived late and customers were angry", "We raised the television budget"


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(default_model_path(), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def store(tmp_path: Path, embedder: Embedder) -> MemoryStore:
    return MemoryStore("acme", embedder, tmp_path)


def notes(*texts: str, first: int = 0) -> pl.DataFrame:
    contract = table("sources/notes")
    rows = [
        {"note_id": f"n{first + i}", "at": LONG_AGO + timedelta(seconds=first + i), "text": text}
        for i, text in enumerate(texts)
    ]
    frame = pl.DataFrame(
        [{c: row.get(c) for c in contract.columns} for row in rows], schema=contract.columns, orient="row"
    )
    return from_sources.notes(frame)


@pytest.mark.parametrize(
    "name",
    [
        "../acme",
        "/tmp/acme",
        "acme/../other",
        "a'; DROP TABLE items; --",
        'a"b',
        "",
        ".",
        "..",
        "_cache",
        "ACME",
        "a\x00b",
        "a b",
        "a" * 64,
    ],
)
def test_a_hostile_client_name_opens_nothing(name: str, home: Path, embedder: Embedder) -> None:
    for opened in (lambda: open_memory(name, embedder), lambda: MemoryStore(name, embedder), lambda: recall(name, "x")):
        with pytest.raises(ClientError, match="not allowed"):
            opened()
    assert not (home / "memory").exists()


def test_clients_do_not_see_each_other(tmp_path: Path, embedder: Embedder) -> None:
    acme, other = MemoryStore("acme", embedder, tmp_path), MemoryStore("acme-2", embedder, tmp_path)
    acme.remember(notes(PARCELS), NOW)
    assert other.recall("late parcels") == []
    assert other.history().is_empty()
    with pytest.raises(MemoryRefused):
        other.forget(acme.history()["memory_id"][0])


def test_remembering_recalling_and_remembering_again(store: MemoryStore) -> None:
    done = store.remember(notes(PARCELS, BUDGET), NOW)
    assert (done.added, done.closed, done.unchanged) == (2, 0, 0)
    assert store.flush() == 2
    version = store.version
    again = store.remember(notes(PARCELS, BUDGET), NOW + timedelta(days=1))
    assert (again.added, again.closed, again.unchanged) == (0, 0, 2)
    assert store.flush() == 0
    assert store.version == version
    assert store.recall("delivery was slow, people complained", k=1)[0].text == PARCELS
    assert store.count_unembedded() == 0
    assert store.full_text("television budget") == [items.memory_id("note", "n1")]


def test_a_changed_memory_is_found_in_its_new_words_and_as_of_then_in_its_old(store: MemoryStore) -> None:
    store.remember(notes(PARCELS), NOW)
    store.remember(notes("The depot flooded"), NOW + timedelta(days=2))
    assert [hit.text for hit in store.recall("what happened")] == ["The depot flooded"]
    assert [hit.text for hit in store.recall("what happened", as_of=NOW + timedelta(days=1))] == [PARCELS]
    naive = (LONG_AGO + timedelta(days=1)).replace(tzinfo=None)
    assert len(store.recall("what happened", as_of=naive)) == 1  # loaded later, but its own date is earlier
    assert store.recall("what happened", as_of=naive, strict=True) == []
    assert history.current(store.history()).height == 1


def test_filters_let_through_what_they_name_and_nothing_where_they_name_nothing(store: MemoryStore) -> None:
    mine = notes(PARCELS, BUDGET).with_columns(
        subject=pl.Series(["topic:parcels", "channel:tv"]), campaign_id=pl.Series([None, "spring"], dtype=pl.String)
    )
    store.remember(mine, NOW)
    dated = mine["valid_from"][0]

    def found(**filters: object) -> list[str]:
        return [hit.text for hit in store.recall("parcels and the budget", **filters)]  # type: ignore[arg-type]

    assert found(subjects={"channel:tv"}) == found(campaigns=["spring"]) == [BUDGET]
    assert (len(found(since=dated, until=dated)), found(until=dated)) == (1, [PARCELS])
    assert found(since=dated + timedelta(days=1)) == found(until=dated - timedelta(days=1)) == []
    assert found(subjects=["channel:radio"]) == found(campaigns=[]) == []
    for wrong in ({"subjects": "channel:tv"}, {"campaigns": [3]}, {"since": "2026"}, {"since": NOW, "until": dated}):
        with pytest.raises(MemoryRefused):
            found(**wrong)


def test_what_stands_deep_in_a_long_text_is_found_kept_and_forgotten(tmp_path: Path, embedder: Embedder) -> None:
    idle = "The meeting began on time and the minutes of the last one were read. " * 30
    store = MemoryStore("acme", embedder, tmp_path, flush_seconds=None)
    store.remember(notes(idle + "The crane at the harbour broke, ships wait outside.", "A crane is a bird", idle), NOW)
    asked = "vessels cannot unload because machinery failed"

    def best(one: MemoryStore) -> float | None:
        hits = {hit.memory_id: hit.cosine for hit in one.recall(asked, 3, encoder="full")}
        return hits[items.memory_id("note", "n0")]

    shallow = float(embedder.encode([idle])[0] @ embedder.encode([asked])[0])
    found = best(store)
    assert found is not None
    assert found > shallow + 0.1, "its beginning alone is what MiniLM reads"
    store.flush()
    held = sum(len(vectors) for vectors in store.table.windows(store._access.space).values())
    assert held > 4
    assert (store.count(), store.table.count()) == (3, 3), "windows are no memories"
    assert best(MemoryStore("acme", embedder, tmp_path)) == pytest.approx(found, abs=1e-6)

    store.table._open().drop_table("windows")  # a store from before there were windows
    older = MemoryStore("acme", embedder, tmp_path)
    assert best(older) < found  # type: ignore[operator]
    older.optimize()
    assert best(older) == pytest.approx(found, abs=1e-6)

    forgotten = older.forget(items.memory_id("note", "n0"))
    assert forgotten.cached_vectors == 3, "the text, the window that repeats, and the last one"
    left = older.table.windows(older._access.space)
    assert {name.partition("@")[0] for name in left} == {items.memory_id("note", "n2")}


def test_eight_threads_saying_the_same_leave_no_duplicates(tmp_path: Path, embedder: Embedder) -> None:
    said = notes(*[f"note number {i}" for i in range(25)])
    embedder.encode(said["text"].to_list())
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            MemoryStore("acme", embedder, tmp_path).remember(said, NOW + timedelta(seconds=number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    held = MemoryStore("acme", embedder, tmp_path).history()
    assert held.height == 25
    assert held["memory_id"].n_unique() == 25


def test_a_batch_that_says_one_memory_twice_keeps_the_last(store: MemoryStore) -> None:
    store.remember(pl.concat([notes("first"), notes("second")]), NOW)
    assert store.history()["text"].to_list() == ["second"]


def test_another_processs_writes_are_seen(tmp_path: Path, embedder: Embedder) -> None:
    reader, writer = MemoryStore("acme", embedder, tmp_path), MemoryStore("acme", embedder, tmp_path)
    writer.remember(notes(PARCELS), NOW)
    assert len(reader.recall("parcels")) == 1
    writer.remember(notes(BUDGET, first=1), NOW)
    assert len(reader.recall("parcels")) == 2


def test_forgetting_reaches_table_index_files_and_cache_and_stays_forgotten(store: MemoryStore, tmp_path: Path) -> None:
    secret = "Zyxwvut the wizard asked to be erased"
    store.remember(notes(secret, BUDGET), NOW)
    store.remember(notes(secret + " twice", BUDGET), NOW + timedelta(days=1))
    store.tag("audit")
    store.remember(notes(secret + " thrice", BUDGET), NOW + timedelta(days=1))
    on_disk = [file for file in store.folder.rglob("*") if file.is_file() and b"Zyxwvut" in file.read_bytes()]
    assert on_disk  # otherwise looking for it afterwards proves nothing
    forgotten = store.forget(items.memory_id("note", "n0"))
    assert forgotten.versions == 3
    assert store.at("audit")["text"].to_list() == [BUDGET]  # what was cited stays, without what was erased
    assert forgotten.cached_vectors >= 2
    assert store.recall("Zyxwvut wizard")[0].text == BUDGET
    assert store.full_text("Zyxwvut") == []
    assert [
        file for file in store.folder.rglob("*") if file.is_file() and b"zyxwvut" in file.read_bytes().lower()
    ] == []
    store.remember(notes(secret, BUDGET), NOW + timedelta(days=2))
    assert store.count_current() == 1
    with pytest.raises(MemoryRefused, match="has no memory"):
        store.forget("' OR 1=1 --")


def test_compaction_keeps_what_is_cited_and_bounds_the_versions(store: MemoryStore) -> None:
    for number in range(8):
        store.remember(notes(f"text {number}"), NOW + timedelta(days=number))
        store.flush()
    cited = store.tag("decision:act-1")
    for number in range(8, 40):
        store.remember(notes(f"text {number}"), NOW + timedelta(days=number))
        store.flush()
    assert store.tag("decision:act-1") == cited  # what was cited once does not move
    assert store.table.fragments() <= CHANGES_BEFORE_COMPACTION + 1
    shape = store.optimize(timedelta(0))
    assert shape.versions <= 3
    assert (shape.rows, shape.unindexed, shape.pinned) == (40, 0, 1)
    assert store.at("decision:act-1")["text"].to_list() == [f"text {number}" for number in range(8)]
    assert store.history().height == 40  # no version of the memory is lost by compaction
    store.optimize(timedelta(0), now=datetime.now(UTC) + timedelta(days=182))
    assert set(store.tags()) == {"decision-act-1"}
    store.optimize(timedelta(0), now=datetime.now(UTC) + timedelta(days=184))
    assert store.tags() == {}
    with pytest.raises(KeyError, match="pinned"):
        store.at("decision:act-1")


def test_an_empty_question_is_refused_and_an_unknown_memory_is_empty(store: MemoryStore) -> None:
    assert store.recall("anything") == []
    with pytest.raises(MemoryRefused, match="empty"):
        store.recall("   ")


def test_vectors_of_another_model_are_replaced(store: MemoryStore) -> None:
    store.remember(notes(PARCELS), NOW)
    store.flush()
    store.table.items().update(values={"model_id": "another", "vector": [0.0] * 384})
    opened = MemoryStore("acme", store.embedder, store.folder.parent)
    assert opened.index().vectors[0] @ store.embedder.encode([PARCELS])[0] > 0.99
    assert opened.table.count("model_id = 'another'") == 1
    opened.optimize()
    assert opened.table.count("model_id = 'another'") == 0
    assert (opened.count_unembedded(), opened.count()) == (0, 1)


def test_ten_thousand_memories_come_back_whole(tmp_path: Path, embedder: Embedder) -> None:
    """Reads have no hidden limit; vectors are taken from a few texts so that the test is quick."""
    said = pl.concat([notes(*[f"kind {i % 40} of note" for i in range(10_000)])])
    store = MemoryStore("acme", embedder, tmp_path)
    store.remember(said, NOW)
    assert store.history().height == 10_000
    assert len(store.index()) == 10_000
