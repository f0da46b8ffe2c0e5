"""One trace for one correlation: the trace id is a function of the correlation id.

So the spans of different processes and different days join without anything being handed over.
"""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

wanted = threading.local()
"""`trace_id` is the id that the next root span of this thread gets."""


@lru_cache(maxsize=4096)
def trace_id_of(correlation_id: str) -> int:
    """The 128-bit trace id of a correlation id: the head of its SHA-256, never zero."""
    return int.from_bytes(hashlib.sha256(correlation_id.encode()).digest()[:16], "big") or 1


class CorrelatedIds(RandomIdGenerator):
    """Random span ids; trace ids as wanted by the span being opened, else random."""

    def generate_trace_id(self) -> int:
        trace_id: int | None = getattr(wanted, "trace_id", None)
        return trace_id if trace_id is not None else super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        # A hash is as uniform as samplers ask for, but the flag promises randomness.
        return getattr(wanted, "trace_id", None) is None
