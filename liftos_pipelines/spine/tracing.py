"""Spans: what happened, for how long, under which correlation id. By the OpenTelemetry SDK.

```python
with span("causal impact", correlation_id=event.correlation_id, attributes={"liftos.client": client}) as s:
    s.set_attribute("liftos.rows", 3)
```

A span nests below the one open in this thread or task when both belong to one correlation; one of another
correlation begins in that correlation's own trace and links to where it was opened (a batch run answers many).
A thread of its own begins without a parent (contextvars), so concurrent spans are never mis-parented; to nest work
given to a pool, run it in `contextvars.copy_context()`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from liftos_pipelines.spine import telemetry as _telemetry
from liftos_pipelines.spine.telemetry import flush, health

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext
    from opentelemetry.util.types import AttributeValue

CORRELATION_TAG, TRACEPARENT_TAG = "liftos/correlation", "liftos/traceparent"
EVENT_TAG, REACTION_TAG, TRIGGER_TAG = "liftos/event", "liftos/reaction", "liftos/trigger"
STEPS_KEPT = 256
P = ParamSpec("P")
R = TypeVar("R")


class _Open(NamedTuple):
    context: SpanContext
    correlation_id: str | None


_open: ContextVar[_Open | None] = ContextVar("liftos_open_span", default=None)
_steps: OrderedDict[tuple[str, str], _Open] = OrderedDict()


class Spanned:
    """What `with span(...)` hands out; every call is safe, also when tracing is off."""

    __slots__ = ("_span", "correlation_id", "trace_id")

    def __init__(self, inner: Any = None, correlation_id: str | None = None, trace_id: str | None = None) -> None:
        self._span = inner
        self.correlation_id = correlation_id
        self.trace_id = trace_id

    def set_attribute(self, name: str, value: AttributeValue | None) -> None:
        """Note one thing; None is left out."""
        if self._span is not None and value is not None:
            self._span.set_attribute(name, value)

    def add_event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        """Note a moment within the span."""
        if self._span is not None:
            self._span.add_event(name, attributes)

    def fail(self, reason: str) -> None:
        """Mark as failed without an exception."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, reason))


class span:  # read as a word: `with span(...)`
    """Open a span for the length of a `with` block.

    Parameters
    ----------
    name : short and of few values ("asset causal/impact", "reaction agentic/proposals"); what varies is an attribute
    correlation_id : the chain it belongs to; by default that of the span it is opened in
    attributes : by OpenTelemetry's semantic conventions where they exist, else `liftos.*`; None values are left out
    traceparent : W3C context handed over by another process (run tag `liftos/traceparent`)
    kind : internal, producer, consumer, client or server
    step : (run id, step key) whose span this one belongs below, for work done after the step's function returned
    """

    __slots__ = ("_attributes", "_correlation", "_inner", "_kind", "_name", "_step", "_token", "_traceparent")

    def __init__(
        self,
        name: str,
        *,
        correlation_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
        kind: str = "internal",
        step: tuple[str, str] | None = None,
    ) -> None:
        self._name, self._correlation, self._attributes = name, correlation_id, attributes
        self._traceparent, self._kind, self._step = traceparent, kind, step
        self._inner: Any = None
        self._token: Token[_Open | None] | None = None

    def __enter__(self) -> Spanned:
        try:
            held = _telemetry.telemetry()
            if held is None:
                return Spanned(correlation_id=self._correlation)
            return self._begin(held)
        except Exception as error:
            health.trouble("a span could not be opened", error)
            return Spanned(correlation_id=self._correlation)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inner is None:
            return
        try:
            if error is not None:
                self._blame(error)
            self._inner.end()
        except Exception as trouble:
            health.trouble("a span could not be closed", trouble)
        finally:
            if self._token is not None:
                try:
                    _open.reset(self._token)
                except ValueError:  # closed in another context than it was opened in (a generator handed over)
                    _open.set(None)

    def _begin(self, held: _telemetry.Telemetry) -> Spanned:
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

        from liftos_pipelines.spine.telemetry_ids import trace_id_of, wanted

        outer = _open.get()
        if self._step is not None:
            outer = _steps.get(self._step, outer)
        correlation = self._correlation or (outer.correlation_id if outer else None)
        trace_id = trace_id_of(correlation) if correlation else None
        parent: SpanContext | None = None
        handed = parse_traceparent(self._traceparent) if self._traceparent else None
        if outer is not None and trace_id in (None, outer.context.trace_id):
            parent = outer.context
        elif handed is not None and trace_id in (None, handed.trace_id):
            parent = handed
        links = [Link(other) for other in (outer and outer.context, handed) if other is not None and other != parent]
        attributes = {name: value for name, value in (self._attributes or {}).items() if value is not None}
        if correlation:
            attributes["liftos.correlation_id"] = correlation
        context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        wanted.trace_id = trace_id
        try:
            self._inner = held.tracer.start_span(
                self._name, context=context, kind=SpanKind[self._kind.upper()], attributes=attributes, links=links
            )
        finally:
            wanted.trace_id = None
        opened = self._inner.get_span_context()
        self._token = _open.set(_Open(opened, correlation))
        return Spanned(self._inner, correlation, f"{opened.trace_id:032x}")

    def _blame(self, error: BaseException) -> None:
        from opentelemetry.trace import Status, StatusCode

        if isinstance(error, GeneratorExit):
            return
        self._inner.record_exception(error)
        self._inner.set_attribute("error.type", type(error).__qualname__)
        self._inner.set_status(Status(StatusCode.ERROR, str(error)[:500]))


