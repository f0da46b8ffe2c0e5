"""MLflow traces: `Trace.to_dict()` one a line or in a list, and `mlflow traces search --output json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liftos_pipelines.modules.llm.recorded.assemble import with_trace
from liftos_pipelines.modules.llm.recorded.messages import answered, asked
from liftos_pipelines.modules.llm.recorded.otel import attributes, documents_text
from liftos_pipelines.modules.llm.recorded.spans import Feedback, Kind, Parsed, Problem, Record, Span
from liftos_pipelines.modules.llm.recorded.values import (
    FEEDBACK_NAMES,
    REFERENCE_NAMES,
    Unreadable,
    as_json,
    as_text,
    hexadecimal,
    mapping,
    moment,
    nanoseconds,
    objects,
    shown,
    verdict,
)

VERSION = "3.17"
"""Of MLflow, whose trace schema 3 these names are; schema 2 (before MLflow 3) is read, too."""
KINDS: dict[str, Kind] = {
    "LLM": "call",
    "CHAT_MODEL": "call",
    "EMBEDDING": "embedding",
    "TOOL": "tool",
    "RETRIEVER": "retriever",
    "AGENT": "agent",
    "WORKFLOW": "agent",
}
USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
STATED = ("prompt_name", "prompt_version", "variant", "context", "reference", "use_case", "unit_id", "propensity")
"""What an application may state as a tag, as metadata or as an attribute, plainly or as `liftos.<name>`."""
PEOPLE = frozenset({"HUMAN", "USER", "END_USER"})


def is_trace(content: Mapping[str, Any]) -> bool:
    info, data = content.get("info"), content.get("data")
    return isinstance(info, Mapping) and isinstance(data, Mapping) and "spans" in data


def unwrapped(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The traces of one JSON object: itself, or those of a search's answer."""
    traces = content.get("traces")
    if isinstance(traces, list):
        yield from (trace if isinstance(trace, Mapping) else {} for trace in traces)
    else:
        yield content


def parse(records: Iterable[Record]) -> Parsed:
    parsed = Parsed()
    for record in records:
        for trace in unwrapped(record.content):
            if is_trace(trace):
                _read_trace(parsed, record, trace)
            else:
                _problem(parsed, record, "", "", "not a trace: `info` and `data.spans` are expected", trace)
    return parsed


def _problem(parsed: Parsed, record: Record, span: str, field: str, reason: str, raw: Any, kept: bool = False) -> None:
    parsed.problems.append(
        Problem(file=record.file, row=record.row, span=span, field=field, reason=reason, raw=shown(raw), kept=kept)
    )


def _read_trace(parsed: Parsed, record: Record, trace: Mapping[str, Any]) -> None:
    info, spans = trace["info"], trace["data"]["spans"]
    trace_id = str(info.get("trace_id") or info.get("request_id") or "")
    if not trace_id:
        _problem(parsed, record, "", "info.trace_id", "is missing: the trace cannot be told from others", trace)
        return
    if not isinstance(spans, list) or not spans:
        _problem(parsed, record, trace_id, "data.spans", "the trace has no spans: half of its record is missing", info)
        return
    metadata, tags = _pairs(info.get("trace_metadata") or info.get("request_metadata")), _pairs(info.get("tags"))
    own = {name: _stated(name, tags, metadata) for name in STATED} | {
        "session_id": metadata.get("mlflow.trace.session"),
        "user_id": metadata.get("mlflow.trace.user"),
    }
    own["use_case"] = own["use_case"] or tags.get("mlflow.traceName")
    linked = _linked(tags.get("mlflow.linkedPrompts"))
    if linked and not own["prompt_name"]:
        own["prompt_name"], own["prompt_version"] = linked
    for content in spans:
        if not isinstance(content, Mapping):
            _problem(parsed, record, trace_id, "data.spans", "a span is not an object", content)
            continue
        span = _read_span(parsed, parsed.numbered(record), trace_id, content)
        if span is not None:
            parsed.spans.append(with_trace(span, own) if span.kind == "call" else span)
    for assessment in objects(info.get("assessments")):
        _assess(parsed, record, trace_id, assessment)


