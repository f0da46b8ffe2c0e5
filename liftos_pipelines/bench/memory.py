"""Lift memory's figures: how fast it stores and recalls, whether it finds what answers, and what it recognises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import (
    memory_dimensions,
    memory_graph,
    memory_patterns,
    memory_recall,
    memory_retrieval,
    memory_store,
)
from liftos_pipelines.bench.figure import Figure, parts


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    modules = (memory_store, memory_recall, memory_retrieval, memory_dimensions, memory_graph, memory_patterns)
    return parts("memory", modules, data)
