"""Answers that are none, or hardly: each row says why, no batch stops, nothing unread counts as "not mentioned"."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.surfacing import answer_mentions
from liftos_pipelines.modules.surfacing.answers.readability import LIMIT, repaired
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name

NOW = datetime(2025, 6, 1, tzinfo=UTC)
BRANDS = [Name(name="Acme", domains=("acme.example",)), Name(name="Target"), Name(name="资生堂")]
GOOD = {"answer_id": "good", "asked_at": NOW, "engine": "e", "prompt_id": "p", "prompt": "?", "run": "1"}


def read(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The first brand's row of each answer."""
    frame = pl.DataFrame(
        [GOOD | {"answer_id": f"a{i}", "text": "Acme is good.", "citations": None} | row for i, row in enumerate(rows)],
        schema=table("sources/answers").columns,
    )
    found = answer_mentions(frame, BRANDS, now=NOW)
    assert found.height == frame["answer_id"].n_unique() * len(BRANDS)
    assert found.filter(pl.col("reason").is_not_null() & ~pl.col("mentioned")).is_empty()
    assert found.filter(pl.col("reason").is_null())["mentioned"].null_count() == 0
    return {row["answer_id"]: row for row in found.filter(pl.col("brand") == "Acme").iter_rows(named=True)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no text"),
        ("", "no text"),
        (" \n\t ", "no text"),
        ("🔥🔥🔥 👍", "no words"),
        ("12345 !!! 67", "no words"),
        ("\x00\x01\x02\x03PNG\x89\x00\x00\x1a\n\x00\x00\x07\x08", "not text (control or replacement characters)"),
        ("\ufffd\ufffd\ufffdAcme\ufffd\ufffd\ufffd", "not text (control or replacement characters)"),
    ],
)
def test_what_is_no_text_is_unread_with_a_reason(text: str | None, reason: str) -> None:
    row = read({"text": text}, {})["a0"]
    assert row["reason"] == reason
    assert row["mentioned"] is None
    assert row["rank"] is None
    assert row["hallucinated_citations"] is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"engine": None}, "no engine"),
        ({"engine": ""}, "no engine"),
        ({"prompt_id": None}, "no prompt_id"),
        ({"asked_at": None}, "no asked_at"),
        ({"asked_at": NOW + timedelta(days=400)}, "asked in the future (2026-07-06)"),
    ],
)
def test_a_row_that_belongs_nowhere_is_unread_with_a_reason(damage: dict[str, Any], reason: str) -> None:
    rows = read(damage, {})
    assert (rows["a0"]["reason"], rows["a0"]["mentioned"]) == (reason, None)
    assert (rows["a1"]["reason"], rows["a1"]["mentioned"]) == (None, True)


def test_a_few_hours_ahead_is_a_clock_and_not_the_future() -> None:
    assert read({"asked_at": NOW + timedelta(hours=9)})["a0"]["mentioned"] is True


def test_the_same_answer_twice_is_one_and_two_answers_under_one_id_are_none() -> None:
    same = read({"answer_id": "x"}, {"answer_id": "x"})
    assert same["x"]["mentioned"] is True
    rows = read({"answer_id": "x"}, {"answer_id": "x", "text": "Nobody."}, {})
    assert rows["x"]["mentioned"] is None
    assert rows["x"]["reason"] == "answer_id stands for 2 different answers"
    assert rows["a2"]["mentioned"] is True


