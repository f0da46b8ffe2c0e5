"""Which rows are one memory, what supersedes what, and that any past answer is a replay of what was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.modules.memory.records.sameness import split_aliases
from liftos_pipelines.tables import table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def note(key: str, text: str, at: datetime = NOW, author: str = "Ana", subject: str = "launch") -> pl.DataFrame:
    contract = table("sources/notes")
    row = {"note_id": key, "at": at, "text": text, "author": author, "subject": subject}
    full = {column: row.get(column) for column in contract.columns}
    return from_sources.notes(pl.DataFrame([full], schema=contract.columns, orient="row"))


def fact(subject: str, predicate: str, text: str, since: datetime | None = NOW) -> pl.DataFrame:
    return from_sources.facts([{"subject": subject, "predicate": predicate, "text": text, "valid_from": since}])


def told(*steps: tuple[datetime, pl.DataFrame]) -> pl.DataFrame:
    past = items.empty_items()
    for moment, said in steps:
        for layer in history.layers(said):
            past = history.apply(past, history.remember(past, layer, moment))
    return past


def merged(*frames: pl.DataFrame) -> tuple[list[str], list[str]]:
    kept, aliases = split_aliases(pl.concat(frames), lambda _: None, lambda _: False)
    return kept["source_key"].to_list(), [alias.source_key for alias in aliases]


# --- one memory under two ids ----------------------------------------------------------------------------
def test_a_note_exported_again_under_another_id_is_an_alias() -> None:
    assert merged(note("n1", "The carrier lost parcels."), note("x9", "the carrier  LOST parcels")) == (["n1"], ["x9"])


@pytest.mark.parametrize(
    "other",
    [
        note("x9", "The carrier lost a parcel."),
        note("x9", "The carrier lost parcels.", at=NOW + DAY),
        note("x9", "The carrier lost parcels.", author="Ben"),
        note("x9", "The carrier lost parcels.", subject="post-mortem"),
    ],
    ids=["text", "moment", "author", "thread"],
)
def test_what_differs_in_text_moment_author_or_thread_is_its_own_memory(other: pl.DataFrame) -> None:
    assert merged(note("n1", "The carrier lost parcels."), other) == (["n1", "x9"], [])


def test_measured_outcomes_are_never_merged_by_their_words() -> None:
    assert items.identity({"kind": "outcome", "text": "the same"}) is None


# --- what supersedes what --------------------------------------------------------------------------------
def test_a_newer_fact_supersedes_only_the_same_subject_and_predicate() -> None:
    past = told(
        (NOW, fact("Acme", "price", "10 euro")),
        (NOW, fact("Acme", "carrier", "Fast")),
        (NOW, fact("Other", "price", "11 euro")),
        (NOW + DAY, fact("ACME ", "Price", "12 euro", NOW + DAY)),
    )
    assert sorted(history.current(past)["text"]) == ["11 euro", "12 euro", "Fast"]
    assert past.height == 4  # superseded, not overwritten


def test_a_fact_told_late_takes_its_place_in_world_time_and_leaves_the_present_alone() -> None:
    late = fact("Acme", "price", "8 euro", NOW - 100 * DAY)
    past = told((NOW, fact("Acme", "price", "10 euro")), (NOW + DAY, late), (NOW + 2 * DAY, late))
    assert history.current(past)["text"].to_list() == ["10 euro"]
    assert history.as_of(past, NOW - 50 * DAY)["text"].to_list() == ["8 euro"]
    assert past.height == 2


def test_two_truths_of_one_fact_in_one_batch_have_their_turns() -> None:
    both = pl.concat([fact("Acme", "price", "12 euro", NOW + DAY), fact("Acme", "price", "10 euro", NOW)])
    past = told((NOW + 9 * DAY, both))
    assert history.current(past)["text"].to_list() == ["12 euro"]
    assert past["text"].to_list() == ["10 euro", "12 euro"]


def test_a_fact_without_a_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="fact 0 lacks subject"):
        from_sources.facts([{"predicate": "price", "text": "10 euro"}])


# --- attributes and provenance ---------------------------------------------------------------------------
def test_attributes_are_typed_sorted_and_without_unknowns() -> None:
    said = items.as_attributes(
        {"b": 1, "a": 0.1 + 0.2, "none": None, "nan": float("nan"), "day": NOW.date(), "ok": True}
    )
    assert said == '{"a": 0.3, "b": 1, "day": "2026-01-01", "ok": true}'
    assert items.as_attributes({"x": None}) is None


def test_provenance_names_run_and_ledger_entry_of_a_decided_action() -> None:
    row = items.as_items("proposal", "agentic/proposals", [{"source_key": "act-1", "text": "x", "events": ["e1"]}])
    told_of = items.with_provenance(
        row, {"agentic/proposals": 3}, run_id="r1", ledger={"act-1": {"entry": 4, "hash": "ab"}}
    )
    origin = json.loads(told_of["provenance"][0])
    assert origin["ledger"] == {"entry": 4, "hash": "ab"}
    assert (origin["asset"], origin["run"], origin["event"]) == ("agentic/proposals", "r1", "e1")
    assert origin["lake_version"] == 3


def test_a_lake_written_before_reads_on() -> None:
    old = note("n1", "a").drop("subject", "predicate", "author", "attributes")
    assert items.typed(items.with_extra(old)).columns == list(items.SCHEMA)


# --- replay ----------------------------------------------------------------------------------------------
writes = st.lists(
    st.tuples(
        st.integers(-3, 5),  # the clock may go back
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=4),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(writes)
def test_as_of_is_the_replay_of_the_journal(steps: list[tuple[int, list[tuple[int, int]], bool]]) -> None:
    past, clock = items.empty_items(), NOW
    naive: dict[str, str] = {}
    states: list[tuple[datetime, dict[str, str]]] = []
    for hours, said, complete in steps:
        clock += timedelta(hours=hours)
        frames = [note(f"n{key}", f"text {value}", at=NOW + key * DAY) for key, value in said]
        batch = pl.concat(frames) if frames else items.empty_items()
        changes = history.remember(past, batch, clock, complete_kinds=["note"] if complete else [])
        past = history.apply(past, changes)
        if complete:
            naive = {}
        naive = naive | {f"n{key}": f"launch: text {value}" for key, value in said}
        if changes.recorded_at is not None:
            states.append((changes.recorded_at, dict(naive)))
    moments = [moment for moment, _ in states]
    assert moments == sorted(set(moments))
    for moment, state in states:
        found = history.as_of(past, moment, strict=True)
        assert dict(found.select("source_key", "text").iter_rows()) == state
    assert history.as_of(past, NOW - 99 * DAY, strict=True).is_empty()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(-5, 5), st.booleans()), min_size=1, max_size=8)
)
def test_a_few_rows_are_decided_as_many_are(said: list[tuple[int, int, int, bool]]) -> None:
    past = items.empty_items()
    for key, value, days, is_fact in said:
        since = NOW + days * DAY
        row = fact(f"s{key}", "p", f"text {value}", since) if is_fact else note(f"n{key}", f"text {value}", at=since)
        many = history.remember(past, row, NOW)
        held = {one["memory_id"]: one for one in history.current(past).iter_rows(named=True)}
        told_before = set(past.select("memory_id", "content_hash").iter_rows())
        stamps = [moment for name in ("recorded_at", "superseded_at") if (moment := past[name].max()) is not None]
        added, closed = history.remember_few(
            row.rows(named=True), held.get, lambda *pair, told=told_before: pair in told, NOW, max(stamps, default=None)
        )
        assert pl.DataFrame(added, schema=items.SCHEMA).equals(many.added)
        assert closed == dict(many.closed.select("version_id", "superseded_at").iter_rows())
        past = history.apply(past, many)
