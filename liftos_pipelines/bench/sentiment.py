"""Lift Sentiment's figures: the classifier on public texts, and a stream of mentions from file to scored table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import sentiment_stream, sentiment_text
from liftos_pipelines.bench.figure import Figure, NoData, unmeasured


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn; a part without its data says so and the others go on."""
    for part in (sentiment_text, sentiment_stream):
        try:
            yield from part.measure(data)
        except NoData as absent:
            yield unmeasured("sentiment", part.__name__.rsplit(".", 1)[-1], "", str(absent))
