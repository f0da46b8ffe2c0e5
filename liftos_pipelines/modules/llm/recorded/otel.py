"""OpenTelemetry spans with GenAI attributes: OTLP/JSON exports, and one span a line (OTLP or the SDK's `to_json`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from liftos_pipelines.modules.llm.recorded import otel_names as names
from liftos_pipelines.modules.llm.recorded.messages import answered, asked
from liftos_pipelines.modules.llm.recorded.spans import Feedback, Kind, Parsed, Problem, Record, Span
from liftos_pipelines.modules.llm.recorded.values import (
    FEEDBACK_NAMES,
    Unreadable,
    as_json,
    as_text,
    hexadecimal,
    moment,
    nanoseconds,
    shown,
    verdict,
)

ERROR_CODES = frozenset({"2", "STATUS_CODE_ERROR", "ERROR"})
_DEPTH = 40


def parse(records: Iterable[Record]) -> Parsed:
    """Spans of OTLP/JSON objects (`resourceSpans`, `resourceLogs`) and of lines that are one span each."""
    parsed = Parsed()
    logged: dict[tuple[str, str], list[dict[str, Any]]] = {}
    raw: list[tuple[Record, Mapping[str, Any], Mapping[str, Any]]] = []
    for record in records:
        found = list(_spans_of(record.content))
        events = list(_logs_of(record.content))
        for event in events:
            logged.setdefault(event.pop("_key"), []).append(event)
        if not found and not events:
            _problem(parsed, record, "", "", "neither a span nor an OTLP export (resourceSpans)", record.content)
        raw += [(record, span, resource) for span, resource in found]
    exports = {record.file for record, span, _ in raw if span is not record.content}
    for record, span, resource in raw:
        _read(parsed, parsed.numbered(record) if record.file in exports else record, span, resource, logged)
    return parsed


def _problem(
    parsed: Parsed, record: Record, span: str, field: str, reason: str, raw: Any, *, kept: bool = False
) -> None:
    parsed.problems.append(
        Problem(file=record.file, row=record.row, span=span, field=field, reason=reason, raw=shown(raw), kept=kept)
    )


# --- finding spans ---


def _get(content: Mapping[str, Any], *keys: str) -> Any:
    return next((content[key] for key in keys if content.get(key) is not None), None)


def _list(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [entry for entry in value if isinstance(entry, Mapping)]


def _spans_of(content: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(span, attributes of its resource) of one JSON object."""
    resources = _get(content, "resourceSpans", "resource_spans")
    if resources is None and _get(content, "scopeSpans", "scope_spans", "instrumentationLibrarySpans") is not None:
        resources = [content]
    if resources is not None:
        for resource in _list(resources):
            own = attributes(_get(_mapping(resource.get("resource")), "attributes"))
            for scope in _list(_get(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")):
                for span in _list(scope.get("spans")):
                    yield span, own
    elif is_span(content):
        yield content, attributes(_get(_mapping(content.get("resource")), "attributes"))


def is_span(content: Mapping[str, Any]) -> bool:
    """Whether an object is one span: identifiers of span and trace, and a start."""
    context = _mapping(content.get("context"))
    span = _get(content, "spanId", "span_id") or context.get("span_id")
    trace = _get(content, "traceId", "trace_id") or context.get("trace_id")
    return bool(
        span and trace and _get(content, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
    )


def _logs_of(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Events that were exported as log records, with the span they belong to."""
    for resource in _list(_get(content, "resourceLogs", "resource_logs")):
        for scope in _list(_get(resource, "scopeLogs", "scope_logs")):
            for entry in _list(_get(scope, "logRecords", "log_records")):
                own = attributes(entry.get("attributes"))
                body = _any(entry.get("body"))
                key = (hexadecimal(_get(entry, "traceId", "trace_id")), hexadecimal(_get(entry, "spanId", "span_id")))
                yield {
                    "_key": key,
                    "name": _get(entry, "eventName", "event_name") or own.get("event.name") or "",
                    "attributes": own | (dict(body) if isinstance(body, Mapping) else {}),
                }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def attributes(value: Any) -> dict[str, Any]:
    """Attributes by name, from OTLP's list of key and typed value or from a plain object."""
    if isinstance(value, Mapping):
        return dict(value)
    return {str(entry.get("key")): _any(entry.get("value")) for entry in _list(value)}


def _any(value: Any, depth: int = 0) -> Any:
    """OTLP's AnyValue as a plain value."""
    if not isinstance(value, Mapping) or depth > _DEPTH:
        return value
    for key, content in value.items():
        match key.replace("_", "").lower():
            case "stringvalue" | "boolvalue" | "doublevalue" | "bytesvalue":
                return content
            case "intvalue":
                try:
                    return int(content)
                except (TypeError, ValueError):
                    return content
            case "arrayvalue":
                values = _mapping(content).get("values")
                return [_any(entry, depth + 1) for entry in values] if isinstance(values, list) else []
            case "kvlistvalue":
                entries = _list(_mapping(content).get("values"))
                return {str(entry.get("key")): _any(entry.get("value"), depth + 1) for entry in entries}
    return dict(value) if value else None


# --- reading one span ---


def _read(
    parsed: Parsed,
    record: Record,
    span: Mapping[str, Any],
    resource: Mapping[str, Any],
    logged: Mapping[tuple[str, str], list[dict[str, Any]]],
) -> None:
    context = _mapping(span.get("context"))
    span_id = hexadecimal(_get(span, "spanId", "span_id") or context.get("span_id"))
    trace_id = hexadecimal(_get(span, "traceId", "trace_id") or context.get("trace_id"))
    if not span_id or not trace_id:
        missing = "spanId" if not span_id else "traceId"
        _problem(parsed, record, span_id or "", missing, "is missing: the span cannot be told from others", span)
        return
    own = attributes(span.get("attributes"))
    parsed.unknown_names |= {name for name in own if names.not_known(name)}
    events = [
        {"name": str(event.get("name") or ""), "attributes": attributes(event.get("attributes"))}
        for event in _list(span.get("events"))
    ] + logged.get((trace_id, span_id), [])
    times = {}
    for key, found in (
        ("start", _get(span, "startTimeUnixNano", "start_time_unix_nano", "startTime", "start_time")),
        ("end", _get(span, "endTimeUnixNano", "end_time_unix_nano", "endTime", "end_time")),
    ):
        try:
            times[key] = nanoseconds(found) if _is_number(found) else moment(found)
        except Unreadable as error:
            _problem(parsed, record, span_id, f"{key} time", str(error), span)
            return
    kind = kind_of(own, events)
    status = _mapping(span.get("status"))
    failed = str(_get(status, "code", "status_code") or "") in ERROR_CODES or "error.type" in own
    fields = {
        column: found
        for column, choices in names.FIELDS.items()
        if (found := next((own[name] for name in choices if own.get(name) not in (None, "")), None)) is not None
    }
    documents = None
    if kind == "call":
        fields |= _content(own, events)
        # What a call used in tools stands in its messages; it becomes context where nothing better is there.
        documents = fields.pop("tools", None)
    elif kind == "retriever":
        documents = documents_text(_first(own, names.DOCUMENTS))
    fields.setdefault("use_case", resource.get("liftos.use_case"))
    parsed.spans.append(
        Span(
            file=record.file,
            row=record.row,
            trace_id=trace_id,
            span_id=span_id,
            parent_id=hexadecimal(_get(span, "parentSpanId", "parent_span_id", "parent_id")),
            kind=kind,
            name=str(span.get("name") or ""),
            start=times["start"],
            end=times["end"],
            fields={key: value for key, value in fields.items() if value is not None},
            documents=documents,
            failed=failed,
            error=_error(own, events, status) if failed else None,
            ended=times["end"] is not None,
        )
    )
    _feedback(parsed, record, trace_id, span_id, events)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("-").isdigit())


def kind_of(own: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()) -> Kind:
    """What a span stands for, by its operation, else its kind, else by carrying a model and tokens or messages."""
    operation = str(_first(own, names.OPERATION) or "").lower()
    if operation in names.CALL_OPERATIONS:
        return "call"
    if operation in names.OTHER_OPERATIONS:
        return names.OTHER_OPERATIONS[operation]
    said = str(_first(own, names.KIND) or "").lower()
    if said in names.KINDS:
        return names.KINDS[said]
    if operation or own.get("gen_ai.tool.name"):
        return "other"
    content = [*names.FIELDS["input_tokens"], *names.FIELDS["output_tokens"], *names.INPUT[:2], *names.OUTPUT[:2]]
    has_content = any(own.get(name) is not None for name in content) or bool(_indexed(own, names.INDEXED_INPUT))
    spoken = any(str(event.get("name", "")) in (*names.MESSAGE_EVENTS, names.CHOICE_EVENT) for event in events)
    if any(own.get(name) for name in names.SIGNS) and (has_content or spoken):
        return "call"
    return "other"


def _first(own: Mapping[str, Any], choices: Iterable[str]) -> Any:
    return next((own[name] for name in choices if own.get(name) not in (None, "")), None)


def _content(own: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`input`, `output` and `tools` from attributes, else from events."""
    merged = dict(own)
    for event in events:
        if event["name"] in names.CONTENT_EVENTS:
            merged |= {key: value for key, value in event["attributes"].items() if key.startswith("gen_ai.")}
    given = _first(merged, names.INPUT)
    given = _indexed(merged, names.INDEXED_INPUT) if given is None else given
    came = _first(merged, names.OUTPUT)
    came = _indexed(merged, names.INDEXED_OUTPUT) if came is None else came
    spoken = [
        {"role": names.MESSAGE_EVENTS[event["name"]]} | dict(event["attributes"])
        for event in events
        if event["name"] in names.MESSAGE_EVENTS
    ]
    chosen = [
        _mapping(as_json(event["attributes"].get("message"))) or event["attributes"]
        for event in events
        if event["name"] == names.CHOICE_EVENT
    ]
    question = asked(given if given else spoken or None, _first(merged, names.SYSTEM))
    return {
        "input": question.text,
        "output": answered(came if came else chosen or None),
        "tools": question.tools,
    }


_INDEX = re.compile(r"(\d+)\.(?:message\.)?(.+)")


def _indexed(own: Mapping[str, Any], prefixes: Iterable[str]) -> list[dict[str, Any]]:
    """Messages written one attribute a field, in order of their index."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in own.items():
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        match = _INDEX.fullmatch(name[len(prefix) :]) if prefix else None
        if match and match.group(2) in ("role", "content"):
            found.setdefault(int(match.group(1)), {})[match.group(2)] = value
    return [found[index] for index in sorted(found) if "content" in found[index]]


def documents_text(value: Any) -> str | None:
    """The text of what a retriever or tool brought; a list of documents becomes paragraphs."""
    found = as_json(value)
    if isinstance(found, Mapping) and isinstance(found.get("documents"), list):
        found = found["documents"]
    if not isinstance(found, list):
        return as_text(value)
    texts = []
    for entry in found:
        entry = as_json(entry)
        if isinstance(entry, Mapping):
            inner = _mapping(entry.get("document")) or entry
            keys = ("content", "page_content", "text", "document.content", "pageContent")
            entry = next((inner[key] for key in keys if inner.get(key)), entry)
        text = as_text(entry)
        texts += [text] if text else []
    return "\n\n".join(texts) or None


def _error(own: Mapping[str, Any], events: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> str:
    exception: Any = next(
        (_first(event["attributes"], ("exception.message", "exception.type")) for event in events
         if event["name"] == names.EXCEPTION_EVENT),
        None,
    )  # fmt: skip
    return str(_get(status, "message", "description") or exception or _first(own, names.ERROR) or "error")


def _feedback(parsed: Parsed, record: Record, trace_id: str, span_id: str, events: Sequence[Mapping[str, Any]]) -> None:
    for event in events:
        own = event["attributes"]
        if event["name"] != names.EVALUATION_EVENT or str(own.get("gen_ai.evaluation.name")) not in FEEDBACK_NAMES:
            continue
        said = _first(own, ("gen_ai.evaluation.score.label", "gen_ai.evaluation.score.value"))
        try:
            value = verdict(said)
        except Unreadable as error:
            _problem(parsed, record, span_id, "user_feedback", str(error), own, kept=True)
            continue
        parsed.feedback.append(Feedback(trace_id=trace_id, span_id=span_id, value=value))
