"""The marketing-mix engine against known truth: error, coverage, forecasts, the plan's regret, and silent failures.

Worlds of eight families (`simulate.mmm_worlds`), twelve seeds each, and two published data sets. Every reading goes the
way of a client: panel, design, fit, checks, results, plan, all with the default specification.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure, NoData, unmeasured
from liftos_pipelines.modules.causal.checks.identification import IDENTIFICATION
from liftos_pipelines.simulate.mmm_worlds import FAMILIES, WELL_SPECIFIED
from liftos_pipelines.stats import cluster_bootstrap, percentile_interval, wilson_interval

if TYPE_CHECKING:
    from liftos_pipelines.bench.causal_reading import Reading

SEEDS = range(12)
"""Reported. Checks were developed on seeds 100 and above."""
WORKERS = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
BENCHMARK = "causal-truth"
CLEAN = ("clean", "geo_clean")
SOUND = (*WELL_SPECIFIED, "weak_signal", "collinear")
"""Families whose data the default model could have made: hard or easy, the intervals have to be honest."""


def measure(data: Path) -> Iterator[Figure]:
    """All figures: simulated worlds by family, all of them together, and the published data sets."""
    readings = read_worlds([(family, seed) for family in FAMILIES for seed in SEEDS])
    for family in FAMILIES:
        yield from family_figures(family, [reading for reading in readings if reading.family == family])
    yield from overall_figures(readings)
    for name, read in published(data).items():
        try:
            yield from published_figures(name, read())
        except NoData as absent:
            yield unmeasured(BENCHMARK, f"{name}: contribution error", "%", str(absent))


def read_worlds(worlds: Sequence[tuple[str, int]], workers: int = WORKERS) -> list[Reading]:
    """The readings of worlds named by family and seed, in that order; progress on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    with (
        _one_thread(),
        ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("worlds", total=len(worlds))
        futures = {pool.submit(_read, family, seed): number for number, (family, seed) in enumerate(worlds)}
        done: dict[int, Reading] = {}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            progress.advance(task)
    return [done[number] for number in range(len(worlds))]


def _read(family: str, seed: int) -> Reading:
    from liftos_pipelines.bench.causal_reading import read_world
    from liftos_pipelines.modules.causal.spec import ModelSpec

    return read_world(family, seed, ModelSpec())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Workers inherit the environment: one thread each, or two of them fight for the cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def family_figures(family: str, readings: Sequence[Reading]) -> Iterator[Figure]:
    """Error, coverage, forecast and regret of one family."""
    well = family in WELL_SPECIFIED
    worlds, errors, held = _by_channel(readings)
    yield _clustered(
        f"{family}: contribution error",
        "%",
        100 * errors,
        worlds,
        np.median,
        method=f"median over channels of |estimate / truth - 1|; {len(readings)} worlds",
    )
    yield _clustered(
        f"{family}: coverage of 90 % intervals",
        "%",
        100 * held,
        worlds,
        np.mean,
        method=f"contributions inside their interval; {len(readings)} worlds, bootstrap by world",
        goal="85 to 95 %" if well else None,
    )
    yield _forecast(family, readings)
    yield _regret(f"{family}: the plan's regret", "planned", readings)


def overall_figures(readings: Sequence[Reading]) -> Iterator[Figure]:
    """All worlds together: regret beside three other plans, broken worlds that no check names, and false alarms."""
    worlds, errors, _ = _by_channel(readings)
    yield _clustered(
        "all worlds: contribution error", "%", 100 * errors, worlds, np.median, method=f"median; {len(readings)} worlds"
    )
    yield _regret("all worlds: the plan's regret", "planned", readings)
    yield _regret("all worlds: regret of an equal split", "equal split", readings)
    yield _regret("all worlds: regret of one step by average ROI", "by average ROI", readings)
    yield _named_share("broken worlds that a check names", readings, goal=">= 90 %")
    bent = [reading for reading in readings if reading.family not in SOUND]
    yield _named_share("the same where the model's assumptions do not hold", bent)
    sound = [reading for reading in readings if reading.family in SOUND]
    yield _share(
        "broken worlds where the assumptions hold",
        [reading.broken for reading in sound],
        f"families {', '.join(SOUND)}: no check can foresee chance, and honest intervals break in up to 4 to 9 %",
    )
    clean = [reading for reading in readings if reading.family in CLEAN]
    for label, asked in (("any warning", None), ("a warning about assumptions", IDENTIFICATION)):
        found = [[name for name in reading.alarms() if asked is None or name in asked] for reading in clean]
        names = sorted({name for alarms in found for name in alarms})
        yield _share(
            f"clean worlds with {label}",
            [bool(alarms) for alarms in found],
            f"families {', '.join(CLEAN)}; which: {', '.join(names) or 'none'}",
            goal=None if asked is None else "<= 10 %",
        )


def _named_share(name: str, readings: Sequence[Reading], goal: str | None = None) -> Figure:
    broken = [reading for reading in readings if reading.broken]
    silent = ", ".join(f"{reading.family} {reading.seed}" for reading in broken if not reading.alarms()) or "none"
    method = (
        "warns or fails; broken: two or more channels outside their 90 % interval by over 25 %, or all media outside "
        f"their 99 % interval by as much; silent: {silent}"
    )
    return _share(name, [bool(reading.alarms()) for reading in broken], method, goal=goal)


def _share(name: str, yes: Sequence[bool], method: str, goal: str | None = None) -> Figure:
    """A share with its Wilson interval; not measured where there was nothing to count."""
    if not yes:
        return unmeasured(BENCHMARK, name, "%", f"no such world; {method}")
    low, high = wilson_interval(sum(yes), len(yes))
    return Figure(
        benchmark=BENCHMARK,
        name=name,
        value=100 * sum(yes) / len(yes),
        unit="%",
        n=len(yes),
        low=100 * low,
        high=100 * high,
        goal=goal,
        method=method,
    )


def _by_channel(readings: Sequence[Reading]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World number, error and whether the interval held, a row a channel."""
    rows = [(i, c.error, c.held) for i, reading in enumerate(readings) for c in reading.channels]
    worlds, errors, held = zip(*rows, strict=True)
    return np.array(worlds), np.array(errors, dtype=float), np.array(held, dtype=float)


def _clustered(
    name: str,
    unit: str,
    values: np.ndarray,
    worlds: np.ndarray,
    statistic: Callable[[np.ndarray], np.floating],
    *,
    method: str,
    goal: str | None = None,
    baseline: str | None = None,
    baseline_value: float | None = None,
) -> Figure:
    replicates = cluster_bootstrap(worlds, lambda rows: float(statistic(values[rows])), seed=len(values))
    low, high = percentile_interval(replicates)
    return Figure(
        benchmark=BENCHMARK,
        name=name,
        value=float(statistic(values)),
        unit=unit,
        n=len(values),
        low=low,
        high=high,
        goal=goal,
        method=method,
        baseline=baseline,
        baseline_value=baseline_value,
    )


def _forecast(family: str, readings: Sequence[Reading]) -> Figure:
    known = [r for r in readings if r.accuracy is not None]
    name = f"{family}: 1 - wMAPE on held-out weeks"
    if not known:
        return unmeasured(BENCHMARK, name, "", "no validation fit")
    naive = [r.naive for r in known if r.naive is not None]
    without = [r.no_media for r in known if r.no_media is not None]
    values = np.array([r.accuracy for r in known], dtype=float)
    return _clustered(
        name,
        "",
        values,
        np.arange(len(values)),
        np.mean,
        method=f"mean of {len(values)} worlds; the same baseline without media: {np.mean(without):.3f}",
        goal=">= 0.85",
        baseline="seasonal naive",
        baseline_value=float(np.mean(naive)) if naive else None,
    )


def _regret(name: str, plan: str, readings: Sequence[Reading]) -> Figure:
    lost = np.array([100 * reading.regret[plan] for reading in readings])
    current = np.array([100 * reading.regret["current"] for reading in readings])
    return _clustered(
        name,
        "%",
        lost,
        np.arange(len(lost)),
        np.mean,
        method="mean share of the best plan's media revenue that is given up, same total and bounds",
        baseline="current plan",
        baseline_value=float(current.mean()),
    )


def published(data: Path) -> dict[str, Callable[[], Reading]]:
    """Data sets whose truth is published, by name; reading one raises `NoData` where its file is absent."""
    return {
        "PyMC-Marketing mmm_example.csv": lambda: read_example(data / "mmm" / "pymc_marketing"),
        "mmm-framework national_mff.csv": lambda: read_mff(data / "mmm" / "mmm_framework"),
    }


def published_figures(name: str, reading: Reading) -> Iterator[Figure]:
    """Error and coverage where the truth is someone else's."""
    errors = np.array([channel.error for channel in reading.channels])
    held = sum(channel.held for channel in reading.channels)
    yield Figure(
        benchmark=BENCHMARK,
        name=f"{name}: contribution error",
        value=100 * float(np.median(errors)),
        unit="%",
        n=len(errors),
        method=f"median over channels against the published truth; {held} of {len(errors)} 90 % intervals hold it; "
        f"{'broken' if reading.broken else 'not broken'}; checks that warn: {', '.join(reading.alarms()) or 'none'}",
    )


def read_example(folder: Path) -> Reading:
    """PyMC-Marketing's simulated series: its saturation is logistic, the default model's a Hill curve."""
    from liftos_pipelines.bench.causal_reading import read_tables
    from liftos_pipelines.modules.causal.spec import ModelSpec

    frame = pl.read_csv(_present(folder / "mmm_example.csv"), try_parse_dates=True).rename({"date_week": "date"})
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["channels"]
    outcome, media, controls = _long(frame, "y", ["x1", "x2"], ["event_1", "event_2"], revenue=False)
    contributions = {name: float(truth[name]["total_contribution"]) for name in ("x1", "x2")}
    return read_tables("mmm_example", outcome, media, controls, contributions, ModelSpec())


def read_mff(folder: Path) -> Reading:
    """mmm-framework's national set: confounded spend, weak channels, irrelevant controls; the mediator left out.

    Its ROAS is contribution over spend, so a unit of sales is a unit of money.
    """
    from liftos_pipelines.bench.causal_reading import read_tables
    from liftos_pipelines.modules.causal.spec import ModelSpec

    long = pl.read_csv(_present(folder / "national_mff.csv"), try_parse_dates=True)
    truth = json.loads((folder / "national_truth.json").read_text(encoding="utf-8"))
    frame = long.pivot(on="VariableName", index="Period", values="VariableValue").rename({"Period": "date"})
    roles = truth["notes"]["roles"]
    outcome, media, controls = _long(frame, "Sales", truth["channels"], list(roles), revenue=True)
    mediators = tuple(name for name, role in roles.items() if role == "mediator")
    contributions = {name: float(value) for name, value in truth["true_contribution"].items()}
    return read_tables("national_mff", outcome, media, controls, contributions, ModelSpec(mediators=mediators))


def _present(file: Path) -> Path:
    if not file.is_file():
        raise NoData(f"{file} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    return file


def _long(
    frame: pl.DataFrame, outcome: str, channels: Sequence[str], controls: Sequence[str], *, revenue: bool
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """A wide national series as the three canonical tables."""
    first = frame["date"].min()
    assert isinstance(first, date)
    keyed = frame.sort("date").with_columns(geo=pl.lit("national"))
    money = pl.col(outcome).cast(pl.Float64) if revenue else pl.lit(None, dtype=pl.Float64)
    wide = keyed.select(
        "date",
        "geo",
        pl.col(outcome).cast(pl.Float64).alias("outcome"),
        money.alias("revenue"),
        pl.lit(None, dtype=pl.Float64).alias("population"),
    )
    media = [
        keyed.select(
            "date",
            "geo",
            pl.lit(name).alias("channel"),
            pl.col(name).cast(pl.Float64).alias("spend"),
            pl.col(name).cast(pl.Float64).alias("exposure"),
            pl.lit("paid").alias("kind"),
        )
        for name in channels
    ]
    values = [
        keyed.select("date", "geo", pl.lit(name).alias("control"), pl.col(name).cast(pl.Float64).alias("value"))
        for name in controls
    ]
    return wide, pl.concat(media), pl.concat(values)
