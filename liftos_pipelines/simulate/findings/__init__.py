"""What was found in the demo world beside what is true, module by module; misses are shown like hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liftos_pipelines.simulate.findings import (
    agentic,
    agentic_runs,
    causal,
    flows,
    learned,
    llm,
    llm_texts,
    sentiment,
    surfacing,
)
from liftos_pipelines.simulate.findings.finding import Finding, Read, Truth

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Finding", "findings", "print_findings"]

SECTIONS = (
    causal.compare,
    sentiment.compare,
    surfacing.compare,
    llm.compare,
    llm_texts.compare,
    agentic.compare,
    agentic_runs.compare,
    learned.compare_memory,
    learned.compare_eval,
)
STYLE = {"agrees": "green", "misses": "red", "unknown": "yellow"}


def findings(read: Read, truth: Truth, seconds: flows.Seconds | None = None) -> list[Finding]:
    """Compare the lake's tables with the truth.

    Parameters
    ----------
    read : from `module/asset` to its table; an empty typed frame where it was not made
    truth : what `write_client` returns and writes to truth.json
    seconds : of events that the reactor answered, until their pattern was stored; none in a batch run
    """
    by_module = [finding for compare in SECTIONS for finding in compare(read, truth)]
    return [*by_module, *flows.compare(read, truth, seconds)]


def print_findings(found: list[Finding], console: Console | None = None) -> None:
    """One table a module: verdict first, then what was found, what is true, where to look."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = console or Console()
    for module in dict.fromkeys(finding.module for finding in found):
        table = Table(title=module, title_justify="left", title_style="bold", expand=True)
        for name, ratio in (
            ("verdict", None),
            ("what", 3),
            ("found [90 % interval]", 4),
            ("true", 3),
            ("look at", None),
        ):
            table.add_column(escape(name), ratio=ratio, no_wrap=ratio is None, overflow="fold")
        for row in (row for row in found if row.module == module):
            texts = (row.what, row.found, row.truth, row.where)
            table.add_row(f"[{STYLE[row.verdict]}]{row.verdict}[/]", *(escape(text) for text in texts))
        console.print(table)
    counts = {verdict: sum(row.verdict == verdict for row in found) for verdict in STYLE}
    console.print(
        f"{counts['agrees']} agree with the truth, {counts['misses']} miss it, {counts['unknown']} are unknown."
    )
