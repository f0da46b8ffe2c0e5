"""What becomes a memory, and which version of it was known when."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl

from liftos_pipelines.modules.memory.records import from_modules, from_sources, history, items
from liftos_pipelines.tables import table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def frame(name: str, *rows: dict) -> pl.DataFrame:
    contract = table(name)
    return pl.DataFrame(
        [{c: row.get(c) for c in contract.columns} for row in rows], schema=contract.columns, orient="row"
    )


def note(text: str, at: datetime = datetime(2025, 3, 1, tzinfo=UTC), key: str = "n1") -> pl.DataFrame:
    return from_sources.notes(frame("sources/notes", {"note_id": key, "at": at, "text": text}))


def known(past: pl.DataFrame, moment: datetime, **options: bool) -> list[str]:
    return history.as_of(past, moment, **options)["text"].to_list()


def told(*steps: tuple[datetime, pl.DataFrame]) -> pl.DataFrame:
    past = items.empty_items()
    for moment, said in steps:
        past = history.apply(past, history.remember(past, said, moment))
    return past


def test_the_same_row_is_the_same_memory_and_kinds_do_not_collide() -> None:
    assert note("a")["memory_id"][0] == note("b")["memory_id"][0]
    assert note("a")["content_hash"][0] != note("b")["content_hash"][0]
    assert items.memory_id("note", "1") != items.memory_id("outcome", "1")


def test_remembering_the_same_twice_changes_nothing() -> None:
    past = told((NOW, note("a")))
    assert history.remember(past, note("a"), NOW + DAY).count == 0


def test_a_changed_text_closes_the_old_version_at_the_moment_the_new_one_begins() -> None:
    past = told((NOW, note("a")), (NOW + DAY, note("b")))
    assert past["text"].to_list() == ["a", "b"]
    assert past["superseded_at"].to_list() == [NOW + DAY, None]
    assert history.current(past)["text"].to_list() == ["b"]


def test_only_the_same_memory_is_superseded() -> None:
    past = told((NOW, note("a")), (NOW + DAY, note("a, too", key="n2")))
    assert history.current(past).height == 2


def test_two_writes_at_one_moment_stay_ordered() -> None:
    past = told((NOW, note("a")), (NOW, note("b")), (NOW - DAY, note("c")))
    assert past["text"].to_list() == ["a", "b", "c"]
    assert past["recorded_at"].is_unique().all()


def test_as_of_replays_the_journal() -> None:
    past = told((NOW, note("a")), (NOW + DAY, note("b")), (NOW + 2 * DAY, note("c")))
    for step, expected in enumerate("abc"):
        assert known(past, NOW + step * DAY + DAY / 2) == [expected]
        assert known(past, NOW + step * DAY + DAY / 2, strict=True) == [expected]


def test_history_loaded_later_counts_by_its_own_date_unless_strict() -> None:
    early, late = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)
    past = told((NOW, note("price is 10", early)), (NOW + DAY, note("price is 12", late)))
    assert known(past, early - DAY) == []
    assert known(past, early + DAY) == ["price is 10"]
    assert known(past, late + DAY) == ["price is 12"]
    assert known(past, late + DAY, strict=True) == []


def test_what_its_source_took_back_is_closed_and_was_never_true_for_the_past() -> None:
    past = told((NOW, note("a")))
    changes = history.remember(past, items.empty_items(), NOW + DAY, complete_kinds=["note"])
    past = history.apply(past, changes)
    assert history.current(past).is_empty()
    assert known(past, NOW + DAY / 2) == ["a"]  # it was believed then
    assert known(past, datetime(2025, 4, 1, tzinfo=UTC)) == []
    assert history.remember(told((NOW, note("a"))), items.empty_items(), NOW + DAY).count == 0  # only if told so


def test_an_unmeasured_effect_stays_unknown() -> None:
    impact = frame(
        "causal/impact",
        {"event_id": "e1", "window_start": date(2025, 1, 1), "window_end": date(2025, 1, 7), "effect": None},
    )
    row = from_modules.impacts(impact).row(0, named=True)
    assert row["effect"] is None
    assert row["std_error"] is None
    assert "unknown" in row["text"]


def test_the_standard_error_is_read_off_the_interval() -> None:
    assert abs(items.std_error_of(-1.6448536, 1.6448536) - 1) < 1e-6
    assert items.std_error_of(1.0, None) is None
    assert items.std_error_of(2.0, 1.0) is None


def test_provenance_names_table_key_and_version() -> None:
    told_with = items.with_provenance(note("a"), {"sources/notes": 7})
    assert json.loads(told_with["provenance"][0]) == {"table": "sources/notes", "key": "n1", "lake_version": 7}
    assert told_with["content_hash"][0] == note("a")["content_hash"][0]  # a new lake version says nothing new


def test_a_circle_of_causes_ends() -> None:
    payload = {
        "action_id": "a",
        "agent_id": "x",
        "action": "notify",
        "context": "c",
        "decision": "allow",
        "status": "done",
    }
    loop = [
        {
            "event_id": "1",
            "type": "agent_action_initiated",
            "occurred_at": NOW,
            "causation_id": "2",
            "payload": payload,
        },
        {
            "event_id": "2",
            "type": "agent_action_initiated",
            "occurred_at": NOW,
            "causation_id": "1",
            "payload": payload | {"action_id": "b"},
        },
    ]
    assert from_modules.patterns(loop).height == 2


def test_an_alert_is_looked_up_by_what_people_said() -> None:
    alert = frame(
        "sentiment/alerts",
        {
            "alert_id": "a1",
            "detected_at": NOW,
            "campaign_id": "c1",
            "explanation": "Net sentiment fell by .6",
            "exemplars": ["m1", "gone"],
        },
    )
    mentions = frame(
        "sources/mentions", {"mention_id": "m1", "published_at": NOW, "source": "x", "text": "parcel never came"}
    )
    drop = {"event_id": "e1", "type": "sentiment_drop_detected", "causation_id": None, "payload": {"alert_id": "a1"}}
    impact = {"event_id": "e2", "type": "causal_impact_identified", "causation_id": "e1", "payload": {}}
    scores = table("sentiment/mention_scores").empty()
    said = from_modules.what_was_said(alert, mentions, scores, [drop, impact])
    assert set(said) == {"a1", "e1", "e2"}
    assert "parcel never came" in from_modules.alerts(alert, {}, said)["context"][0]
    assert "fell by .6" in from_modules.alerts(alert)["context"][0]


def test_what_was_said_comes_from_the_window_and_the_campaign_in_the_embedders_language_first() -> None:
    day = datetime(2025, 9, 10, tzinfo=UTC)
    alert = frame(
        "sentiment/alerts",
        {"alert_id": "a1", "detected_at": day, "campaign_id": "c1", "explanation": "x", "exemplars": ["m3"]},
    ).with_columns(window_start=pl.lit(date(2025, 9, 8)), window_end=pl.lit(date(2025, 9, 12)))
    said_by = {
        "m1": ("c1", day, "en", 0.7, "late / parcel"),
        "m2": ("c1", day, "en", 0.9, "never came"),
        "m3": ("c1", day, "de", 0.95, "kam nie an"),
        "m4": ("c2", day, "en", 0.9, "other campaign"),
        "m5": ("c1", day - 30 * DAY, "en", 0.9, "other month"),
        "m6": ("c1", day, "en", 0.2, "lovely"),
    }
    mentions = frame(
        "sources/mentions",
        *[
            {"mention_id": m, "published_at": at, "source": "x", "text": text, "campaign_id": c}
            for m, (c, at, _, _, text) in said_by.items()
        ],
    )
    scores = frame(
        "sentiment/mention_scores",
        *[{"mention_id": m, "language": language, "p_negative": p} for m, (_, _, language, p, _) in said_by.items()],
    )
    said = from_modules.what_was_said(alert, mentions, scores, [])["a1"]
    quotes = [part.removeprefix(items.SAID) for part in items.parts_of(said)]
    assert quotes == ["never came", "late parcel", "kam nie an"]
    assert items.parts_of("a plain / context") == ["a plain / context"]
