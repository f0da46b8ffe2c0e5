"""`liftos reactor`: the warm workers of `liftos up`, what they do and how quickly they answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from liftos_pipelines.reactor.protocol import ReactorUnreachable, ask, socket_path

reactor_app = typer.Typer(no_args_is_help=True, help="The warm workers that answer events and execute runs.")
console = Console()
NONE = "No reactor is running: start it with `liftos up`. Until then sensors answer events and runs get processes."


@reactor_app.command()
def status(reactions: Annotated[int, typer.Option(help="How many of the last reactions to print")] = 10) -> None:
    """Workers, their runs and memory, what waits, and the last reactions; exit code 1 when there is no reactor."""
    try:
        told = ask({"do": "status"})
    except ReactorUnreachable:
        console.print(NONE, highlight=False)
        raise typer.Exit(1) from None
    since = datetime.fromtimestamp(told["since"], UTC)
    console.print(
        f"Reactor {told['state']}, process {told['pid']}, since {since:%Y-%m-%d %H:%M} UTC, at {socket_path()}. "
        f"{told['queued']} run(s) wait.",
        highlight=False,
    )
    console.print(_workers(told["workers"]))
    for kind, times in told["failing"].items():
        console.print(f"{kind} workers could not start {times} times in a row; see the reactor's log.", highlight=False)
    if told["reactions"][-reactions:]:
        console.print(_reactions(told["reactions"][-reactions:]))


@reactor_app.command()
def restart() -> None:
    """Replace workers and supervisor by new ones when the runs under way have ended."""
    try:
        answer = ask({"do": "restart"})
    except ReactorUnreachable:
        console.print(NONE, highlight=False)
        raise typer.Exit(1) from None
    console.print(f"{answer['workers']} worker(s) are replaced when their runs have ended.", highlight=False)


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold")
    for name, side in (("worker", "left"), ("state", "left"), ("process", "right"), ("memory MB", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    table.add_column("runs", justify="right")
    table.add_column("run under way")
    for worker in workers:
        state = worker["state"] + ("" if worker["warm"] else ", still loading")
        memory = "unknown" if worker["memory_mb"] is None else f"{worker['memory_mb']:,.0f}"
        under_way = f"{worker['run_id'][:8]} of {worker['client'] or 'no client'}" if worker["run_id"] else ""
        table.add_row(worker["name"], state, str(worker["pid"]), memory, str(worker["runs"]), under_way)
    return table


def _reactions(reactions: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold")
    for name in ("at", "reaction", "client", "events", "run s", "since the event s"):
        table.add_column(name, justify="right" if name in ("events", "run s", "since the event s") else "left")
    for each in reactions:
        table.add_row(
            f"{datetime.fromtimestamp(each['at'], UTC):%H:%M:%S}",
            each["reaction"],
            each["client"],
            str(each["events"]),
            f"{each['run_seconds']:.2f}",
            f"{each['waited_seconds']:.2f}",
        )
    return table
