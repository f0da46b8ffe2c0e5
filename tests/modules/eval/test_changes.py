"""What was replaced or drifted before a promise broke is named by its time, its share stays unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from liftos_pipelines.modules.eval.changes import CAUSES, Change, drifted, first_cause, policies, replaced, with_changes

NOW = datetime(2025, 6, 1, tzinfo=UTC)
INCIDENT = "llm.groundedness@2025-06-01"
WINDOWS = {INCIDENT: ("llm", NOW)}


def calls() -> pl.DataFrame:
    """One prompt replaced ten days ago, another one half a year ago."""
    rows = [
        {"called_at": NOW - timedelta(days=day), "prompt_name": name, "prompt_version": new if day < since else old,
         "model": "m"}
        for name, old, new, since in (("answer", "3", "4", 10), ("summary", "1", "2", 180))
        for day in range(0, 365, 5)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def causes(*rows: dict[str, object]) -> pl.DataFrame:
    blank = dict.fromkeys(CAUSES) | {"incident_id": INCIDENT, "module": "llm", "metric": "groundedness"}
    return pl.DataFrame([blank | {"rank": i + 1} | row for i, row in enumerate(rows)], schema=CAUSES)


NONE = {"cause": "none found", "kind": "none", "evidence": "nothing"}


def test_a_version_used_first_shortly_before_is_a_candidate_with_an_unknown_share() -> None:
    found = with_changes(causes(NONE), replaced({"sources/llm_calls": calls()}), WINDOWS)
    assert found["cause"].to_list() == ["prompt answer: version 4", "none found"]
    first = first_cause(found, INCIDENT)
    assert first is not None
    assert (first["kind"], first["version"], first["earlier_version"]) == ("change", "4", "3")
    assert first["contribution"] is None


def test_a_segment_that_names_the_version_keeps_its_measured_part() -> None:
    measured = {"cause": "prompt_version = 4 (new)", "kind": "new", "contribution": -0.2, "low": -0.3, "high": -0.1}
    found = with_changes(causes(measured, NONE), replaced({"sources/llm_calls": calls()}), WINDOWS)
    assert found.height == 2
    first = first_cause(found, INCIDENT)
    assert first is not None
    assert (first["kind"], first["subject"], first["contribution"], first["earlier_version"]) == (
        "change", "answer", -0.2, "3",
    )  # fmt: skip


def test_a_broken_contract_comes_first_and_a_drift_before_a_replacement() -> None:
    contract = {
        "cause": "data contract: freshness_lag",
        "kind": "contract",
        "evidence": "400 of 336. stalest: llm_calls",
    }
    moved = Change(module="llm", kind="drift", cause="drift of x", at=None, subject_kind="dataset", subject="x")
    found = with_changes(causes(NONE, contract), [*replaced({"sources/llm_calls": calls()}), moved], WINDOWS)
    assert found["kind"].to_list() == ["contract", "drift", "change", "none"]
    assert found["rank"].to_list() == [1, 2, 3, 4]
    assert (found["subject_kind"][0], found["subject"][0]) == ("source", "llm_calls")


def test_other_modules_and_other_incidents_get_nothing() -> None:
    found = with_changes(causes(NONE), replaced({"sources/llm_calls": calls()}), {})
    assert found["cause"].to_list() == ["none found"]
    agentic = {INCIDENT: ("agentic", NOW)}
    assert with_changes(causes(NONE), replaced({"sources/llm_calls": calls()}), agentic).height == 1


def test_a_policy_that_replaced_another_and_a_drifted_input_are_changes() -> None:
    (change,) = policies([(NOW, "a" * 64), (NOW, "a" * 64), (NOW + timedelta(days=1), "b" * 64)])
    assert (change.subject_kind, change.version, change.earlier_version) == ("policy", "b" * 64, "a" * 64)
    rows = [
        {"dataset": "sources/llm_calls", "column": "latency_ms", "test": "ks", "statistic": 0.3, "threshold": 0.1,
         "p_value_adjusted": 0.01, "drifted": flag}
        for flag in (True, False, None)
    ]  # fmt: skip
    assert [(c.module, c.subject) for c in drifted(pl.DataFrame(rows))] == [("llm", "sources/llm_calls")]
