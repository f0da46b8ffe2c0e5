"""What is noted about every asset: a span, its duration and rows, and in its metadata the command to the trace.

Observing never changes an asset's outcome: what goes wrong here is counted, said once, and the asset goes on.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any

import dagster as dg

from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine import tracing
from liftos_pipelines.spine.metrics import counter, gauge, histogram
from liftos_pipelines.spine.telemetry import health, is_off
from liftos_pipelines.spine.tracing import Spanned, span

TRACE_URL = "LIFTOS_TRACE_URL"
"""Template of a link to a trace, with {trace_id} and {correlation_id}: for example a Jaeger's or Grafana's."""


@dataclass
class _Step:
    """What is known of the step before it runs, and of its table after."""

    run_id: str | None = None
    client: str | None = None
    correlation_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str = "ok"
    rows: int = 0


def observed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The asset's function with a span around it; Dagster still sees its parameters, annotations and docstring."""
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generating(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _watching(name, _context_of(args, kwargs)) as (step, spanned):
                for told in function(*args, **kwargs):
                    yield _labelled(step, spanned, told)

        return generating

    @wraps(function)
    def returning(*args: Any, **kwargs: Any) -> Any:
        with _watching(name, _context_of(args, kwargs)) as (step, spanned):
            return _labelled(step, spanned, function(*args, **kwargs))

    return returning


@contextmanager
def _watching(name: str, context: Any) -> Iterator[tuple[_Step, Spanned]]:
    if is_off():
        yield _Step(), Spanned()
        return
    step = _step_of(context)
    attributes = {
        "liftos.asset": name,
        "liftos.client": step.client,
        "dagster.run.id": step.run_id,
        "liftos.reaction": step.tags.get(tracing.REACTION_TAG),
        "messaging.message.id": step.tags.get(tracing.EVENT_TAG),
    }
    began = time.perf_counter()
    try:
        with span(
            f"asset {name}",
            correlation_id=step.correlation_id,
            attributes=attributes,
            traceparent=step.tags.get(tracing.TRACEPARENT_TAG),
        ) as spanned:
            if step.run_id is not None:
                tracing.remember_step(step.run_id, name)
            yield step, spanned
            spanned.set_attribute("liftos.rows", step.rows)
            spanned.set_attribute("liftos.status", step.status)
    except GeneratorExit:
        raise
    except BaseException:
        step.status = "failed"
        raise
    finally:
        _count(name, step, time.perf_counter() - began)


def _count(name: str, step: _Step, seconds: float) -> None:
    histogram("liftos.asset.duration").record(seconds, {"liftos.asset": name})
    # The reason of a skip is the table's to tell: a label has few values.
    counter("liftos.assets").add(1, {"liftos.asset": name, "status": step.status.split(":")[0]})
    try:
        gauge("process.memory.usage").set(_process(os.getpid()).memory_info().rss, {"process": "assets"})
    except Exception as error:
        health.trouble("memory in use", error)


@lru_cache(maxsize=1)
def _process(pid: int) -> Any:
    import psutil

    return psutil.Process(pid)


def _labelled(step: _Step, spanned: Spanned, told: Any) -> Any:
    """The asset's result with the way to its trace; rows and status noted for the span."""
    if not isinstance(told, dg.MaterializeResult) or step.correlation_id is None:
        return told
    try:
        metadata = told.metadata if isinstance(told.metadata, dict) else dict(told.metadata or {})
        rows, status = metadata.get("dagster/partition_row_count"), metadata.get("status")
        step.rows += int(getattr(rows, "value", 0) or 0)
        step.status = str(getattr(status, "value", None) or "ok")
        metadata["trace"] = dg.MetadataValue.text(f"liftos trace {step.correlation_id}")
        link = trace_url(step.correlation_id, spanned.trace_id)
        if link is not None:
            metadata["trace_url"] = dg.MetadataValue.url(link)
        if metadata is told.metadata:
            return told
        return dg.MaterializeResult(
            asset_key=told.asset_key,
            metadata=metadata,
            check_results=told.check_results,
            data_version=told.data_version,
            tags=told.tags,
            value=told.value,
        )
    except Exception as error:
        health.trouble("the trace's link", error)
        return told


def trace_url(correlation_id: str, trace_id: str | None) -> str | None:
    """Where the configured trace viewer shows this trace; None without one."""
    template = os.environ.get(TRACE_URL)
    if not template:
        return None
    return template.replace("{trace_id}", trace_id or "").replace("{correlation_id}", correlation_id)


def _context_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    context = args[0] if args else kwargs.get("context")
    return context if isinstance(context, dg.AssetExecutionContext) else None


def _step_of(context: Any) -> _Step:
    """Run, client and correlation of a step; a function that is called outside of a run has none of them."""
    step = _Step()
    try:
        if context is None:
            context = dg.AssetExecutionContext.get()
        step.client = context.partition_key if context.has_partition_key else None
        run = context.run
        step.run_id, step.tags = run.run_id, run.tags
        step.correlation_id = correlation_of(run.run_id, run.tags)
    except Exception:
        # Called directly in a test or a notebook: Dagster's context refuses, each property with its own error.
        return step
    return step


def correlation_of(run_id: str, tags: Mapping[str, str]) -> str:
    """The correlation a run belongs to: its tag, else that of the event it answers, else the run itself."""
    if tags.get(tracing.CORRELATION_TAG):
        return tags[tracing.CORRELATION_TAG]
    event_id = tags.get(tracing.EVENT_TAG)
    return (_correlation_of_event(event_id, os.environ.get("LIFTOS_HOME")) if event_id else None) or run_id


@lru_cache(maxsize=1024)
def _correlation_of_event(event_id: str, _home: str | None) -> str | None:
    try:
        event = open_spine().event(event_id)
    except Exception as error:
        health.trouble("the correlation of an event", error)
        return None
    return event.correlation_id if event is not None else None
