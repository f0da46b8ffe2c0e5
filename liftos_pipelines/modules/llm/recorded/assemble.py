"""Spans of any format become rows of `llm_calls`: one a request to a model, with what its trace knows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from liftos_pipelines.modules.llm.recorded.spans import UNKNOWN, Feedback, Parsed, Problem, Recorded, Span
from liftos_pipelines.modules.llm.recorded.values import (
    Unreadable,
    as_count,
    as_money,
    as_share,
    as_text,
    shown,
    verdict,
)

FILE, ROW = "_file", "_row"
INHERITED = (
    "prompt_name",
    "prompt_version",
    "variant",
    "context",
    "reference",
    "use_case",
    "unit_id",
    "propensity",
    "session_id",
    "user_id",
)
"""What a call takes from the spans above it where it does not say so itself, the nearest first."""
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
Unit = Literal["user", "session"]
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def assemble(parsed: Parsed, *, usd_rate: Decimal | None, unit: Unit | None = None) -> Recorded:
    """Rows of `llm_calls`, values by column, from what a format's parser found.

    Parameters
    ----------
    usd_rate : client's currency per dollar; these tools record costs in dollars, and without a rate a recorded
        cost is not the client's money: it is left null (a price table may still price the tokens)
    unit : whose id becomes `unit_id` where a call does not state one

    Notes
    -----
    A span that comes twice counts once: one with an end before one without, then the one written last. A span
    without an end is set aside. A call directly around another call (a client's wrapper) is not a second call; the
    inner one inherits its prompt and names. Feedback on a trace goes to its last call.
    """
    problems = list(parsed.problems)
    counts: Counter[str] = Counter()
    spans, repeated = _latest(parsed.spans)
    counts["spans_repeated"] = repeated
    by_key = {span.key: span for span in spans}
    brought = _documents(spans)
    wrappers = _wrappers(spans, by_key)
    liked, expected = _judged([span for span in spans if span.kind == "call" and span.key not in wrappers], parsed)
    rows = []
    for span in spans:
        if span.kind != "call" or span.key in wrappers:
            counts["spans_wrapping_a_call" if span.kind == "call" else f"spans_{span.kind}"] += 1
            continue
        lacking = "start" if span.start is None else "end" if not span.ended else None
        if lacking:
            reason = f"the span has no {lacking} time: half of its record is missing"
            problems.append(_problem(span, lacking, reason, span.fields))
            continue
        if span.parent_id and (span.trace_id, span.parent_id) not in by_key:
            counts["calls_without_their_parent"] += 1
        facts = _inherit(span, by_key)
        if span.key in liked:
            facts["user_feedback"] = liked[span.key]
        facts.setdefault("reference", expected.get(span.key))
        facts.setdefault("context", brought.get(span.key) or span.documents)
        rows.append(_row(span, facts, problems, counts, usd_rate, unit))
    counts["calls"] = len(rows)
    return Recorded(
        rows=rows,
        problems=problems,
        counts={name: number for name, number in sorted(counts.items()) if number},
        unknown_names=tuple(sorted(parsed.unknown_names)),
    )


def _latest(spans: Sequence[Span]) -> tuple[list[Span], int]:
    """One span an id: ended before not ended, then the latest written, then the last in the files."""
    best: dict[tuple[str, str], tuple[tuple[bool, datetime, datetime, int], Span]] = {}
    for position, span in enumerate(spans):
        rank = (span.ended, span.stamp or _EARLIEST, span.end or _EARLIEST, position)
        if span.key not in best or rank > best[span.key][0]:
            best[span.key] = (rank, span)
    return [span for _, span in best.values()], len(spans) - len(best)


def _above(span: Span, by_key: Mapping[tuple[str, str], Span]) -> list[Span]:
    """The spans above, nearest first; a circle of parents ends where it closes."""
    found: list[Span] = []
    seen = {span.key}
    while span.parent_id and (above := by_key.get((span.trace_id, span.parent_id))) and above.key not in seen:
        seen.add(above.key)
        found.append(above)
        span = above
    return found


def _wrappers(spans: Sequence[Span], by_key: Mapping[tuple[str, str], Span]) -> set[tuple[str, str]]:
    """Calls that only wrap another call: between the two stands no tool and no agent."""
    found = set()
    for span in spans:
        if span.kind != "call":
            continue
        for above in _above(span, by_key):
            if above.kind in ("tool", "agent", "retriever"):
                break
            if above.kind == "call":
                found.add(above.key)
    return found


def _documents(spans: Sequence[Span]) -> dict[tuple[str, str], str]:
    """Text of the retrievers that ended before each call began, in its trace; the first call after them has it, too."""
    brought: dict[str, list[Span]] = {}
    for span in spans:
        if span.kind == "retriever" and span.documents:
            brought.setdefault(span.trace_id, []).append(span)
    found = {}
    for span in spans:
        if span.kind == "call" and span.trace_id in brought and span.start is not None:
            before = [each for each in brought[span.trace_id] if each.end is None or each.end <= span.start]
            before.sort(key=lambda each: each.start or _EARLIEST)
            text = "\n\n".join(dict.fromkeys(each.documents or "" for each in before))
            if text:
                found[span.key] = text
    return found


def _inherit(span: Span, by_key: Mapping[tuple[str, str], Span]) -> dict[str, Any]:
    facts = dict(span.fields)
    for above in _above(span, by_key):
        for column in INHERITED:
            # A version belongs to the prompt beside it: the two are taken from one span.
            if column == "prompt_version" and facts.get("prompt_name") != above.fields.get("prompt_name"):
                continue
            if column not in facts and above.fields.get(column) is not None:
                facts[column] = above.fields[column]
    return facts


def _judged(calls: Sequence[Span], parsed: Parsed) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], str]]:
    """Feedback and expected answers by call; what is said of a trace, or of a step above, goes to its last call."""
    by_trace: dict[str, list[Span]] = {}
    for span in calls:
        by_trace.setdefault(span.trace_id, []).append(span)
    by_id = {span.span_id: span for span in calls}
    liked: dict[tuple[str, str], int] = {}
    expected: dict[tuple[str, str], str] = {}
    said = sorted(enumerate(parsed.feedback), key=lambda pair: (pair[1].at or _EARLIEST, pair[0]))
    for _, feedback in said:
        target = _target(feedback, by_trace, by_id)
        if target is None:
            continue
        if feedback.value is not None:
            liked[target.key] = feedback.value
        if feedback.reference:
            expected[target.key] = feedback.reference
    return liked, expected


def _target(feedback: Feedback, by_trace: Mapping[str, list[Span]], by_id: Mapping[str, Span]) -> Span | None:
    own = by_trace.get(feedback.trace_id or "", [])
    exact = next((span for span in own if span.span_id == feedback.span_id), None)
    if exact is None and feedback.trace_id is None and feedback.span_id:
        exact = by_id.get(feedback.span_id)
    return exact or max(own, key=lambda span: span.start or _EARLIEST, default=None)


def _row(
    span: Span,
    facts: dict[str, Any],
    problems: list[Problem],
    counts: Counter[str],
    usd_rate: Decimal | None,
    unit: Unit | None,
) -> dict[str, Any]:
    """The row, each impossible value null and named."""

    def read(column: str, reader: Any) -> Any:
        try:
            return reader(facts.get(column))
        except Unreadable as error:
            problems.append(_problem(span, column, f"{error}; read as unknown, the call stays", facts[column], True))
            return None

    row: dict[str, Any] = {column: read(column, as_count) for column in COUNTS}
    parts = sum(row[column] or 0 for column in COUNTS[2:])
    if row["input_tokens"] is not None and parts > row["input_tokens"]:
        reason = f"cached tokens ({parts}) exceed the input's {row['input_tokens']}; read as unknown, the call stays"
        problems.append(_problem(span, "cache_read_tokens", reason, parts, True))
        row["cache_read_tokens"] = row["cache_write_tokens"] = None
    cost, dollars = read("cost", as_money), read("usd", as_money)
    if cost is None and dollars is not None:
        if usd_rate is None:
            counts["costs_in_dollars_without_a_rate"] += 1
        else:
            cost = dollars * usd_rate
    assert span.start is not None
    latency = (span.end - span.start).total_seconds() * 1000 if span.end else None
    if latency is not None and latency < 0:
        reason = f"ends {-latency:g} ms before it starts; its latency is read as unknown, the call stays"
        problems.append(_problem(span, "end time", reason, {"start": span.start, "end": span.end}, True))
        latency = None
    own_unit = facts.get("unit_id") or (facts.get(f"{unit}_id") if unit else None)
    feedback = facts.get("user_feedback")
    return row | {
        "call_id": as_text(facts.get("call_id")) or f"{span.trace_id}/{span.span_id}",
        "called_at": span.start.isoformat(),
        "model": as_text(facts.get("model")) or UNKNOWN,
        "prompt_name": as_text(facts.get("prompt_name")) or UNKNOWN,
        "prompt_version": as_text(facts.get("prompt_version")) or UNKNOWN,
        "variant": as_text(facts.get("variant")),
        "input": as_text(facts.get("input")),
        "context": as_text(facts.get("context")),
        "output": as_text(facts.get("output")),
        "latency_ms": latency if latency is not None else read("latency_ms", as_money),
        "cost": cost,
        "user_feedback": None if feedback is None else read("user_feedback", verdict),
        "reference": as_text(facts.get("reference")),
        "error": span.error or "" if span.failed else None if span.failed is None else "",
        "use_case": as_text(facts.get("use_case")),
        "unit_id": as_text(own_unit),
        "propensity": read("propensity", as_share),
        "trace_id": span.trace_id,
        "session_id": as_text(facts.get("session_id")),
        FILE: span.file,
        ROW: span.row,
    }


def _problem(span: Span, field: str, reason: str, raw: Any, kept: bool = False) -> Problem:
    return Problem(
        file=span.file, row=span.row, span=f"{span.trace_id}/{span.span_id}", field=field, reason=reason,
        raw=shown(raw), kept=kept,
    )  # fmt: skip


def with_trace(span: Span, fields: Mapping[str, Any]) -> Span:
    """The span with what its trace says, where it does not say so itself."""
    return replace(span, fields={key: value for key, value in fields.items() if value is not None} | dict(span.fields))
