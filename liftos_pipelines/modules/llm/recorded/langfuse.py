"""Langfuse exports: observations, traces, scores; of the API and blob storage as JSON or JSONL, of the UI as CSV.

Names are read in both spellings (`startTime`, `start_time`). Money is in dollars, latency in seconds. What Langfuse
counts apart (`input`, `input_cached_tokens`, ...) is added up to the input as its own totals do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liftos_pipelines.modules.llm.recorded.assemble import with_trace
from liftos_pipelines.modules.llm.recorded.messages import answered, asked
from liftos_pipelines.modules.llm.recorded.otel import documents_text
from liftos_pipelines.modules.llm.recorded.spans import Feedback, Kind, Parsed, Problem, Record, Span
from liftos_pipelines.modules.llm.recorded.values import (
    FEEDBACK_NAMES,
    Unreadable,
    as_json,
    as_money,
    identifier,
    mapping,
    moment,
    objects,
    shown,
    verdict,
)

VERSION = "3"
KINDS: dict[str, Kind] = {
    "GENERATION": "call",
    "EMBEDDING": "embedding",
    "TOOL": "tool",
    "RETRIEVER": "retriever",
    "AGENT": "agent",
    "SPAN": "other",
    "EVENT": "other",
    "CHAIN": "other",
    "EVALUATOR": "other",
    "GUARDRAIL": "other",
}
STATED = ("variant", "context", "reference", "use_case", "unit_id", "propensity", "prompt_name", "prompt_version")
"""What an application may state in the metadata, plainly or as `liftos.<name>`."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake(content: Mapping[str, Any]) -> dict[str, Any]:
    return {_CAMEL.sub("_", str(key).strip()).replace(" ", "_").lower(): value for key, value in content.items()}


def is_observation(content: Mapping[str, Any]) -> bool:
    own = snake(content)
    return str(own.get("type") or "").upper() in KINDS and "start_time" in own and "id" in own


def is_trace(content: Mapping[str, Any]) -> bool:
    own = snake(content)
    return isinstance(as_json(own.get("observations")), list) and "id" in own


