"""The same conversation as three tools would export it: a retriever, a wrapper, a call, a tool, an embedding."""

from __future__ import annotations

import json
from typing import Any

from liftos_pipelines.modules.llm.recorded.spans import Record

START = 1_740_000_000_000_000_000  # 2025-02-19T21:20:00Z
TRACE, ROOT, RETRIEVER, CALL = (
    "0af7651916cd43dd8448eb211c80319c",
    "00000000000000aa",
    "00000000000000bb",
    "00000000000000cc",
)
DOCUMENTS = [{"id": "1", "content": "Price: 42 EUR."}, {"id": "2", "content": "Stock: 7."}]


def records(*contents: dict[str, Any], file: str = "data/calls.jsonl") -> list[Record]:
    return [Record(file=file, row=row, content=content) for row, content in enumerate(contents, start=1)]


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # OTLP/JSON writes 64 bits as text
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(each) for each in value]}}
        case dict():
            return {"kvlistValue": {"values": [{"key": key, "value": any_value(each)} for key, each in value.items()]}}
    return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def otlp_span(
    span_id: str,
    attributes: dict[str, Any],
    *,
    parent: str | None = ROOT,
    start: int = 0,
    end: int | None = 250,
    events: dict[str, dict[str, Any]] | None = None,
    status: dict[str, Any] | None = None,
    trace: str = TRACE,
) -> dict[str, Any]:
    """One OTLP/JSON span; times in milliseconds after START."""
    span = {
        "traceId": trace,
        "spanId": span_id,
        "name": "chat gpt-4o-mini",
        "startTimeUnixNano": str(START + start * 1_000_000),
        "attributes": pairs(attributes),
        "events": [
            {"name": name.split("#")[0], "timeUnixNano": str(START), "attributes": pairs(own)}
            for name, own in (events or {}).items()
        ],
        "status": status or {},
    }
    if parent:
        span["parentSpanId"] = parent
    if end is not None:
        span["endTimeUnixNano"] = str(START + end * 1_000_000)
    return span


def otlp(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": "shop"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


def chat(**more: Any) -> dict[str, Any]:
    """Attributes of a call by the newest names."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.conversation.id": "conv-1",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": "What does it cost?"}]}]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "42 EUR."}], "finish_reason": "stop"}]
        ),
    } | more


def otel_world() -> dict[str, Any]:
    return otlp(
        otlp_span(ROOT, {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 120, "liftos.variant": "B",
                         "gen_ai.prompt.name": "price", "gen_ai.prompt.version": "7"}, parent=None, end=900),
        otlp_span(RETRIEVER, {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": json.dumps(DOCUMENTS)}, end=90),
        otlp_span("00000000000000e0", {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.usage.input_tokens": 5}),
        otlp_span("00000000000000e1", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"}),
        otlp_span(CALL, chat(), start=100, end=350.0 and 350),
    )  # fmt: skip


def mlflow_trace(
    *, usage: dict[str, Any] | None = None, assessments: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A trace of schema 3 as `Trace.to_dict()` gives it, from MLflow 3.17."""

    def span(span_id: str, parent: str | None, kind: str, start: int, end: int, **attributes: Any) -> dict[str, Any]:
        own = {"mlflow.spanType": kind, "mlflow.traceRequestId": "tr-1"} | attributes
        return {
            "trace_id": "R5JfWvmPMtFP4DubS5k9Qw==", "span_id": span_id, "parent_span_id": parent, "name": kind.lower(),
            "start_time_unix_nano": START + start * 1_000_000, "end_time_unix_nano": START + end * 1_000_000,
            "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "links": [],
            "attributes": {key: json.dumps(value) for key, value in own.items()},
        }  # fmt: skip

    llm = {
        "mlflow.llm.model": "gpt-4o-mini",
        "mlflow.chat.tokenUsage": usage or {"input_tokens": 120, "output_tokens": 30, "cache_read_input_tokens": 100},
        "mlflow.llm.cost": {"input_cost": 0.00001, "output_cost": 0.00002, "total_cost": 0.00003},
        "mlflow.spanInputs": {"messages": [{"role": "user", "content": "What does it cost?"}], "model": "gpt-4o-mini"},
        "mlflow.spanOutputs": {"choices": [{"message": {"role": "assistant", "content": "42 EUR."}}]},
    }
    return {
        "info": {
            "trace_id": "tr-1", "request_time": "2025-02-19T21:20:00Z", "state": "OK",
            "trace_metadata": {"mlflow.trace.session": "conv-1", "mlflow.trace.user": "u1"},
            "tags": {"mlflow.traceName": "pricing", "mlflow.linkedPrompts": json.dumps([{"name": "price", "version": "7"}])},
            "assessments": assessments if assessments is not None else [
                {"assessment_name": "user_feedback", "source": {"source_type": "HUMAN"}, "feedback": {"value": True}},
                {"assessment_name": "relevance", "source": {"source_type": "LLM_JUDGE"}, "feedback": {"value": 0.2}},
                {"assessment_name": "expected_response", "source": {"source_type": "HUMAN"}, "expectation": {"value": "42 EUR"}},
            ],
        },
        "data": {"spans": [
            span("HohqsRiXTMU=", None, "CHAIN", 0, 900),
            span("CnOd9JLOBwQ=", "HohqsRiXTMU=", "RETRIEVER", 0, 90, **{
                "mlflow.spanOutputs": [{"page_content": each["content"], "metadata": {}} for each in DOCUMENTS]}),
            span("WszeRRYwOrc=", "HohqsRiXTMU=", "CHAT_MODEL", 100, 350, **llm),
        ]},
    }  # fmt: skip


def langfuse_generation(**more: Any) -> dict[str, Any]:
    return {
        "id": "gen-1",
        "traceId": "t-1",
        "type": "GENERATION",
        "name": "answer",
        "startTime": "2025-02-19T21:20:00.100Z",
        "endTime": "2025-02-19T21:20:00.350Z",
        "model": "gpt-4o-mini",
        "input": [{"role": "user", "content": "What does it cost?"}],
        "output": {"role": "assistant", "content": "42 EUR."},
        "usageDetails": {"input": 20, "input_cached_tokens": 100, "output": 30, "total": 150},
        "costDetails": {"input": 0.00001, "output": 0.00002, "total": 0.00003},
        "promptName": "price",
        "promptVersion": 7,
        "level": "DEFAULT",
        "latency": 0.25,
    } | more


def langfuse_trace(**more: Any) -> dict[str, Any]:
    return {
        "id": "t-1",
        "timestamp": "2025-02-19T21:20:00Z",
        "name": "pricing",
        "sessionId": "conv-1",
        "userId": "u1",
        "metadata": {"variant": "B"},
        "observations": [
            {"id": "ret-1", "type": "RETRIEVER", "startTime": "2025-02-19T21:20:00Z", "endTime": "2025-02-19T21:20:00.090Z",
             "output": DOCUMENTS},
            langfuse_generation(),
        ],
        "scores": [{"id": "s1", "name": "user-feedback", "value": 0, "dataType": "BOOLEAN", "traceId": "t-1"}],
    } | more  # fmt: skip
