"""Other tools' exports as rows of llm_calls: what is a call, what its trace knows of it, and what bad input becomes."""

from __future__ import annotations

import copy
import json
import random
from decimal import Decimal
from typing import Any

import pytest
from recorded_exports import (
    CALL,
    ROOT,
    TRACE,
    any_value,
    chat,
    langfuse_generation,
    langfuse_trace,
    mlflow_trace,
    otel_world,
    otlp,
    otlp_span,
    records,
)

from liftos_pipelines.modules.llm.recorded.formats import format_of, read_records
from liftos_pipelines.modules.llm.recorded.spans import Recorded

EXPECTED = {
    "called_at": "2025-02-19T21:20:00.100000+00:00",
    "prompt_name": "price",
    "prompt_version": "7",
    "input": "What does it cost?",
    "context": "Price: 42 EUR.\n\nStock: 7.",
    "output": "42 EUR.",
    "latency_ms": 250.0,
    "input_tokens": 120,
    "output_tokens": 30,
    "cache_read_tokens": 100,
    "error": "",
    "session_id": "conv-1",
}


def read(told: Any, *contents: dict[str, Any], **options: Any) -> Recorded:
    return read_records(records(*contents), told, **({"usd_rate": Decimal(1)} | options))


def only(recorded: Recorded) -> dict[str, Any]:
    assert len(recorded.rows) == 1, (recorded.rows, recorded.problems)
    return recorded.rows[0]


@pytest.mark.parametrize(
    ("told", "content", "own"),
    [
        ("otel", otel_world(), {"variant": "B", "model": "gpt-4o-mini-2024-07-18", "call_id": f"{TRACE}/{CALL}",
                                "input": "system: Be brief.\nuser: What does it cost?"}),
        ("mlflow", mlflow_trace(), {"model": "gpt-4o-mini", "cost": Decimal("0.00003"), "user_feedback": 1,
                                    "reference": "42 EUR", "use_case": "pricing"}),
        ("langfuse", langfuse_trace(), {"model": "gpt-4o-mini", "cost": Decimal("0.00003"), "user_feedback": -1,
                                        "variant": "B", "use_case": "pricing", "call_id": "gen-1"}),
    ],
)  # fmt: skip
def test_three_tools_say_the_same_call(told: str, content: dict[str, Any], own: dict[str, Any]) -> None:
    assert format_of([content]) == told
    recorded = read(told, content)
    row = only(recorded)
    assert {name: row[name] for name in EXPECTED | own} == EXPECTED | own
    assert not recorded.problems
    assert recorded.counts["calls"] == 1


def test_costs_in_dollars_are_not_silently_the_clients_money() -> None:
    assert only(read("mlflow", mlflow_trace(), usd_rate=Decimal("0.9")))["cost"] == Decimal("0.000027")
    without = read("langfuse", langfuse_trace(), usd_rate=None)
    assert only(without)["cost"] is None
    assert without.counts["costs_in_dollars_without_a_rate"] == 1


def test_older_names_and_events_give_the_same_content() -> None:
    older = {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 7,
             "gen_ai.usage.completion_tokens": 3, "gen_ai.operation.name": "chat"}  # fmt: skip
    indexed = older | {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.completion.0.content": "ho",
    }
    content_events = {"gen_ai.content.prompt": {"gen_ai.prompt": json.dumps([{"role": "user", "content": "hi"}])},
                      "gen_ai.content.completion": {"gen_ai.completion": json.dumps([{"content": "ho"}])}}  # fmt: skip
    message_events = {
        "gen_ai.user.message": {"content": "hi"},
        "gen_ai.choice": {"message": json.dumps({"content": "ho"})},
    }
    spans = [
        otlp_span("00000000000000c1", indexed),
        otlp_span("00000000000000c2", older, events=content_events),
        otlp_span("00000000000000c3", older, events=message_events),
    ]
    rows = read("otel", otlp(*spans)).rows
    assert [(row["input"], row["output"], row["input_tokens"], row["output_tokens"]) for row in rows] == [
        ("hi", "ho", 7, 3)
    ] * 3


