"""The index as a whole: it grows without forgetting, filters fail closed, spaces never mix, parts sum to the score."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.memory.recall.fusion import Settings
from liftos_pipelines.modules.memory.recall.growing import Growing
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import Filters, RecallQuery, UnknownFilter
from liftos_pipelines.modules.memory.recall.stemming import stem
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.simulate.dialogue_worlds import NOTES

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
LOADED = datetime(2026, 3, 1, tzinfo=UTC)


def notes(*told: tuple[str, str, str | None, int], talk: str | None = "talk 1") -> pl.DataFrame:
    """Items of notes from (id, text, author, minute)."""
    rows = [(name, START + timedelta(minutes=at), text, author, talk, None) for name, text, author, at in told]
    return from_sources.notes(pl.DataFrame(rows, schema=NOTES, orient="row"))


def recorded(frame: pl.DataFrame, at: datetime = LOADED) -> pl.DataFrame:
    return history.remember(items.empty_items(), frame, at).added


def random_vectors(count: int, seed: int = 0, width: int = 16) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def crowd(count: int = 120) -> pl.DataFrame:
    return recorded(
        notes(*[(f"t{i}", f"word{i % 9} item{i % 13} number {i}", ("Ana", "Ben")[i % 2], i) for i in range(count)])
    )


def test_an_index_that_grew_answers_as_one_built_at_once() -> None:
    frame, vectors = crowd(), random_vectors(120)
    whole = RecallIndex(frame, vectors)
    grown = RecallIndex(frame[:40], vectors[:40])
    first = grown
    for start in range(40, 120, 20):
        grown = grown.extended(frame[start : start + 20], vectors[start : start + 20])
    for seed in range(5):
        asked = random_vectors(1, seed + 50)[0]
        expected = whole.search(f"What did Ben say of word{seed} item3?", asked, 10)
        assert grown.search(f"What did Ben say of word{seed} item3?", asked, 10) == expected
    assert len(first) == 40  # who still reads the shorter one sees what it saw
    assert {hit.memory_id for hit in first.search("word1", vectors[0], 99)} == set(frame["memory_id"][:40])


def test_two_indexes_may_grow_from_the_same_one() -> None:
    base = Growing(np.arange(3))
    one, other = base.extended(np.array([10])), base.extended(np.array([20]))
    assert one.view.tolist() == [0, 1, 2, 10]
    assert other.view.tolist() == [0, 1, 2, 20]
    assert one.extended(np.array([11])).view.tolist() == [0, 1, 2, 10, 11]
    assert base.view.tolist() == [0, 1, 2]


def test_a_version_that_is_closed_later_is_found_only_as_of_before() -> None:
    told = recorded(notes(("a", "parcels are late", "Ana", 0)))
    again = notes(("a", "parcels are on time", "Ana", 0))
    changes = history.remember(told, again, LOADED + timedelta(days=1))
    vectors = random_vectors(2)
    before = RecallIndex(told, vectors[:1])
    ended = dict(changes.closed.select("version_id", "superseded_at").iter_rows())
    after = before.extended(changes.added, vectors[1:], closed=ended)
    # The same source said something else: one memory or two, only the newest version of each is current.
    current = [hit.text for hit in after.search("parcels", vectors[0], 5)]
    assert ("talk 1: parcels are late" in current) == (not ended)
    past = after.search("parcels", vectors[0], 5, as_of=LOADED + timedelta(hours=1), strict=True)
    assert [hit.text for hit in past] == ["talk 1: parcels are late"]
    assert past[0].superseded_at == (next(iter(ended.values())) if ended else None)
    assert [hit.text for hit in before.search("parcels", vectors[0], 5)] == ["talk 1: parcels are late"]


def test_as_of_by_masks_is_the_histories_as_of() -> None:
    rng = np.random.default_rng(4)
    known = items.empty_items()
    for step in range(8):
        rows = [
            {"source_key": f"k{i}", "text": f"{i} at {rng.integers(3)}", "valid_from": START + timedelta(days=int(i))}
            for i in rng.choice(12, 5, replace=False)
        ]
        fresh = items.as_items("alert", "x", rows)
        changes = history.remember(known, fresh, START + timedelta(days=4 * step), complete_kinds=["alert"])
        known = history.apply(known, changes)
    index = RecallIndex(known, random_vectors(known.height))
    for day in range(-1, 34):
        for strict in (False, True):
            moment = START + timedelta(days=day, hours=1)
            mask = index.allowed(RecallQuery(text="", at=moment, strict=strict))
            expected = history.as_of(known, moment, strict=strict)
            assert set(known.filter(pl.Series(mask))["version_id"]) == set(expected["version_id"])


@pytest.mark.parametrize(
    "unknown", [{"kinds": ["no"]}, {"domains": ["no"]}, {"campaigns": ["no"]}, {"subjects": ["no"]}, {"kinds": []}]
)
def test_a_filter_that_names_nothing_known_lets_nothing_pass(unknown: dict[str, list[str]]) -> None:
    index = RecallIndex(crowd(), random_vectors(120))
    assert index.search("word1", random_vectors(1)[0], 10, **unknown) == []  # type: ignore[arg-type]
    assert index.search("word1", random_vectors(1)[0], 10)  # the dummy without a filter finds plenty


def test_filters_bound_time_and_subject_and_a_text_is_no_set() -> None:
    frame = pl.concat(
        [notes(("a", "sale", "Ana", 0), ("b", "sale", "Ana", 60)), notes(("c", "sale", "Ana", 5), talk="talk 2")]
    )
    index = RecallIndex(recorded(frame), random_vectors(3))
    asked = random_vectors(1)[0]

    def texts(**limits: object) -> int:
        return len(index.search("sale", asked, 9, **limits))  # type: ignore[arg-type]

    assert texts(subjects=["talk 1"]) == 2
    assert texts(subjects=["talk 1"], until=START + timedelta(minutes=30)) == 1
    assert texts(since=START + timedelta(minutes=5), until=START + timedelta(minutes=5)) == 1
    assert texts(since=START + timedelta(days=9)) == 0
    with pytest.raises(UnknownFilter, match="not one text"):
        Filters(kinds="note")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not the text"):
        index.search("sale", asked, 9, kinds="note")


def test_a_neighbour_outside_the_filter_lends_nothing() -> None:
    frame = recorded(notes(("a", "why limping", "Ana", 0), ("b", "a race", "Ben", 1), ("c", "so cold", "Ana", 900)))
    index = RecallIndex(frame, random_vectors(3))
    answer = {hit.text: hit for hit in index.search("limping", None, 3)}["talk 1: a race"]
    assert [one.channel for one in answer.evidence] == ["neighbour"]
    assert "the turn before: limping" in answer.explanation
    alone = index.search("limping", None, 3, since=START + timedelta(seconds=30))
    assert all(hit.score == 0 for hit in alone)


def test_only_turns_of_one_talk_without_a_long_silence_are_neighbours() -> None:
    frame = pl.concat(
        [
            notes(("D1:10", "ten", "Ana", 0), ("D1:9", "nine", "Ben", 0), ("later", "late", "Ana", 600)),
            notes(("x", "other", "Ana", 1), talk="talk 2"),
            items.as_items("alert", "t", [{"source_key": "y", "text": "alert", "valid_from": START}]),
        ]
    )
    index = RecallIndex(recorded(frame), random_vectors(5))
    row = {text.split(": ")[-1]: place for place, text in enumerate(index.items["text"])}
    before, after = index.neighbours.before, index.neighbours.after
    assert after[row["nine"]] == row["ten"]  # equal times: by the number in the key, 9 before 10
    assert before[row["ten"]] == row["nine"]
    assert after[row["ten"]] == before[row["late"]] == before[row["other"]] == after[row["alert"]] == -1


def test_two_vector_spaces_never_meet() -> None:
    frame = crowd(20)
    full, small = random_vectors(20, 1, 16), random_vectors(20, 2, 8)
    full[10:] = 0  # half the rows have no vector of the large model
    index = RecallIndex(frame, {"full": full, "small": small}, model_id="full")
    asked = RecallQuery(text="zzz", vector=small[15], model_id="small")
    assert index.find(asked, 1)[0].memory_id == frame["memory_id"][15]
    by_full = index.find(RecallQuery(text="zzz", vector=full[3], model_id="full"), 20)
    assert by_full[0].memory_id == frame["memory_id"][3]
    without = set(frame["memory_id"][10:])
    assert all(hit.cosine is None for hit in by_full if hit.memory_id in without)
    strange = index.find(RecallQuery(text="zzz", vector=full[3], model_id="another"), 20)
    assert all(hit.cosine is None and hit.score == 0 for hit in strange)
    with pytest.raises(ValueError, match="does not meet"):
        index.find(RecallQuery(text="zzz", vector=full[3], model_id="small"), 1)
    grown = index.extended(crowd(21)[20:], {"small": random_vectors(1, 3, 8)})
    assert grown.find(RecallQuery(text="zzz", vector=random_vectors(1, 3, 8)[0], model_id="small"), 1)[0].cosine > 0.99


def test_the_parts_of_a_score_sum_to_it_and_name_their_evidence() -> None:
    index = RecallIndex(crowd(), random_vectors(120))
    for seed in range(10):
        for hit in index.search("Did Ben mention word3 and item5?", random_vectors(1, seed)[0], 10):
            assert sum(one.share for one in hit.evidence) == pytest.approx(hit.score)
            assert 0 <= hit.score <= 1
    best = index.search("Did Ben mention word3 and item5?", index.vectors[57], 1)[0]
    told = {one.channel: one.detail for one in best.evidence}
    assert told["author"] == "said by Ben"
    assert set(told["words"].split(", ")) <= {"ben", "mention", "word3", "item5"}
    assert told["meaning"].startswith("cosine ")


def test_who_is_named_is_preferred_and_a_first_name_of_two_people_names_nobody() -> None:
    frame = recorded(
        notes(("a", "the trip was fine", "Ana Silva", 0), ("b", "the trip was fine too", "Ben", 900), talk=None)
    )
    index = RecallIndex(frame, np.ones((2, 4), np.float32) / 2)
    assert index.search("How was the trip of Ana?", None, 1)[0].author == "Ana Silva"
    assert index.search("How was the trip of Ben?", None, 1)[0].author == "Ben"
    twice = recorded(notes(("a", "trip", "Ana Silva", 0), ("b", "trip", "Ana Costa", 900), talk=None))
    evidence = RecallIndex(twice, np.ones((2, 4), np.float32) / 2).search("Ana's trip", None, 2)
    assert all(one.channel != "author" for hit in evidence for one in hit.evidence)


def test_a_speaker_is_read_from_a_name_that_begins_several_notes_when_no_author_is_given() -> None:
    told = [(f"n{i}", f"{name}: {text}", None, i) for i, (name, text) in enumerate([("Ana", "yes"), ("Ben", "no")] * 3)]
    frame = recorded(notes(*told, ("x", "Warning: yes", None, 9), talk=None))
    index = RecallIndex(frame, np.ones((7, 4), np.float32) / 2)
    best = index.search("Does Ana say so?", None, 1)[0]
    assert best.explanation.startswith("carried by author")
    assert best.source_key in {"n0", "n2", "n4"}
    assert all(one.channel != "author" for hit in index.search("Warning", None, 7) for one in hit.evidence)
    assert index.neighbours.after[:6].max() >= 0  # without a subject, notes minutes apart are one conversation


def test_searched_text_says_who_spoke_and_leaves_out_a_threads_label() -> None:
    frame = notes(("a", "we moved", "Ana", 0))
    assert searchable(frame) == ["Ana: we moved"]
    assert searchable(notes(("a", "we moved", "Ana", 0), talk="Moving house")) == ["Ana: Moving house: we moved"]
    assert searchable(notes(("a", "we moved", None, 0))) == ["talk 1: we moved"]


def test_settings_are_brought_to_a_sum_of_one_and_refuse_what_is_no_weight() -> None:
    assert Settings(weights={"words": 3.0, "meaning": 1.0}).weights == {"words": 0.75, "meaning": 0.25}
    for weights in ({"words": -1.0}, {"words": 0.0}, {"words": float("nan")}, {}):
        with pytest.raises(ValueError, match="weights"):
            Settings(weights=weights)
    with pytest.raises(ValueError, match="share"):
        Settings(spread=1.5)


def test_stems_are_porters() -> None:
    published = {
        "caresses": "caress", "ponies": "poni", "feed": "feed", "agreed": "agre", "motoring": "motor", "sing": "sing",
        "conflated": "conflat", "hopping": "hop", "falling": "fall", "filing": "file", "happy": "happi", "sky": "sky",
        "relational": "relat", "valenci": "valenc", "operator": "oper", "hopefulness": "hope", "triplicate": "triplic",
        "goodness": "good", "revival": "reviv", "adjustment": "adjust", "adoption": "adopt", "controll": "control",
    }  # fmt: skip
    assert {word: stem(word) for word in published} == published
    assert [stem(word) for word in ("größe", "4711", "is")] == ["größe", "4711", "is"]


def test_an_index_that_grew_row_by_row_answers_as_one_that_was_built_at_once() -> None:
    held, vectors = crowd(60), random_vectors(60)
    grown = RecallIndex(held[:5], vectors[:5])
    for row in range(5, held.height):
        grown = grown.extended(held[row : row + 1], vectors[row : row + 1])
    assert grown.items.equals(held)
    assert grown.items["memory_id"].n_chunks() <= 18
    built = RecallIndex(held, vectors)
    for row in (7, 50):
        asked = held["text"][row]
        assert grown.search(asked, vectors[row], 20) == built.search(asked, vectors[row], 20)


def test_the_name_of_one_who_is_spoken_to_is_no_evidence_where_speakers_are_unknown() -> None:
    said = ("You are right, Ana!", "Ana, good morning", "Thanks, Ana. See you", "I moved to Lisbon in May", "A new hat")
    rows = [(f"n{place}", text, None, 600 * place) for place, text in enumerate(said)]
    frame, nothing = recorded(notes(*rows, talk=None)), random_vectors(5)
    index = RecallIndex(frame, nothing)
    assert index.search("Where did Ana move to?", None, 1)[0].text.endswith("I moved to Lisbon in May")
    grown = RecallIndex(frame[:4], nothing[:4]).extended(frame[4:], nothing[4:])
    assert grown.search("Where did Ana move to?", None, 5) == index.search("Where did Ana move to?", None, 5)
    # Who is known to have said something is asked for by name, and so is a place that is only written about.
    spoken = recorded(notes(*((name, text, "Ana", at) for name, text, _, at in rows), talk=None))
    assert RecallIndex(spoken, nothing).search("Ana", None, 1)[0].bm25 > 0
    towns = recorded(notes(*((f"n{i}", f"Lisbon is lovely, hat {i}", None, 600 * i) for i in range(9)), talk=None))
    assert RecallIndex(towns, random_vectors(9)).search("Lisbon", None, 1)[0].score > 0
