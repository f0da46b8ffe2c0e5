"""`liftos memory`: what a person does to a client's memory by hand."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

memory_app = typer.Typer(no_args_is_help=True, help="Memory: erase what must be forgotten.")
console = Console(width=None if sys.stdout.isatty() else 160)


@memory_app.callback()
def memory() -> None:
    """Keeps `forget` a command of its own while it is the only one."""


@memory_app.command("forget")
def forget(
    client: Annotated[str, typer.Argument(help="The client's id")],
    memory_id: Annotated[str, typer.Argument(help="As `liftos recall` and `memory/items` name it")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Erase every version of a memory, for good: text, vectors, indexes, pinned versions, journal and caches."""
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.memory_store import open_memory

    load_client(client)
    if not yes:
        typer.confirm(f"Erase memory {memory_id} of {client} for good?", abort=True)
    gone = open_memory(client).forget(memory_id)
    console.print(
        f"{gone.memory_id}: {gone.versions} version(s) and {gone.cached_vectors} cached vector(s) erased; it is not "
        f"taken in again. The lake's tables lose it with: liftos run {client} --select 'memory/*'. "
        "The source row in the client's own files stays until you remove it there.",
        highlight=False,
        soft_wrap=True,
    )