def test_one_span_a_line_is_read_as_the_sdk_writes_it_and_messages_as_log_records() -> None:
    line = {"name": "chat", "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{CALL}"}, "parent_id": None,
            "start_time": "2025-02-19T21:20:00.100000Z", "end_time": "2025-02-19T21:20:00.350000Z",
            "status": {"status_code": "ERROR", "description": "rate limited"}, "attributes": chat(), "events": []}  # fmt: skip
    assert format_of([line]) == "otel"
    row = only(read("otel", line))
    assert (row["error"], row["latency_ms"], row["_row"]) == ("rate limited", 250.0, 1)
    bare = {name: value for name, value in chat().items() if "messages" not in name and "instructions" not in name}
    log = {"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"traceId": TRACE, "spanId": CALL, "eventName": "gen_ai.user.message", "body": any_value({"content": "hi"})},
        {"traceId": TRACE, "spanId": CALL, "eventName": "gen_ai.choice", "body": any_value({"message": {"content": "ho"}})},
    ]}]}]}  # fmt: skip
    row = only(read("otel", log, otlp(otlp_span(CALL, bare))))
    assert (row["input"], row["output"]) == ("hi", "ho")


def test_a_wrapper_around_a_call_is_not_a_second_call_but_an_agent_between_makes_two() -> None:
    inner = otlp_span(
        CALL, {k: v for k, v in chat().items() if k != "gen_ai.conversation.id"}, parent="00000000000000d1"
    )
    outer = otlp_span("00000000000000d1", chat(**{"gen_ai.prompt.name": "price"}), parent=None)
    recorded = read("otel", otlp(inner, outer))
    row = only(recorded)
    assert (row["call_id"], row["prompt_name"], row["prompt_version"]) == (f"{TRACE}/{CALL}", "price", "unknown")
    assert row["session_id"] == "conv-1"
    assert recorded.counts["spans_wrapping_a_call"] == 1
    agent = otlp_span("00000000000000d2", {"gen_ai.operation.name": "invoke_agent"}, parent="00000000000000d1")
    inner["parentSpanId"] = "00000000000000d2"
    assert read("otel", otlp(inner, outer, agent)).counts["calls"] == 2


def test_half_a_trace_is_set_aside_and_a_child_without_its_root_stays() -> None:
    recorded = read("otel", otlp(otlp_span(CALL, chat()), otlp_span("00000000000000c9", chat(), end=None)))
    assert only(recorded)["call_id"].endswith(CALL)
    assert recorded.counts["calls_without_their_parent"] == 1
    (problem,) = recorded.problems
    assert (problem.kept, problem.row, problem.field, problem.span) == (False, 2, "end", f"{TRACE}/00000000000000c9")
    assert "half of its record is missing" in problem.reason


def test_of_a_doubled_span_the_latest_complete_one_counts_in_any_order() -> None:
    begun, done = otlp_span(CALL, chat(), end=None), otlp_span(CALL, chat())
    later = otlp_span(CALL, chat(**{"gen_ai.usage.output_tokens": 31}), end=300)
    for order in ([begun, done, later], [later, done, begun], [done, later, begun]):
        recorded = read("otel", *(otlp(span) for span in order))
        assert (only(recorded)["output_tokens"], recorded.counts["spans_repeated"]) == (31, 2)
        assert not recorded.problems
    first, second = (
        langfuse_generation(updatedAt="2025-02-20T00:00:00Z", output="new"),
        langfuse_generation(output="old"),
    )
    assert only(read("langfuse", first, second))["output"] == "new"


@pytest.mark.parametrize(
    ("attributes", "column", "reason"),
    [
        ({"gen_ai.usage.input_tokens": -5}, "input_tokens", "is negative (-5)"),
        ({"gen_ai.usage.output_tokens": "many"}, "output_tokens", "not a count"),
        ({"gen_ai.usage.output_tokens": 1.5}, "output_tokens", "not a whole number"),
        ({"gen_ai.usage.cache_read.input_tokens": 5000}, "cache_read_tokens", "exceed the input's 120"),
        ({"liftos.propensity": 3.0}, "propensity", "not a probability"),
        ({"liftos.user_feedback": 4}, "user_feedback", "scale that is not -1, 0, 1"),
    ],
)
def test_an_impossible_value_is_null_and_named_and_the_call_stays(
    attributes: dict[str, Any], column: str, reason: str
) -> None:
    recorded = read("otel", otlp(otlp_span(CALL, chat(**attributes))))
    assert only(recorded)[column] is None
    (problem,) = recorded.problems
    assert (problem.kept, problem.field) == (True, column)
    assert reason in problem.reason