def _read_span(parsed: Parsed, record: Record, trace_id: str, content: Mapping[str, Any]) -> Span | None:
    context = mapping(content.get("context"))
    span_id = hexadecimal(content.get("span_id") or context.get("span_id"))
    if not span_id:
        _problem(parsed, record, trace_id, "span_id", "is missing: the span cannot be told from others", content)
        return None
    own = {name: as_json(value) for name, value in attributes(content.get("attributes")).items()}
    times = {}
    for key in ("start", "end"):
        try:
            times[key] = nanoseconds(content.get(f"{key}_time_unix_nano", content.get(f"{key}_time")))
        except Unreadable as error:
            _problem(parsed, record, f"{trace_id}/{span_id}", f"{key} time", str(error), content)
            return None
    kind = KINDS.get(str(own.get("mlflow.spanType") or "").upper(), "other")
    inputs, outputs = own.get("mlflow.spanInputs"), own.get("mlflow.spanOutputs")
    status = content.get("status", content.get("status_code"))
    code = str(mapping(status).get("code") if isinstance(status, Mapping) else status or "")
    message = mapping(status).get("message") if isinstance(status, Mapping) else content.get("status_message")
    fields: dict[str, Any] = {name: _stated(name, own) for name in STATED}
    documents = None
    if kind == "call":
        question = asked(inputs)
        usage = mapping(own.get("mlflow.chat.tokenUsage"))
        linked = _linked(own.get("mlflow.linkedPrompts"))
        if linked and not fields["prompt_name"]:
            fields["prompt_name"], fields["prompt_version"] = linked
        fields |= {column: usage.get(name) for name, column in USAGE.items()}
        fields |= {
            "call_id": _stated("call_id", own),
            "model": own.get("mlflow.llm.model") or mapping(inputs).get("model"),
            "input": question.text,
            "output": answered(outputs),
            "usd": mapping(own.get("mlflow.llm.cost")).get("total_cost"),
            "session_id": own.get("session.id"),
            "user_id": own.get("user.id"),
        }
        documents = question.tools
    elif kind == "retriever":
        documents = documents_text(outputs)
    failed = code.endswith("ERROR")
    return Span(
        file=record.file,
        row=record.row,
        trace_id=trace_id,
        span_id=span_id,
        parent_id=hexadecimal(content.get("parent_span_id", content.get("parent_id"))),
        kind=kind,
        name=str(content.get("name") or ""),
        start=times["start"],
        end=times["end"],
        fields={key: value for key, value in fields.items() if value is not None},
        documents=documents,
        failed=failed,
        error=str(message or "error") if failed else None,
        ended=times["end"] is not None,
    )


def _pairs(value: Any) -> dict[str, Any]:
    """Tags and metadata: an object, or a list of key and value as schema 2 had it."""
    if isinstance(value, list):
        return {str(pair.get("key")): pair.get("value") for pair in value if isinstance(pair, Mapping)}
    return dict(value) if isinstance(value, Mapping) else {}


def _stated(name: str, *places: Mapping[str, Any]) -> Any:
    for place in places:
        for key in (f"liftos.{name}", name):
            if place.get(key) not in (None, ""):
                return place[key]
    return None


def _linked(value: Any) -> tuple[str, str] | None:
    """Name and version of the prompt linked to a span or trace; with several, which one was asked is not known."""
    prompts = as_json(value)
    if not isinstance(prompts, list) or len(prompts) != 1 or not isinstance(prompts[0], Mapping):
        return None
    name, version = prompts[0].get("name"), prompts[0].get("version")
    return (str(name), str(version)) if name and version else None


def _assess(parsed: Parsed, record: Record, trace_id: str, assessment: Mapping[str, Any]) -> None:
    name = str(assessment.get("assessment_name") or assessment.get("name") or "").lower().replace("-", "_")
    source = str(mapping(assessment.get("source")).get("source_type") or "").upper()
    if assessment.get("valid") is False:
        return
    span_id = hexadecimal(assessment.get("span_id"))
    try:
        at = moment(assessment.get("last_update_time") or assessment.get("create_time"))
    except Unreadable:
        at = None
    if name in REFERENCE_NAMES and assessment.get("expectation") is not None:
        expected = as_text(mapping(assessment["expectation"]).get("value"))
        parsed.feedback.append(Feedback(trace_id=trace_id, span_id=span_id, value=None, reference=expected, at=at))
        return
    feedback = assessment.get("feedback")
    if name not in FEEDBACK_NAMES or feedback is None or (source and source not in PEOPLE):
        return
    said = mapping(feedback).get("value") if isinstance(feedback, Mapping) else feedback
    try:
        value = verdict(said)
    except Unreadable as error:
        _problem(parsed, record, trace_id, "user_feedback", str(error), assessment, kept=True)
        return
    parsed.feedback.append(Feedback(trace_id=trace_id, span_id=span_id, value=value, at=at))
