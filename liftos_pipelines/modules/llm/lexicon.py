"""Word lists are easier to read and mend as text."""

from __future__ import annotations


def spaced(text: str) -> tuple[str, ...]:
    """The words of a text that are separated by spaces."""
    return tuple(text.split())