def test_an_end_before_the_start_leaves_the_latency_unknown() -> None:
    recorded = read("otel", otlp(otlp_span(CALL, chat(), start=100, end=40)))
    assert only(recorded)["latency_ms"] is None
    assert "ends 60 ms before it starts" in recorded.problems[0].reason


def test_content_that_is_not_json_or_was_not_recorded_is_text_or_unknown() -> None:
    plain = chat(**{"gen_ai.input.messages": "{broken", "gen_ai.output.messages": "42 EUR."})
    del plain["gen_ai.system_instructions"]
    row = only(read("otel", otlp(otlp_span(CALL, plain))))
    assert (row["input"], row["output"]) == ("{broken", "42 EUR.")
    bare = {"gen_ai.operation.name": "chat"}
    row = only(read("otel", otlp(otlp_span(CALL, bare))))
    assert (row["model"], row["prompt_name"], row["input"], row["input_tokens"]) == ("unknown", "unknown", None, None)


def test_what_tools_answered_is_context_and_a_call_of_a_tool_is_output() -> None:
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": "Stock?"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "stock", "arguments": "{not json"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "7 pieces"}]},
    ]
    called = [{"role": "assistant", "parts": [{"type": "tool_call", "name": "stock", "arguments": {"sku": 1}}]}]
    attributes = chat(**{"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(called)})
    del attributes["gen_ai.system_instructions"]
    row = only(read("otel", otlp(otlp_span(CALL, attributes))))
    assert (row["input"], row["context"]) == ("Stock?", "7 pieces")
    assert json.loads(row["output"]) == [{"tool": "stock", "arguments": {"sku": 1}}]


def test_names_of_a_newer_convention_are_reported_not_dropped_silently() -> None:
    recorded = read("otel", otlp(otlp_span(CALL, chat(**{"gen_ai.usage.telepathy": 1, "app.own": 2}))))
    assert recorded.unknown_names == ("gen_ai.usage.telepathy",)


@pytest.mark.parametrize(
    ("told", "content", "reason"),
    [
        ("otel", {"hello": 1}, "neither a span nor an OTLP export"),
        ("otel", otlp({"spanId": CALL, "startTimeUnixNano": "1"}), "cannot be told from others"),
        ("otel", otlp(otlp_span(CALL, chat()) | {"startTimeUnixNano": "soon"}), "not an ISO 8601 time"),
        ("mlflow", {"info": {"trace_id": "tr-1"}}, "not a trace"),
        ("mlflow", {"info": {"trace_id": "tr-1"}, "data": {"spans": []}}, "has no spans"),
        ("langfuse", {"id": "x"}, "neither an observation"),
        ("langfuse", langfuse_generation(startTime="yesterday"), "not an ISO 8601 time"),
        ("langfuse", langfuse_generation(endTime=None, latency=None), "half of its record is missing"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(told: str, content: dict[str, Any], reason: str) -> None:
    recorded = read(told, content)
    assert recorded.rows == []
    assert [reason in problem.reason for problem in recorded.problems] == [True]
    assert not recorded.problems[0].kept


def test_mlflow_searches_answer_and_the_older_schema_are_read() -> None:
    listed = {"traces": [mlflow_trace()], "next_page_token": None}
    assert format_of([listed]) == "mlflow"
    assert only(read("mlflow", listed))["input"] == "What does it cost?"
    trace = mlflow_trace(assessments=[])
    info = {"request_id": "tr-1", "timestamp_ms": 1, "status": "OK", "tags": [{"key": "variant", "value": "B"}]}
    assert only(read("mlflow", trace | {"info": info}))["variant"] == "B"


def test_two_linked_prompts_leave_the_prompt_unknown() -> None:
    trace = mlflow_trace()
    trace["info"]["tags"]["mlflow.linkedPrompts"] = json.dumps(
        [{"name": "a", "version": 1}, {"name": "b", "version": 2}]
    )
    row = only(read("mlflow", trace))
    assert (row["prompt_name"], row["prompt_version"]) == ("unknown", "unknown")


def test_feedback_counts_where_a_person_gave_it_and_the_latest_wins() -> None:
    def said(value: Any, at: str, **more: Any) -> dict[str, Any]:
        return {"assessment_name": "user_feedback", "source": {"source_type": "HUMAN"}, "feedback": {"value": value},
                "last_update_time": at} | more  # fmt: skip

    both = [said(False, "2025-03-02T00:00:00Z"), said(True, "2025-03-01T00:00:00Z")]
    assert only(read("mlflow", mlflow_trace(assessments=both)))["user_feedback"] == -1
    overridden = [said(True, "2025-03-01T00:00:00Z"), said(False, "2025-03-02T00:00:00Z", valid=False)]
    assert only(read("mlflow", mlflow_trace(assessments=overridden)))["user_feedback"] == 1
    judged = [said(True, "2025-03-01T00:00:00Z", source={"source_type": "LLM_JUDGE"})]
    assert only(read("mlflow", mlflow_trace(assessments=judged)))["user_feedback"] is None


def test_langfuse_rows_of_a_csv_and_errors_latency_in_seconds() -> None:
    cells = {"id": "g", "trace_id": "t", "type": "GENERATION", "start_time": "2025-02-19 21:20:00", "end_time": "",
             "latency": "1.234", "level": "ERROR", "status_message": "timeout", "input_usage": "12", "output_usage": "3",
             "total_cost": "0.5", "input": '[{"role": "user", "content": "hi"}]', "output": "", "provided_model_name": "m"}  # fmt: skip
    assert format_of([cells]) == "langfuse"
    row = only(read("langfuse", cells))
    assert (row["latency_ms"], row["error"], row["input_tokens"], row["output_tokens"]) == (
        Decimal("1234.000"),
        "timeout",
        12,
        3,
    )
    assert (row["cost"], row["input"], row["output"], row["model"]) == (Decimal("0.5"), "hi", None, "m")


def test_scores_and_traces_that_come_apart_from_their_observations_find_them() -> None:
    score = {"name": "user-feedback", "value": 1, "dataType": "NUMERIC", "observationId": "gen-1", "traceId": "t-1"}
    trace = {
        "id": "t-1",
        "timestamp": "2025-02-19T21:20:00Z",
        "name": "pricing",
        "userId": "u1",
        "observations": ["gen-1"],
    }
    row = only(read("langfuse", score, langfuse_generation(), trace, unit="user"))
    assert (row["user_feedback"], row["use_case"], row["unit_id"]) == (1, "pricing", "u1")


def test_a_plain_table_is_told_from_the_exports() -> None:
    assert format_of([{"call_id": "c1", "called_at": "2025-01-01", "trace_id": "t", "span_id": "s"}]) == "calls"
    assert format_of([{"anything": 1}]) == "calls"


def test_a_circle_of_parents_ends() -> None:
    spans = [otlp_span(CALL, chat(), parent=ROOT), otlp_span(ROOT, {}, parent=CALL)]
    assert read("otel", otlp(*spans)).counts["calls"] == 1


JUNK: tuple[Any, ...] = (
    None, "", 0, -1, 1.5, True, [], {}, "x", [1], {"a": 1}, "{bad", "[1]", float("nan"), 10**30, [[]], [None],
    {"content": None}, "9" * 40, "0x", {"stringValue": 3}, {"kvlistValue": None}, {"arrayValue": {"values": 3}},
)  # fmt: skip


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, inner in entries for place in places(inner, (*path, key)))]


def broken(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The record with one to four of its values replaced by something that does not belong there, or gone."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 4)):
        *path, last = rng.choice(places(content)[1:] or [("absent",)])
        holder: Any = content
        for key in path:
            holder = holder[key]
        if rng.random() < 0.25 and last in (holder if isinstance(holder, dict) else range(len(holder))):
            del holder[last]
        else:
            holder[last] = copy.deepcopy(rng.choice(JUNK))
    return content


def test_no_broken_record_stops_the_others() -> None:
    rng = random.Random(3)
    whole = {"otel": otel_world(), "mlflow": mlflow_trace(), "langfuse": langfuse_trace()}
    for told in (*whole,) * 400:
        record = broken(whole[told], rng)
        format_of([record])
        recorded = read(
            told, record, otlp(otlp_span("00000000000000f1", chat(), trace="f" * 32)) if told == "otel" else record
        )
        assert told != "otel" or any(row["trace_id"] == "f" * 32 for row in recorded.rows)
