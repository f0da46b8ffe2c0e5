"""Each suite passes good rows and fails the row that breaks it, naming that row; beside each rule the good twin."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from liftos_pipelines.checks.expectations import (
    PANEL_QUARANTINE_LIMIT,
    Verdict,
    check_specs,
    judge,
    judge_columns,
    judge_quarantine,
)
from liftos_pipelines.checks.suites import rules_of
from liftos_pipelines.modules.sources.rows import QUARANTINE
from liftos_pipelines.tables import SOURCES, table

NOW = datetime(2024, 6, 1, tzinfo=UTC)
MOMENT, DAY = datetime(2024, 5, 31, tzinfo=UTC), date(2024, 5, 31)
GOOD: dict[str, dict[str, Any]] = {
    "sources/mentions": {"mention_id": "m", "published_at": MOMENT, "engagement": 0.0},
    "sources/marketing_media": {"date": DAY, "geo": "n", "channel": "tv", "spend": 0.0, "exposure": 0.0, "kind": "paid"},
    "sources/experiments": {"experiment_id": "e", "std_error": 0.1, "spend": None, "start": DAY, "end": DAY},
    "sources/llm_calls": {"call_id": "c", "called_at": MOMENT, "latency_ms": 1.0, "input_tokens": 1, "output_tokens": 0, "cost": None, "user_feedback": -1},
    "sources/agents": {"agent_id": "a", "stage": "canary", "budget": 5.0},
    "sources/agent_steps": {"run_id": "r", "step": 0, "at": MOMENT, "kind": "outcome", "cost": 0.0, "confidence": 1.0},
    "sources/labelled_mentions": {"text": "t", "label": "neutral"},
    "sources/pages": {"url": "https://a.example/x"},
    "sources/outcomes": {"outcome_id": "o", "decided_at": MOMENT, "std_error": 0.5},
}  # fmt: skip
BAD = [
    ("sources/mentions", {"engagement": -1.0}, "engagement_not_negative"),
    ("sources/mentions", {"published_at": datetime(2204, 1, 1, tzinfo=UTC)}, "published_at_in_range"),
    ("sources/mentions", {"published_at": datetime(1924, 1, 1, tzinfo=UTC)}, "published_at_in_range"),
    ("sources/marketing_media", {"spend": -0.01}, "spend_not_negative"),
    ("sources/marketing_media", {"kind": "owned"}, "kind_known"),
    ("sources/experiments", {"std_error": 0.0}, "std_error_positive"),
    ("sources/experiments", {"end": date(2024, 5, 1)}, "end_not_before_start"),
    ("sources/llm_calls", {"user_feedback": 5}, "user_feedback_known"),
    ("sources/llm_calls", {"latency_ms": -4.0}, "latency_ms_not_negative"),
    ("sources/agents", {"stage": "production"}, "stage_known"),
    ("sources/agent_steps", {"kind": "thought"}, "kind_known"),
    ("sources/agent_steps", {"confidence": 1.2}, "confidence_in_range"),
    ("sources/labelled_mentions", {"label": "mixed"}, "label_known"),
    ("sources/pages", {"url": "www.a.example"}, "url_absolute"),
    ("sources/outcomes", {"std_error": -1.0}, "std_error_positive"),
]  # fmt: skip


def frame(name: str, *rows: dict[str, Any]) -> pl.DataFrame:
    key = table(name).key
    numbered = []
    for number, row in enumerate(rows, start=2):
        # Each row its own key, unless the row itself says otherwise.
        own = {} if number == 2 else {key[-1]: f"{row[key[-1]]}{number}"} if isinstance(row[key[-1]], str) else {}
        numbered.append(row | own | {"_file": "data/x.csv", "_row": number})
    types = {column: dtype for column, dtype in table(name).columns.items() if column in rows[0]}
    return pl.DataFrame(numbered, schema_overrides=types)


def failed(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.check: verdict.message for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_pass_every_rule(name: str) -> None:
    assert failed(judge(name, frame(name, GOOD[name]), rules_of(name, NOW))) == {}


@pytest.mark.parametrize(("name", "change", "check"), BAD)
def test_a_bad_row_fails_its_rule_alone_and_is_named(name: str, change: dict[str, Any], check: str) -> None:
    good = GOOD[name]
    other = (
        {"step": 1}
        if name == "sources/agent_steps"
        else {"url": "https://a.example/y"}
        if name == "sources/pages"
        else {}
    )
    rows = frame(name, good | other, good | change)
    found = failed(judge(name, rows, rules_of(name, NOW)))
    assert set(found) == {check}
    assert "data/x.csv row 3" in found[check]
    assert "data/x.csv row 2" not in found[check]


def test_one_key_with_two_contents_names_both_rows() -> None:
    rows = frame("sources/mentions", GOOD["sources/mentions"], GOOD["sources/mentions"]).with_columns(
        mention_id=pl.lit("m")
    )
    message = failed(judge("sources/mentions", rows, rules_of("sources/mentions", NOW)))["keys_unique"]
    assert "data/x.csv row 2" in message
    assert "data/x.csv row 3" in message


def test_old_data_warn_and_do_not_block() -> None:
    rows = frame("sources/mentions", GOOD["sources/mentions"])
    verdicts = judge("sources/mentions", rows, rules_of("sources/mentions", datetime(2024, 7, 1, tzinfo=UTC)))
    assert [(verdict.check, verdict.blocking) for verdict in verdicts if not verdict.passed] == [("freshness", False)]


def test_no_row_fails_not_empty_and_nothing_else() -> None:
    rows = frame("sources/mentions", GOOD["sources/mentions"]).clear()
    assert set(failed(judge("sources/mentions", rows, rules_of("sources/mentions", NOW)))) == {"not_empty"}


def test_a_long_list_of_bad_rows_is_counted_and_five_are_shown() -> None:
    good = GOOD["sources/mentions"]
    rows = frame("sources/mentions", *[good | {"engagement": -1.0}] * 50)
    message = failed(judge("sources/mentions", rows, rules_of("sources/mentions", NOW)))["engagement_not_negative"]
    assert message.count("data/x.csv row") == 5
    assert "and 45 more" in message


def test_a_missing_column_fails_with_the_sentence_that_explains_it() -> None:
    verdict = judge_columns("sources/mentions", ["mention_id", "text"], ["mention_id"], ["text is not there"])
    assert (verdict.passed, verdict.blocking, verdict.message) == (False, True, "text is not there")
    assert judge_columns("sources/mentions", ["mention_id"], ["mention_id", "more"], []).passed


def test_few_unreadable_rows_warn_many_block_and_a_panel_blocks_at_one() -> None:
    bad = pl.DataFrame(
        {"file": ["f"], "row": [2], "column": ["x"], "reason": ["is empty"], "raw": ["{}"]}, schema=QUARANTINE
    )
    assert not judge_quarantine(99, bad).blocking
    assert judge_quarantine(3, bad).blocking
    assert judge_quarantine(99, bad, PANEL_QUARANTINE_LIMIT).blocking
    assert judge_quarantine(99, bad.clear(), PANEL_QUARANTINE_LIMIT).passed


def test_every_source_declares_the_checks_that_its_suite_judges() -> None:
    for source in SOURCES:
        name = f"sources/{source}"
        declared = {spec.name for spec in check_specs(name)}
        assert declared == {"readable", "columns", "quarantine"} | {rule.check for rule in rules_of(name, NOW)}
