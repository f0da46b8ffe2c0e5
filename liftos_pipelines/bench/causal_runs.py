"""One data set through `liftos run`, cold or warm, and what the stored posterior says of its sampling."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines import settings

CLIENT = "bench"
SELECT = "+causal/validation,+causal/channel_results"
CORES = 2
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """`roi` (n_chains, n_draws, n_channels), revenue per currency of spend over all weeks and geos."""

    roi: FloatArray
    half_saturation: FloatArray
    """The same shape: exposure, in medians of the channel, at half of the greatest response."""
    ess: FloatArray
    """(n_channels,), bulk, of ROI."""
    compile_seconds: float
    sampling_seconds: float
    """Of all attempts, where the first drew too little."""
    divergences: int
    draws: int

    @property
    def ess_per_second(self) -> float:
        return float(self.ess.min()) / (self.compile_seconds + self.sampling_seconds)

    @property
    def means(self) -> FloatArray:
        return np.asarray(self.roi.mean(axis=(0, 1)))

    @property
    def errors(self) -> FloatArray:
        """(n_channels,), Monte Carlo standard errors of the means."""
        return np.asarray(self.roi.std(axis=(0, 1)) / np.sqrt(self.ess))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Wall seconds of each run of the selection, its tables, and the posterior's sampling where revenue is known."""

    seconds: tuple[float, ...]
    checks: pl.DataFrame
    results: pl.DataFrame
    sampling: Sampling | None
    load: float
    """Load average before the first run: other work on the machine makes every figure worse."""

    @property
    def failing(self) -> list[str]:
        return self.checks.filter(pl.col("status") == "fail")["check"].to_list()


@contextmanager
def two_cores() -> Iterator[None]:
    """This process and all it starts on two cores, so that peers and we have the same whatever the machine has."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cold(file: Path, client: str, *, times: int = 1) -> Run:
    """`liftos run` up to the checked posterior; each run is a process of its own on a home of its own."""
    command = [sys.executable, "-m", "liftos_pipelines.cli", "run", CLIENT, "--select", SELECT]
    load = os.getloadavg()[0]
    seconds = []
    for _ in range(times - 1):
        with tempfile.TemporaryDirectory() as home:
            seconds.append(_execute(command, file, client, Path(home))[0])
    with tempfile.TemporaryDirectory() as home:
        seconds.append(_execute(command, file, client, Path(home))[0])
        return _read(Path(home), tuple(seconds), load)


def uncompiled(file: Path, client: str) -> Run:
    """The first fit after an installation: the log-density is compiled in the run, not read from disk."""
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "liftos_pipelines.cli", "run", CLIENT, "--select", SELECT]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cache:
        seconds, _ = _execute(command, file, client, Path(home), {"NUMBA_CACHE_DIR": cache})
        return _read(Path(home), (seconds,), load)


def warm(file: Path, client: str) -> Run:
    """The second of two such runs in one process."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "liftos_pipelines.bench.causal_runs"]
        _, told = _execute(command, file, client, Path(home))
        return _read(Path(home), (float(json.loads(told)["warm_seconds"]),), load)


def _execute(
    command: list[str], file: Path, client: str, home: Path, settled: dict[str, str] | None = None
) -> tuple[float, str]:
    """Seconds of a process on a fresh home, and the last line it printed."""
    folder = home / "clients" / CLIENT
    (folder / "data").mkdir(parents=True)
    shutil.copy(file, folder / "data" / file.name)
    (folder / "client.yaml").write_text(client, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIFTOS_", "DAGSTER_"))}
    environment |= {"LIFTOS_HOME": str(home)} | (settled or {})
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=settings.PROJECT)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"the run failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return seconds, (done.stdout.strip().splitlines() or [""])[-1]


def _read(home: Path, seconds: tuple[float, ...], load: float) -> Run:
    from liftos_pipelines.resources.lake import Lake

    lake = Lake(str(home / "lake"))
    posterior = lake.folder(CLIENT, "causal") / "mmm_posterior.nc"
    return Run(
        seconds=seconds,
        checks=lake.read(CLIENT, "causal/validation"),
        results=lake.read(CLIENT, "causal/channel_results"),
        sampling=read_sampling(posterior, lake.read(CLIENT, "causal/panel")),
        load=load,
    )


def read_sampling(posterior: Path, panel: pl.DataFrame) -> Sampling | None:
    """ROI draws of a stored posterior and what they cost; None where revenue is unknown."""
    import arviz as az

    from liftos_pipelines.modules.causal.engine.reading import read_fitted

    data = az.from_netcdf(str(posterior), engine="netcdf4")
    fitted = read_fitted(data, panel)
    design = fitted.design
    if not design.money:
        return None
    price = fitted.worth()
    chains = int(data.posterior.sizes["chain"])
    roi = np.empty((chains, len(fitted.draws) // chains, design.paid))
    for c in range(design.paid):
        revenue = np.einsum("sgt,gt->s", fitted.gained(fitted.draws, c), price)
        roi[:, :, c] = (revenue / design.spend[c].sum()).reshape(chains, -1)
    dataset = az.convert_to_dataset({"roi": roi}, dims={"roi": ["channel"]})
    return Sampling(
        roi=roi,
        half_saturation=fitted.draws.form[:, : design.paid, 2].reshape(roi.shape),
        ess=np.asarray(az.ess(dataset, method="bulk")["roi"].to_numpy(), dtype=float),
        compile_seconds=float(data.attrs["compile_seconds"]),
        sampling_seconds=float(data.attrs["sampling_seconds"]),
        divergences=int(data.sample_stats["diverging"].sum()),
        draws=len(fitted.draws),
    )


def main() -> None:
    """Two runs in this process; prints the seconds of both."""
    import dagster as dg
    from rich.console import Console

    settings.set_defaults()
    from liftos_pipelines.definitions import defs
    from liftos_pipelines.running import run_client

    taken = []
    for _ in range(2):
        began = time.perf_counter()
        report = run_client(
            CLIENT, SELECT, defs=defs, instance=dg.DagsterInstance.get(), console=Console(stderr=True, quiet=True)
        )
        taken.append(time.perf_counter() - began)
        if not report.success:
            failed = [asset.asset for asset in report.assets if asset.status != "ok"]
            raise SystemExit(f"the run failed: {failed}")
    print(json.dumps({"first_seconds": taken[0], "warm_seconds": taken[1]}))


if __name__ == "__main__":
    main()
