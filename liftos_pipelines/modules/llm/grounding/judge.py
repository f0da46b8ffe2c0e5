"""What every judge of groundedness looks like, so that the built-in and a plugged-in model fill the same table."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Judge(Protocol):
    """Gives the probability that an output is supported by its context."""

    @property
    def name(self) -> str:
        """What the judge is called in tables: stable, unique, with its version."""

    def probability(self, output: str, context: str, prompt: str | None = None) -> float | None:
        """Probability in [0, 1] that every claim of `output` is supported by `context`.

        None where nothing can be said: an empty output or context, nothing to check, an answer that could not be
        read. A judge that cannot be reached raises; it never answers with a default.
        """