def traced(name: str, **attributes: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose every call is a span."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with span(name, attributes=attributes):
                return function(*args, **kwargs)

        return wrapper

    return decorate


def correlation_id() -> str | None:
    """The correlation id of the span open here."""
    held = _open.get()
    return held.correlation_id if held else None


def traceparent() -> str | None:
    """The open span as a W3C traceparent, for another process."""
    held = _open.get()
    return f"00-{held.context.trace_id:032x}-{held.context.span_id:016x}-01" if held else None


def parse_traceparent(text: str) -> SpanContext | None:
    """A W3C traceparent as a remote span context; None when it is not one."""
    from opentelemetry.trace import SpanContext, TraceFlags

    parts = text.split("-")
    try:
        if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
            return None
        context = SpanContext(int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(1))
    except ValueError:
        return None
    return context if context.is_valid else None


def run_tags(correlation: str | None) -> dict[str, str]:
    """Tags for a Dagster run that continues this correlation in whatever process it runs."""
    tags = {CORRELATION_TAG: correlation} if correlation else {}
    here = traceparent()
    return tags | ({TRACEPARENT_TAG: here} if here else {})


def remember_step(run_id: str, step: str) -> None:
    """Keep the open span as that of a step, so that its table's write and its events nest below it."""
    held = _open.get()
    if held is not None:
        _steps[(run_id, step)] = held
        while len(_steps) > STEPS_KEPT:
            _steps.popitem(last=False)


def step_of(context: Any, asset: str) -> tuple[str, str] | None:
    """The step whose table an IO manager is about to store; None outside of a run."""
    try:
        return context.run_id, asset
    except Exception:  # Dagster's contexts refuse, each with an error of its own
        return None


def event_attributes(client: str, event_type: str, event_id: str, correlation: str, **extra: Any) -> dict[str, Any]:
    """Attributes of a span about one event, by the messaging conventions."""
    return {
        "liftos.client": client,
        "messaging.system": "liftos",
        "messaging.destination.name": event_type,
        "messaging.message.id": event_id,
        "messaging.message.conversation_id": correlation,
    } | extra


__all__ = [
    "CORRELATION_TAG",
    "EVENT_TAG",
    "REACTION_TAG",
    "TRACEPARENT_TAG",
    "TRIGGER_TAG",
    "Spanned",
    "correlation_id",
    "event_attributes",
    "flush",
    "parse_traceparent",
    "remember_step",
    "run_tags",
    "span",
    "step_of",
    "traced",
    "traceparent",
]
