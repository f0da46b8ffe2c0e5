"""Lift Surfacing's figures: answers read, visibility and its intervals, changes of engines, pages audited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import surfacing_answers, surfacing_pages, surfacing_shifts, surfacing_visibility
from liftos_pipelines.bench.figure import Figure, parts


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    return parts("surfacing", (surfacing_answers, surfacing_visibility, surfacing_shifts, surfacing_pages), data)
