"""Lift Sentiment's figures: the classifier, the alerts, the link to the outcome, and a stream of new mentions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import sentiment_alerts, sentiment_revenue, sentiment_stream, sentiment_text
from liftos_pipelines.bench.figure import Figure, parts


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    return parts("sentiment", (sentiment_text, sentiment_alerts, sentiment_revenue, sentiment_stream), data)
