"""Recorded runs that are not as they should be: each fault is named, and what it makes unknown is said."""

from __future__ import annotations

import json

import polars as pl
from agentic_frames import agents, call, steps

from liftos_pipelines.modules.agentic.evaluation import evaluation
from liftos_pipelines.modules.agentic.evidence import runs_of
from liftos_pipelines.modules.agentic.facts import ArgumentSpec, ToolSpec
from liftos_pipelines.modules.agentic.tool_calls import calls_of, expected_calls
from liftos_pipelines.modules.agentic.trace_quality import trace_quality
from liftos_pipelines.tables import table

KNOWN = agents({"agent_id": "a", "capabilities": ["read", "send"]})
DONE = {"kind": "outcome", "reward": 1.0}


def exists(agent: str, tool: str) -> bool:
    return tool in ("read", "send")


def result(tool: str, content: str) -> dict[str, object]:
    return {"kind": "tool_result", "tool": tool, "content": content}


def faults(frame: pl.DataFrame) -> dict[str, str | None]:
    return dict(trace_quality(frame, KNOWN, exists).select("fault", "unknown").iter_rows())


def test_a_whole_trace_has_no_fault_and_half_a_one_says_what_is_unknown() -> None:
    whole = steps({"kind": "message", "content": "go"}, call("read", {}), result("read", "ok"), DONE)
    assert faults(whole) == {}
    lost = faults(pl.concat([whole.head(2), whole.slice(2, 1).with_columns(run_id=pl.lit("other"))]))
    assert lost["no_outcome"] == "success"
    assert lost["call_without_result"] == "whether the call went well"
    assert "result_without_call" in lost
    assert "steps_missing" in faults(whole.filter(pl.col("step") != 2))


def test_each_bad_value_is_named() -> None:
    frame = steps(
        call("read", "{not json", cost=-1.0),
        result("read", "ok"),
        call("fly", {}),
        {"kind": "reasoning", "content": "hm", "confidence": 1.4},
        call(None, {}),
        DONE,
    )
    found = faults(frame)
    assert {
        "arguments_not_json",
        "negative_cost",
        "unknown_tool",
        "confidence_out_of_range",
        "call_without_tool",
    } <= set(found)
    assert found["negative_cost"] == "cost"
    assert runs_of(frame, KNOWN)["cost"].to_list() == [None]
    assert "unknown_agent" in faults(frame.with_columns(agent_id=pl.lit("ghost")))


def test_steps_in_disorder_are_told_and_read_in_their_numbers_order() -> None:
    frame = steps(call("read", {}), result("read", "ok"), {"kind": "outcome", "reward": 0.0}).reverse()
    assert {"out_of_order"} <= set(faults(frame))
    assert runs_of(frame, KNOWN)["success"].to_list() == [False]


def test_a_repeated_step_counts_once_and_a_contradicted_one_makes_success_unknown() -> None:
    frame = steps(call("read", {}, cost=2.0), result("read", "ok"), DONE)
    twice = pl.concat([frame, frame.tail(1)])
    assert "step_twice" in faults(twice)
    assert runs_of(pl.concat([frame, frame.head(1)]), KNOWN).select("cost", "success").row(0) == (2.0, True)
    against = pl.concat([frame, frame.tail(1).with_columns(reward=pl.lit(0.0))])
    assert faults(against)["step_conflict"] == "success"
    assert runs_of(against, KNOWN)["success"].to_list() == [None]


def test_calls_are_right_or_wrong_only_as_far_as_something_says_so() -> None:
    spec = ToolSpec(arguments={"to": ArgumentSpec(type="string", required=True)})
    frame = steps(
        call("read", {"q": 1}), result("read", "Error: no such table"), call("read", {"q": 1}), result("read", "3 rows"),
        call("send", {"to": 5}), call("fly", {}), DONE,
    )  # fmt: skip
    found = calls_of(frame, exists, lambda tool: spec if tool == "send" else None)
    assert found["error"].to_list() == [True, False, None, None]
    assert found["repeated"].to_list() == [False, True, False, False]
    assert found["fits"].to_list() == [None, None, False, None]
    assert found["known"].to_list() == [True, True, True, False]
    assert calls_of(frame, lambda agent, tool: None)["known"].null_count() == 4


def test_calls_are_compared_with_those_that_the_task_expects() -> None:
    wanted = json.dumps([{"name": "send", "arguments": {"to": "x"}}, {"name": "read", "arguments": {}}])
    frame = steps(call("send", {"to": "y"}), call("read", {}), DONE | {"expected_calls": wanted})
    row = expected_calls(frame, lambda tool: tool == "send").row(0, named=True)
    assert (row["expected"], row["named"], row["exact"], row["writes_beside"]) == (2, 2, 1, 1)
    assert expected_calls(steps(DONE | {"expected_calls": "not json"}), bool).is_empty()


def test_what_was_not_recorded_is_null_with_why() -> None:
    frame = steps({"kind": "message", "content": "hm"})
    none = table("agentic/policy_decisions").empty()
    runs, calls = runs_of(frame, KNOWN), calls_of(frame, exists)
    injected = pl.DataFrame(
        schema={"run_id": pl.String, "agent_id": pl.String, "followed": pl.Boolean, "how": pl.String}
    )
    found = evaluation(runs, none, calls, expected_calls(frame, bool), injected, KNOWN)
    rows = {row["metric"]: row for row in found.iter_rows(named=True)}
    for metric in ("success_rate", "cost_per_run", "calls_with_error_results", "injections_followed"):
        assert rows[metric]["value"] is None
        assert rows[metric]["n"] == 0
        assert rows[metric]["detail"]
    assert rows["steps_per_run"]["value"] == 1.0
