"""A new file of mentions in a watched folder: how long until each of them stands scored in the lake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.bench.temporary_home import temporary_home

NEW = 1_000
FILES = 3
SCORES = "sentiment/mention_scores"


def measure(_: Path) -> Iterator[Figure]:
    """The demo's mentions less the newest, scored; then files of the newest, one after the other."""
    from liftos_pipelines.definitions import build_defs
    from liftos_pipelines.resources.lake import LakeResource
    from liftos_pipelines.running import register, run_client
    from liftos_pipelines.simulate import mentions
    from liftos_pipelines.simulate.setting import BRAND, PRODUCTS

    talk = mentions.generate(7).rows
    old, new = talk.head(-NEW * FILES), talk.tail(NEW * FILES)
    with temporary_home() as (home, instance):
        defs, quiet = build_defs(), Console(quiet=True)
        folder = home / "clients" / "demo"
        (folder / "mentions").mkdir(parents=True)
        (folder / "client.yaml").write_text(
            f"client: demo\nindustry: retail\nbrand: {{name: {BRAND}, products: [{', '.join(PRODUCTS)}]}}\n"
            "sources:\n  mentions: {path: mentions/*.parquet}\n"
        )
        old.write_parquet(folder / "mentions" / "0.parquet")
        register(instance, "demo")

        def take_in(selection: str) -> float:
            began = time.perf_counter()
            report = run_client("demo", selection, defs=defs, instance=instance, console=quiet)
            if not report.success:
                raise RuntimeError(f"{selection} failed: {report.assets}")
            return time.perf_counter() - began

        run_client(
            "demo",
            "sources/labelled_mentions,sources/campaigns,sentiment/model",
            defs=defs,
            instance=instance,
            console=quiet,
        )
        everything = take_in(f"sources/mentions,{SCORES}")
        taken = []
        for number in range(FILES):
            new.slice(number * NEW, NEW).write_parquet(folder / "mentions" / f"{number + 1}.parquet")
            taken.append(take_in(f"sources/mentions,{SCORES}"))
        scored = LakeResource().get().read("demo", SCORES)
    if scored.height != talk.height:
        raise RuntimeError(f"{talk.height - scored.height} mentions were not scored")
    middle = sorted(taken)[FILES // 2]
    yield Figure(
        benchmark="sentiment",
        name=f"a file of {NEW:,} new mentions, from file to scored table",
        value=middle,
        low=min(taken),
        high=max(taken),
        unit="s",
        n=FILES,
        method=f"run of sources/mentions and {SCORES} in one warm process, beside {old.height:,} known; range, median",
        baseline=f"the first run, all {old.height:,}",
        baseline_value=everything,
    )
    yield Figure(
        benchmark="sentiment",
        name="streaming throughput",
        value=NEW / middle,
        unit="mentions/s",
        n=NEW * FILES,
        method="the same runs: reading and checking the files, scoring with targets, topics and emotions, writing",
        baseline="the first run",
        baseline_value=old.height / everything,
    )