def test_a_gigantic_answer_is_read_in_its_beginning_and_what_is_not_named_there_is_unknown() -> None:
    filler = "Some words about shoes and rain. "
    began = time.process_time()
    rows = read({"text": "Acme leads. " + filler * (LIMIT // 20)}, {"text": filler * (LIMIT // 20) + "Acme."}, {})
    assert time.process_time() - began < 20
    assert rows["a0"]["mentioned"] is True
    assert rows["a1"]["mentioned"] is None
    assert "only the beginning" in rows["a1"]["reason"]
    assert rows["a2"]["reason"] is None


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "[" * 20_000 + "Acme" + "]" * 20_000,
        "(" * 20_000,
        "**" * 50_000,
        "| " * 50_000,
        "<" * 50_000 + "b",
        "- " * 50_000,
        "1. " * 50_000,
        "Acme:" * 20_000,
        "$1.004.5(1)" * 20_000,
        "A.B" * 100_000,
        "[1]" * 50_000,
        "https://" * 30_000,
        "【" * 30_000 + "1",
        "no information about " * 5_000 + "Acme",
    ],
)
def test_no_pattern_makes_the_reader_slow(text: str) -> None:
    began = time.process_time()
    read({"text": text})
    assert time.process_time() - began < 5


def test_misread_encoding_is_put_right() -> None:
    text = "Le café Acmé est très bon – vraiment."
    assert repaired(text.encode("utf-8").decode("cp1252")) == text
    assert repaired(text) == text
    assert repaired("Ã is a letter") == "Ã is a letter"
    assert read({"text": text.encode("utf-8").decode("cp1252")})["a0"]["mentioned"] is True


@pytest.mark.parametrize(
    "text",
    [
        "אני אוהב את Acme מאוד.",
        "أفضل خيار هو Acme الآن.",
        "\u202eAcme\u202c is here",
        "<div dir=rtl><b>Acme</b> &amp; more",
        "我喜欢 Acme 和资生堂",
        "😀Acme😀 is 🔥",
    ],
)
def test_other_scripts_directions_and_html_are_read(text: str) -> None:
    assert read({"text": text})["a0"]["mentioned"] is True


@pytest.mark.parametrize(
    "bad", ["x" * 100_000, "http://[::1", "\x00", "//", "http://a b", "ünïcode", "🔥", "javascript:alert(1)", None]
)
def test_citations_that_are_no_addresses_are_counted(bad: str | None) -> None:
    row = read({"citations": [bad, "https://acme.example/1"], "text": "Acme [1], [2]."})["a0"]
    assert row["invalid_citations"] == 1
    assert row["citation_share"] == 1.0


def test_plain_search_would_call_unread_answers_not_mentioned() -> None:
    assert ["acme" in (text or "").lower() for text in (None, "", "🔥")] == [False, False, False]
    assert [read({"text": text})["a0"]["mentioned"] for text in (None, "", "🔥")] == [None, None, None]


MARKS = st.sampled_from(
    [*"[](){}<>|#*_-–—:;.,!?$€%&\\/\n\t \u00a0\x00\ufffd\u200b¹²³①", "**", "###", "\n- ", "\n1. ", "[1]", "[0]", "【1†s】",
    "](", "https://acme.example/x", "Acme", "Target", "target", "资生堂", "$9.994.7(2k+)", ".Acme:", "could not find ", "<br>", "<script>", "&#0;", "🔥", "é", "\u0627\u0644", "İ", "ß"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(MARKS, st.text(max_size=8)), max_size=60),
    st.none() | st.lists(st.none() | st.text(max_size=20), max_size=4),
)
def test_no_text_and_no_citation_stops_the_reader(parts: list[str], citations: list[str | None] | None) -> None:
    text = "".join(parts).encode("utf-8", "replace").decode("utf-8")
    cleaned = None if citations is None else [c and c.encode("utf-8", "replace").decode("utf-8") for c in citations]
    row = read({"text": text, "citations": cleaned}, {})["a0"]
    assert row["reason"] is None or not row["reason"].startswith("the reader failed")


def test_an_answer_the_reader_trips_over_does_not_cost_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from liftos_pipelines.modules.surfacing.answers import mentions

    whole = mentions.parse_answer

    def trips(text: str | None, citations: Any) -> Any:
        if text is not None and "trip" in text:
            raise RecursionError("too deep")
        return whole(text, citations)

    monkeypatch.setattr(mentions, "parse_answer", trips)
    rows = read({"text": "Acme, trip."}, {})
    assert rows["a0"]["reason"] == "the reader failed (RecursionError: too deep)"
    assert rows["a0"]["mentioned"] is None
    assert rows["a1"]["mentioned"] is True
