"""Which format a file's records are in, and all records of a source turned into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, get_args

from liftos_pipelines.modules.llm.recorded import langfuse, mlflow_traces, otel
from liftos_pipelines.modules.llm.recorded.assemble import Unit, assemble
from liftos_pipelines.modules.llm.recorded.spans import Parsed, Record, Recorded

Format = Literal["calls", "otel", "mlflow", "langfuse"]
"""`calls` is the plain table of the contract, one row a call."""
FORMATS: tuple[Format, ...] = get_args(Format)
LOOKED_AT = 200
"""Records from whose shapes a file's format is told."""

_PARSERS: dict[Format, Callable[[Iterable[Record]], Parsed]] = {
    "otel": otel.parse,
    "mlflow": mlflow_traces.parse,
    "langfuse": langfuse.parse,
}


def format_of(contents: Sequence[Mapping[str, Any]]) -> Format:
    """The format of a file, told from its first records that have a shape of their own; else it is a plain table."""
    for content in contents[:LOOKED_AT]:
        found = _shape(content)
        if found is not None:
            return found
    return "calls"


def _shape(content: Mapping[str, Any]) -> Format | None:
    if "call_id" in content and "called_at" in content:
        return "calls"
    if any(key in content for key in ("resourceSpans", "resource_spans", "resourceLogs", "scopeSpans", "scope_spans")):
        return "otel"
    if any(mlflow_traces.is_trace(trace) for trace in mlflow_traces.unwrapped(content)):
        return "mlflow"
    for entry in langfuse.unwrapped(content):
        if langfuse.is_observation(entry) or (langfuse.is_trace(entry) and not otel.is_span(entry)):
            return "langfuse"
    return "otel" if otel.is_span(content) else None


def read_records(
    records: Sequence[Record], stated: Format, *, usd_rate: Decimal | None, unit: Unit | None = None
) -> Recorded:
    """Rows of `llm_calls` from all records of one format, whatever file they stand in.

    Raises
    ------
    KeyError : `calls`, which is a table already
    """
    return assemble(_PARSERS[stated](records), usd_rate=usd_rate, unit=unit)
