"""Lift Sentiment's figures: the classifier on public texts, the alerts on streams, the link on worlds with known truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import sentiment_text
from liftos_pipelines.bench.figure import Figure


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    for part in (sentiment_text,):
        yield from part.measure(data)
