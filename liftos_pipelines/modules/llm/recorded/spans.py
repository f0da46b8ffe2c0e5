"""What every format is read into, and what comes out: spans in, rows and problems out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

Kind = Literal["call", "embedding", "tool", "retriever", "agent", "other"]
"""`call`: one request to a language model. `agent` also stands for a workflow step that sums up what is below it."""

UNKNOWN = "unknown"
"""Stands in `model`, `prompt_name` and `prompt_version` where the recording does not say: a value, not a guess."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One parsed JSON object and where it stands: `row` is the line of the file, or the number of the record."""

    file: str
    row: int
    content: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What could not be used. `kept`: the call stays and this field is null; else the record was set aside."""

    file: str
    row: int
    span: str
    field: str
    reason: str
    raw: str
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Span:
    """One step of a trace, from whatever tool. `fields` are raw values by the column of `llm_calls` they may fill.

    `start`, `end` : UTC, None where not recorded; `documents` : text a retriever or tool brought;
    `failed` : None where the tool does not record a status; `stamp` : when this version of the span was written.
    """

    file: str
    row: int
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: Kind
    name: str
    start: datetime | None
    end: datetime | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    documents: str | None = None
    failed: bool | None = None
    error: str | None = None
    stamp: datetime | None = None
    ended: bool = True

    @property
    def key(self) -> tuple[str, str]:
        return (self.trace_id, self.span_id)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """A person's verdict on a call (`span_id`) or on a whole trace: -1, 0 or 1; or the answer that was expected."""

    trace_id: str | None
    span_id: str | None
    value: int | None
    reference: str | None = None
    at: datetime | None = None


@dataclass(kw_only=True)
class Parsed:
    """What one format gave: spans in file order, feedback, problems, and names that this version does not know."""

    spans: list[Span] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unknown_names: set[str] = field(default_factory=set)
    spans_seen: Counter[str] = field(default_factory=Counter)

    def numbered(self, record: Record) -> Record:
        """The record with the number of its next span in the file as `row`: a line may hold many spans."""
        self.spans_seen[record.file] += 1
        return replace(record, row=self.spans_seen[record.file])


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """`rows` by column of `llm_calls` (values as recorded) with `_file`, `_row`; `counts` say what else was there."""

    rows: list[dict[str, Any]]
    problems: list[Problem]
    counts: dict[str, int]
    unknown_names: tuple[str, ...]

    def set_aside(self) -> Iterator[Problem]:
        return (problem for problem in self.problems if not problem.kept)

    def made_null(self) -> Iterator[Problem]:
        return (problem for problem in self.problems if problem.kept)
