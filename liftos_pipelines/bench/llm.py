"""Lift LLM's figures: calls and their cost, groundedness, screens and bias, experiments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import llm_calls, llm_experiments, llm_groundedness, llm_screens
from liftos_pipelines.bench.figure import Figure, parts


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    return parts("llm", (llm_groundedness, llm_screens, llm_experiments, llm_calls), data)
