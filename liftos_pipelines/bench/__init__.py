"""`liftos bench`: the project's figures, each measured on this machine beside a baseline in the same run.

A benchmark is a function that yields figures; it reports what it could not measure instead of leaving it out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from liftos_pipelines import settings
from liftos_pipelines.bench.figure import Figure, NoData, unmeasured


def benchmark_data() -> Path:
    """The folder of public data sets: `LIFTOS_SHARED_DATA`, by default `shared/data` beside the project."""
    return Path(os.environ.get("LIFTOS_SHARED_DATA") or settings.PROJECT.parent / "shared" / "data")


def _benchmarks() -> dict[str, Callable[[Path], Iterator[Figure]]]:
    from liftos_pipelines.bench import (
        agentic,
        causal,
        causal_truth,
        events,
        ingestion,
        llm,
        memory,
        reactions,
        sentiment,
        surfacing,
        tracing,
    )

    return {
        "ingestion": ingestion.measure,
        "sentiment": sentiment.measure,
        "surfacing": surfacing.measure,
        "causal": causal.measure,
        "causal-truth": causal_truth.measure,
        "memory": memory.measure,
        "llm": llm.measure,
        "agentic": agentic.measure,
        "events": events.measure,
        "reactions": reactions.measure,
        "tracing": tracing.measure,
    }


def run_benchmarks(name: str | None, console: Console) -> list[Figure]:
    """All figures, or those of one benchmark.

    Raises
    ------
    ValueError : no such benchmark, naming those there are
    """
    known = _benchmarks()
    if name is not None and name not in known:
        raise ValueError(f'there is no benchmark "{name}"; benchmarks: {", ".join(known)}')
    figures: list[Figure] = []
    for title, measure in known.items():
        if name not in (None, title):
            continue
        with console.status(f"measuring {title} ..."):
            try:
                figures += list(measure(benchmark_data()))
            except NoData as absent:
                figures.append(unmeasured(title, "all", "", str(absent)))
    return figures


def print_figures(figures: list[Figure], console: Console) -> None:
    """Figures as a table; what was not measured says why."""
    table = Table(header_style="bold", title="Measured on this machine")
    for column in ("benchmark", "figure", "value", "90 % interval", "n", "goal", "baseline", "method"):
        table.add_column(column, justify="right" if column in ("value", "n") else "left")
    for figure in figures:
        interval = "" if figure.low is None else f"{figure.low:,.3g} to {figure.high:,.3g}"
        baseline = "" if figure.baseline is None else f"{figure.baseline}: {figure.baseline_text}"
        value = "unknown" if figure.value is None else f"{figure.value:,.3g} {figure.unit}"
        table.add_row(
            figure.benchmark,
            figure.name,
            value,
            interval,
            "" if figure.n is None else f"{figure.n:,}",
            figure.goal or "",
            baseline,
            figure.method,
        )
    console.print(table)