def unwrapped(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects of one answer of the API (`data`), or the object itself."""
    data = content.get("data")
    if isinstance(data, list) and "id" not in content:
        yield from (entry if isinstance(entry, Mapping) else {} for entry in data)
    else:
        yield content


def parse(records: Iterable[Record]) -> Parsed:
    parsed = Parsed()
    traces: dict[str, dict[str, Any]] = {}
    waiting: list[Span] = []
    records = list(records)
    nested = {each.file for each in records if is_trace(each.content) or "data" in each.content}
    for record in records:
        for content in unwrapped(record.content):
            own = snake(content)
            if "start_time" in own and own.get("type"):
                _observe(parsed, parsed.numbered(record) if record.file in nested else record, own, waiting)
            elif "value" in own and (own.get("trace_id") or own.get("observation_id")):
                _score(parsed, record, own)
            elif is_trace(content) or ("timestamp" in own and own.get("id")):
                _read_trace(parsed, record, own, traces, waiting)
            else:
                reason = "neither an observation (type, startTime), a trace nor a score of Langfuse"
                _problem(parsed, record, str(own.get("id") or ""), "", reason, content)
    parsed.spans += [
        with_trace(span, traces.get(span.trace_id, {})) if span.kind == "call" else span for span in waiting
    ]
    return parsed


def _problem(parsed: Parsed, record: Record, span: str, field: str, reason: str, raw: Any, kept: bool = False) -> None:
    parsed.problems.append(
        Problem(file=record.file, row=record.row, span=span, field=field, reason=reason, raw=shown(raw), kept=kept)
    )


def _read_trace(
    parsed: Parsed, record: Record, own: dict[str, Any], traces: dict[str, dict[str, Any]], waiting: list[Span]
) -> None:
    trace_id = str(own.get("id") or "")
    metadata = mapping(own.get("metadata"))
    stated = {name: _stated(metadata, name) for name in STATED}
    stated["use_case"] = stated["use_case"] or own.get("name")
    traces[trace_id] = stated | {"session_id": own.get("session_id"), "user_id": own.get("user_id")}
    # An id alone stands for an observation or a score that is exported elsewhere.
    for content in objects(own.get("observations")):
        _observe(parsed, parsed.numbered(record), {"trace_id": trace_id} | snake(content), waiting)
    for score in objects(own.get("scores")):
        _score(parsed, record, {"trace_id": trace_id} | snake(score))


def _observe(parsed: Parsed, record: Record, own: dict[str, Any], waiting: list[Span]) -> None:
    span_id = str(own.get("id") or "")
    if not span_id:
        _problem(parsed, record, "", "id", "is missing: the observation cannot be told from others", own)
        return
    times = {}
    for key in ("start_time", "end_time", "updated_at"):
        try:
            times[key] = moment(own.get(key))
        except Unreadable as error:
            if key != "updated_at":
                _problem(parsed, record, span_id, key, str(error), own)
                return
            times[key] = None
    kind = KINDS.get(str(own.get("type")).upper(), "other")
    metadata = mapping(own.get("metadata"))
    fields: dict[str, Any] = {name: _stated(metadata, name) for name in STATED}
    documents = None
    if kind == "call":
        question = asked(as_json(own.get("input")))
        documents = question.tools
        fields["use_case"] = fields["use_case"] or own.get("trace_name")
        if own.get("prompt_name"):
            fields |= {"prompt_name": own["prompt_name"], "prompt_version": own.get("prompt_version")}
        fields |= _usage(own) | {
            "call_id": span_id,
            "model": own.get("model") or own.get("provided_model_name"),
            "input": question.text,
            "output": answered(as_json(own.get("output"))),
            "usd": _dollars(own),
            "session_id": own.get("session_id"),
            "user_id": own.get("user_id"),
        }
        latency = own.get("latency")
        if times["end_time"] is None and latency not in (None, ""):
            fields["latency_ms"] = _milliseconds(latency)
    elif kind == "retriever":
        documents = documents_text(own.get("output"))
    failed = str(own.get("level") or "DEFAULT").upper() == "ERROR"
    waiting.append(
        Span(
            file=record.file,
            row=record.row,
            trace_id=str(own.get("trace_id") or f"observation-{span_id}"),
            span_id=span_id,
            parent_id=identifier(own.get("parent_observation_id")),
            kind=kind,
            name=str(own.get("name") or ""),
            start=times["start_time"],
            end=times["end_time"],
            fields={key: value for key, value in fields.items() if value not in (None, "")},
            documents=documents,
            failed=failed,
            error=str(own.get("status_message") or "error") if failed else None,
            stamp=times["updated_at"],
            ended=times["end_time"] is not None or "latency_ms" in fields,
        )
    )


def _milliseconds(seconds: Any) -> Any:
    try:
        amount = as_money(seconds)
    except Unreadable:
        return seconds  # named where the row is made
    return None if amount is None else amount * 1000


def _stated(metadata: Mapping[str, Any], name: str) -> Any:
    return metadata.get(f"liftos.{name}", metadata.get(name))


def _usage(own: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts by column, from `usageDetails`, the older `usage`, or the columns of the CSV export."""
    details = mapping(own.get("usage_details"))
    if details:
        kinds = {str(name).lower(): value for name, value in details.items() if value is not None}
        given = [value for name, value in kinds.items() if "input" in name]
        came = [value for name, value in kinds.items() if "output" in name]
        read = [value for name, value in kinds.items() if "cache" in name and not _written(name)]
        written = [value for name, value in kinds.items() if "cache" in name and _written(name)]
        return {
            "input_tokens": _sum(given),
            "output_tokens": _sum(came),
            "cache_read_tokens": _sum(read),
            "cache_write_tokens": _sum(written),
        }
    usage = snake(mapping(own.get("usage")))
    older = ("input", "prompt_tokens"), ("output", "completion_tokens")
    flat = ("input_usage", "prompt_tokens", "input_tokens"), ("output_usage", "completion_tokens", "output_tokens")
    columns = ("input_tokens", "output_tokens")
    return {
        column: next(
            (place[name] for place, choices in ((usage, names), (own, plain)) for name in choices
             if place.get(name) not in (None, "")),
            None,
        )
        for column, names, plain in zip(columns, older, flat, strict=True)
    }  # fmt: skip


def _written(name: str) -> bool:
    return "creation" in name or "write" in name


def _sum(values: list[Any]) -> Any:
    """The sum; one broken or negative part is given on as it is, to be named where the row is made."""
    total: float = 0
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            return value
        total += value
    return total if values else None


def _dollars(own: Mapping[str, Any]) -> Any:
    total = mapping(own.get("cost_details")).get("total")
    choices = (
        total,
        own.get("total_cost"),
        own.get("calculated_total_cost"),
        snake(mapping(own.get("usage"))).get("total_cost"),
    )
    found = next((value for value in choices if value not in (None, "")), None)
    # Langfuse writes 0 where it has no price for the model: that is not a cost of nothing.
    return None if found in (0, 0.0, "0") and not mapping(own.get("cost_details")) else found


def _score(parsed: Parsed, record: Record, own: Mapping[str, Any]) -> None:
    name = str(own.get("name") or "").lower().replace("-", "_").replace(" ", "_")
    if name not in FEEDBACK_NAMES:
        return
    said = own.get("string_value") or own.get("value")
    try:
        at = moment(own.get("updated_at") or own.get("timestamp"))
    except Unreadable:
        at = None
    try:
        value = verdict(said, two_valued=str(own.get("data_type") or "").upper() == "BOOLEAN")
    except Unreadable as error:
        where = str(own.get("observation_id") or own.get("trace_id"))
        _problem(parsed, record, where, "user_feedback", str(error), own, kept=True)
        return
    parsed.feedback.append(
        Feedback(
            trace_id=identifier(own.get("trace_id")), span_id=identifier(own.get("observation_id")), value=value, at=at
        )
    )
