"""`liftos trace ID`: the chain from a mention to its outcome as a tree; `liftos metrics`: the figures in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from liftos_pipelines.spine.chain import Chain, Step
from liftos_pipelines.spine.telemetry_store import MetricRecord, SpanRecord

STYLES = {"ok": "green", "waiting": "yellow", "failed": "red", "dead": "red", "denied": "magenta", "unknown": "yellow"}
LABELS_SHOWN = 6


def trace(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="Correlation, event, action, approval, memory, ledger entry or run id")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    with_spans: Annotated[bool, typer.Option("--spans", help="With every span that was recorded")] = False,
) -> None:
    """Print the chain that an id belongs to: mention, events, impact, decision, approval, action, memory, outcome."""
    from liftos_pipelines.tracing_sources import find, ui_address

    found = find(identifier)
    if as_json:
        told = {
            "chains": [chain_object(chain) for chain in found.chains],
            "spans": [asdict(each) for each in found.spans],
            "memory": None
            if found.memory is None
            else asdict(found.memory) | {"made_from": sorted(found.memory.made_from)},
            "not_read": found.missing,
        }
        typer.echo(json.dumps(told, indent=2, default=str))
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    address = ui_address()
    if found.memory is not None and not found.chains:
        sources = ", ".join(sorted(found.memory.made_from - {"None"}))
        console.print(
            f"Memory {found.memory.memory_id} ({found.memory.kind}) comes from {sources}: no event led to it.\n"
            f"{found.memory.text}",
            highlight=False,
            markup=False,
        )
    for chain in found.chains:
        console.print(chain_tree(chain, address), highlight=False)
    if found.spans and (with_spans or not found.chains):
        console.print(span_tree(found.spans), highlight=False)
    for line in found.missing:
        console.print(f"[yellow]note[/]: {line}", highlight=False, soft_wrap=True)


def chain_object(chain: Chain) -> dict[str, Any]:
    """A chain for JSON."""
    return asdict(chain) | {"complete": chain.complete}


def chain_tree(chain: Chain, address: str | None = None) -> Tree:
    """The chain as a tree: time since its first event, status, what, duration, ledger entry and run."""
    state = "complete" if chain.complete else _open_ends(chain)
    tree = Tree(Text(f"{chain.correlation_id}  {chain.root.title}, {state}", style="bold"), guide_style="dim")
    for line in chain.root.notes:
        tree.add(Text(line, style="yellow"))
    for step in chain.root.children:
        _grow(tree, step, address)
    return tree


def _open_ends(chain: Chain) -> str:
    counts: dict[str, int] = {}
    for step in chain.root.walk():
        if step.status not in ("ok", "denied"):
            counts[step.status] = counts.get(step.status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _grow(tree: Tree, step: Step, address: str | None) -> None:
    line = Text()
    far = step.seconds is not None and abs(step.seconds) > 86_400 and step.at is not None
    line.append(f"{f'{step.at:%Y-%m-%d}' if far else _since(step.seconds):>10} ", style="dim")
    line.append(f"{step.status:<7} ", style=STYLES.get(step.status, ""))
    line.append(f"{step.kind} ", style="bold")
    line.append(step.title)
    facts = []
    if step.kind in ("event", "approval", "memory") and step.id:
        facts.append(step.id[:8] if step.kind != "memory" else step.id)
    if step.milliseconds is not None:
        facts.append(_duration(step.milliseconds))
    if step.entry_hash:
        facts.append(f"ledger {step.entry_hash[:12]}")
    if step.run_id:
        facts.append(f"{address}/runs/{step.run_id}" if address else f"run {step.run_id}")
    if facts:
        line.append(f"  [{', '.join(facts)}]", style="cyan")
    branch = tree.add(line)
    for note in step.notes:
        branch.add(Text(note, style="dim"))
    for child in step.children:
        _grow(branch, child, address)


def span_tree(spans: Sequence[SpanRecord]) -> Tree:
    """Spans by their parents; one whose parent was not recorded stands at the top."""
    first = min(each.start_ns for each in spans)
    known = {each.span_id for each in spans}
    tree = Tree(Text(f"{len(spans)} span(s)", style="bold"), guide_style="dim")
    branches: dict[str, Tree] = {}

    def add(span: SpanRecord, above: Tree) -> None:
        line = Text(f"{_since((span.start_ns - first) / 1e9):>9} {_duration(span.milliseconds):>9} ", style="dim")
        line.append(span.name, style="" if span.status == "ok" else "red")
        if span.message:
            line.append(f": {span.message}", style="red")
        branches[span.span_id] = above.add(line)
        for child in spans:
            if child.parent_id == span.span_id:
                add(child, branches[span.span_id])

    for span in spans:
        if span.parent_id not in known:
            add(span, tree)
    return tree


def _since(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if abs(seconds) < 120:
        return f"{seconds:+.3f}s"
    return f"{seconds / 60:+.1f}min" if abs(seconds) < 7200 else f"{seconds / 3600:+.1f}h"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:,.2f} s"


def metrics(
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Print Prometheus' text format")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Print what was counted and timed in this home, over all its processes."""
    from liftos_pipelines.spine.metrics import prometheus_text
    from liftos_pipelines.spine.telemetry import telemetry_file
    from liftos_pipelines.spine.telemetry_store import TelemetryStore

    records = with_present(TelemetryStore(telemetry_file()).metrics())
    if prometheus:
        typer.echo(prometheus_text(records), nl=False)
    elif as_json:
        typer.echo(json.dumps([asdict(each) for each in records], indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(metrics_table(records), highlight=False)


def with_present(records: list[MetricRecord]) -> list[MetricRecord]:
    """The stored series, and what the spine says of events, decisions and what waits, exact as of now."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.sensors.reactions import REACTIONS
    from liftos_pipelines.spine.totals import spine_totals

    told = spine_totals(open_spine(), {reaction.name: reaction.event_types for reaction in REACTIONS})
    exact = {each.name for each in told}
    return [each for each in records if each.name not in exact] + told


def metrics_table(records: Iterable[MetricRecord]) -> Table:
    """Metrics in words, one line a metric: totals and the largest parts; times as median and 95th percentile."""
    from liftos_pipelines.spine.metrics import METRICS

    by_name: dict[str, list[MetricRecord]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    table = Table(header_style="bold", title="Counted since this home was made; levels as last seen")
    for name in ("metric", "value", "by"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for name, metric in METRICS.items():
        if name in by_name:
            table.add_row(metric.meaning, *_said(by_name.pop(name)))
    for name, rest in by_name.items():
        table.add_row(name, *_said(rest))
    return table


def _said(records: list[MetricRecord]) -> tuple[str, str]:
    from liftos_pipelines.spine.metrics import quantile

    kind, unit = records[0].kind, records[0].unit
    if kind == "histogram":
        ordered = sorted(records, key=lambda each: -(each.count or 0))
        parts = [
            f"{_label(each)} n {each.count:,} p50 {_time(quantile(each, 0.5))} p95 {_time(quantile(each, 0.95))}"
            for each in ordered[:LABELS_SHOWN]
        ]
        return f"{sum(each.count or 0 for each in records):,} timed", _joined(parts, len(ordered))
    ordered = sorted(records, key=lambda each: -each.value)
    parts = [f"{_label(each)} {_amount(each.value, unit)}".strip() for each in ordered[:LABELS_SHOWN] if each.labels]
    total = sum(each.value for each in records) if kind == "counter" or unit.startswith("{") else ordered[0].value
    return _amount(total, unit), _joined(parts, len([each for each in ordered if each.labels]))


def _joined(parts: list[str], of: int) -> str:
    return "; ".join(parts) + (f"; {of - len(parts)} more (--json)" if of > len(parts) else "")


def _label(record: MetricRecord) -> str:
    return " ".join(str(value) for value in record.labels.values())


def _amount(value: float, unit: str) -> str:
    return f"{value / 2**20:,.0f} MiB" if unit == "By" else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else _duration(seconds * 1000)
