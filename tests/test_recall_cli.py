"""Questions for `liftos recall`: read from a line or a file, refused with the place and the way out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from liftos_pipelines.recall_cli import questions_of


def test_a_line_speaks_for_itself_and_the_options_for_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"query_id": 7, "text": "late"}\n\n{"text": "price", "kinds": ["note"], "as_of": "2026-01-02"}\n')
    first, second = questions_of(None, file, as_of=None, kinds="alert, note", domains=None)
    assert (first.query_id, first.text, first.kinds) == ("7", "late", frozenset({"alert", "note"}))
    assert (second.query_id, second.kinds, second.as_of) == (None, frozenset({"note"}), datetime(2026, 1, 2))
    assert questions_of("x", None, as_of=None, kinds=None, domains="a")[0].domains == frozenset({"a"})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: not an object"),
        ('{"query_id": 1}', "line 1: text is missing"),
        ('{"text": " "}', "line 1: text is missing or empty"),
        ('{"text": "a", "as_of": "soon"}', "line 1: as_of 'soon' is not an ISO date"),
        ('{"text": "a", "kinds": 3}', "line 1: kinds: a list of names"),
        ('{"text": "a", "since": 3}', "line 1: since 3 is not an ISO date"),
        ('{"text": "a", "subjects": [3]}', "line 1: subjects: a list of names"),
    ],
)
def test_a_line_that_is_no_question_is_refused_with_its_place(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(line)
    with pytest.raises(ValueError, match=told):
        questions_of(None, file, as_of=None, kinds=None, domains=None)


def test_subjects_campaigns_and_a_period_come_from_options_or_the_line(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"text": "price"}\n{"text": "late", "campaigns": ["c2"], "until": "2026-01-02"}\n')
    first, second = questions_of(None, file, subjects="channel:tv, brand:b", campaigns="c1", since="2025-12-01")
    assert first.subjects == second.subjects == frozenset({"channel:tv", "brand:b"})
    assert (first.campaigns, second.campaigns) == (frozenset({"c1"}), frozenset({"c2"}))
    assert (first.since, first.until, second.until) == (datetime(2025, 12, 1), None, datetime(2026, 1, 2))
    assert (first.filtered, questions_of("late", None)[0].filtered) == (True, False)
