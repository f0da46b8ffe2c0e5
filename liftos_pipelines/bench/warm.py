"""What a run costs in a process that has run before: `python -m liftos_pipelines.bench.warm CLIENT --select ...`.

Every asset is materialised again, checks included; only imports, open files and the suites' context are kept.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from liftos_pipelines import settings


def warm_seconds(client: str, select: str | None, runs: int = 3) -> list[float]:
    """Wall seconds of `runs` runs after a first one that is not counted; the client stands in LIFTOS_HOME.

    Raises
    ------
    RuntimeError : a run failed
    """
    settings.ease_imports()
    settings.set_defaults()
    import dagster as dg

    from liftos_pipelines.definitions import defs
    from liftos_pipelines.running import run_client

    seconds = []
    with dg.DagsterInstance.get() as instance:
        for _ in range(runs + 1):
            began = time.perf_counter()
            report = run_client(client, select, defs=defs, instance=instance, console=Console(quiet=True))
            seconds.append(time.perf_counter() - began)
            if not report.success:
                raise RuntimeError(f"run {report.run_id} failed")
    return seconds[1:]


def main(client: str, select: Annotated[str | None, typer.Option()] = None, runs: int = 3) -> None:
    print(" ".join(f"{seconds:.2f}" for seconds in warm_seconds(client, select, runs)))


if __name__ == "__main__":
    typer.run(main)
