"""What of an output is not supported: where it stands, what kind of claim it is, and why."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("sentence", "name", "number", "date", "direction", "negation", "opposite", "swap", "roles")
"""A sentence the context does not cover; a name, number or date it lacks; the opposite of what it says; a name, number
or pronoun put where the context has another one; two names the other way round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of the output, one of `KINDS`, and the reason in words."""

    start: int
    end: int
    kind: str
    text: str
    reason: str
