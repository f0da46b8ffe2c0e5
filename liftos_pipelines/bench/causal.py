"""The marketing-mix model from a cold process to a checked posterior, and its error where the truth is published."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.bench.figure import Figure, NoData

MERIDIAN_ROI = (2.92, 1.58, 2.43, 1.59)
"""Posterior means of Meridian 2.1 on national_media.csv under its default priors, recorded; MC error about .05."""
MERIDIAN_SECONDS = 134.0
NATIONAL = """\
client: bench
currency: USD
sources:
  marketing:
    path: data/media.csv
    date: time
    outcome: conversions
    revenue_per_outcome: revenue_per_conversion
    channels:
{channels}
    controls: [competitor_activity_score_control, sentiment_score_control]
"""


def measure(data: Path) -> Iterator[Figure]:
    """`liftos run` on Meridian's national series, beside Meridian's recorded figures; truth on PyMC-Marketing's."""
    if not (data / "mmm").is_dir():
        raise NoData(f"{data / 'mmm'} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    channels = "\n".join(
        f"      channel{i}: {{spend: Channel{i}_spend, exposure: Channel{i}_impression}}" for i in range(4)
    )
    seconds, tables = _run(
        data / "mmm" / "meridian" / "national_media.csv", "media.csv", NATIONAL.format(channels=channels)
    )
    checks = dict(tables["causal/validation"].select("check", "value").iter_rows())
    roi = tables["causal/channel_results"].filter(pl.col("geo") == "all").sort("channel")["roi"].to_list()
    yield Figure(
        benchmark="causal",
        name="national MMM, cold process to checked posterior",
        value=seconds,
        unit="s",
        n=1,
        goal="<= 8 s",
        method="liftos run --select +causal/validation on 156 weeks, 4 channels, 2 controls",
        baseline="Meridian 2.1, recorded",
        baseline_value=MERIDIAN_SECONDS,
    )
    yield Figure(
        benchmark="causal",
        name="national MMM, least bulk ESS",
        value=checks.get("ess_bulk"),
        unit="draws",
        n=1,
        goal=">= 400",
        method="least over all parameters of the same fit",
    )
    yield Figure(
        benchmark="causal",
        name="national MMM, largest difference of an ROI mean from Meridian's",
        value=max(abs(ours - theirs) for ours, theirs in zip(roi, MERIDIAN_ROI, strict=True)),
        unit="",
        n=4,
        method="our default model has Fourier seasonality and a trend where Meridian's has 10 knots",
    )
    truth = json.loads((data / "mmm" / "pymc_marketing" / "truth.json").read_text(encoding="utf-8"))["channels"]
    example = (settings.PROJECT / "examples" / "pymc-marketing" / "client.yaml").read_text(encoding="utf-8")
    example = example.replace("client: pymc-marketing", "client: bench")
    _, tables = _run(data / "mmm" / "pymc_marketing" / "mmm_example.csv", "mmm_example.csv", example)
    found = {
        row["channel"]: row
        for row in tables["causal/channel_results"].filter(pl.col("geo") == "all").iter_rows(named=True)
    }
    errors = [abs(found[c]["contribution"] / truth[c]["total_contribution"] - 1) for c in truth]
    held = [
        found[c]["contribution_low"] <= truth[c]["total_contribution"] <= found[c]["contribution_high"] for c in truth
    ]
    yield Figure(
        benchmark="causal",
        name="contribution error, PyMC-Marketing example",
        value=100 * sum(errors) / len(errors),
        unit="%",
        n=len(errors),
        method="mean absolute error of two channels' contributions against the published truth; "
        f"{sum(held)} of {len(held)} 90 % intervals hold it",
    )


def _run(file: Path, name: str, client: str) -> tuple[float, dict[str, pl.DataFrame]]:
    """Seconds of a cold `liftos run` up to the checked posterior, and the tables it wrote."""
    from liftos_pipelines.resources.lake import Lake

    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "clients" / "bench"
        (folder / "data").mkdir(parents=True)
        shutil.copy(file, folder / "data" / name)
        (folder / "client.yaml").write_text(client, encoding="utf-8")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIFTOS_", "DAGSTER_"))}
        environment["LIFTOS_HOME"] = home
        command = [
            sys.executable,
            "-m",
            "liftos_pipelines.cli",
            "run",
            "bench",
            "--select",
            "+causal/validation,+causal/channel_results",
        ]
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=settings.PROJECT)
        seconds = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"the run failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        lake = Lake(str(Path(home) / "lake"))
        names = ("causal/validation", "causal/channel_results")
        return seconds, {table: lake.read("bench", table) for table in names}
