"""The weekly update of the marketing-mix model beside the refit that it stands in for, on published series."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure

BENCHMARK = "causal"
NEW_WEEKS = (1, 2, 3, 4)
DRAWS = 1000
MERIDIAN: Mapping[str, object] = {
    "draws": DRAWS, "trend": "knots", "knots": 10, "independent_knots": True, "seasonality": 0, "shock_z": None,
    "folds": 0,
}  # fmt: skip
PYMC: Mapping[str, object] = {"draws": DRAWS, "folds": 0}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One update: `apart` and `stale` (n_channels,), differences from the refit's means in its sd; `widths`
    (n_channels,), sd over the refit's; `seconds` by the clock and of the processor; `refit_seconds` by the clock."""

    new_weeks: int
    tier: int
    k_hat: float
    ess: float
    apart: np.ndarray
    stale: np.ndarray
    widths: np.ndarray
    seconds: float
    processor_seconds: float
    refit_seconds: float


def weekly_update_figures(data_dir: Path) -> Iterator[Figure]:
    """Fit to the newest week but four, update by one to four weeks, and refit each in the same frozen units.

    Parameters
    ----------
    data_dir : the folder of public data sets
    """
    updates = [*compare(national_media(data_dir), MERIDIAN), *compare(mmm_example(data_dir), PYMC)]
    done = [one for one in updates if one.tier <= 2]
    apart, stale = (np.concatenate([getattr(one, name) for one in updates]) for name in ("apart", "stale"))
    n = apart.size
    cuts = (
        f"national_media.csv and mmm_example.csv, fit without the newest 4 weeks, updated by 1 to 4; {n} channel means"
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="weekly update in place of a refit, wall seconds",
        value=float(np.median([one.seconds for one in updates])),
        unit="s",
        n=len(updates),
        low=min(one.seconds for one in updates),
        high=max(one.seconds for one in updates),
        goal="< 1 s",
        method=f"median and range; {len(done)} of {len(updates)} by reweighting; weights, gate, published returns and "
        f"the scan for a break; {4 * DRAWS} draws, imports left out; processor "
        f"{np.median([one.processor_seconds for one in updates]):.2f} s; baseline: sampling afresh without back-tests",
        baseline="full refit",
        baseline_value=float(np.median([one.refit_seconds for one in updates])),
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="weekly update in place of a refit, mean distance of channels' returns",
        value=float(np.abs(apart).mean()),
        unit="posterior sd",
        n=n,
        low=float(np.abs(apart).min()),
        high=float(np.abs(apart).max()),
        goal="<= 0.1",
        method=f"{cuts}; range; two samples of one posterior differ by about {noise(DRAWS):.2f} by chance; sd over the "
        f"refit's {np.concatenate([one.widths for one in updates]).mean():.2f} on average; largest k-hat "
        f"{max(one.k_hat for one in updates):.2f}, least effective draws {min(one.ess for one in updates):,.0f}",
        baseline="the old fit, not updated",
        baseline_value=float(np.abs(stale).mean()),
    )


def noise(effective: float) -> float:
    """Mean absolute difference, in sd, of two means of that many effective draws."""
    return float(np.sqrt(2 / effective) * np.sqrt(2 / np.pi))


def compare(panel: pl.DataFrame, settings: Mapping[str, object]) -> list[Compared]:
    """Updates of one series by each of `NEW_WEEKS` against refits."""
    from liftos_pipelines.modules.causal.engine.fit import Engine, draws_of, fit, scales_of
    from liftos_pipelines.modules.causal.inputs.design import build_design
    from liftos_pipelines.modules.causal.spec import ModelSpec
    from liftos_pipelines.modules.causal.watch.update import TOTAL, equal_weights, published, refresh

    spec = ModelSpec(**settings)  # type: ignore[arg-type]
    weeks = panel["date"].unique().sort()

    def until(left_out: int) -> pl.DataFrame:
        return panel.filter(pl.col("date") <= weeks[len(weeks) - 1 - left_out])

    data = fit(build_design(until(max(NEW_WEEKS)), spec), spec)
    refresh(data, until(max(NEW_WEEKS) - 1))  # imports and first calls
    out = []
    for new in NEW_WEEKS:
        seen = until(max(NEW_WEEKS) - new)
        clock, processor = time.perf_counter(), time.process_time()
        found = refresh(data, seen)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        assert found is not None
        began = time.perf_counter()
        design = build_design(seen, spec, scales=scales_of(data))
        full = fit(design, spec.model_copy(update={"seed": spec.seed + new}))
        refit_seconds = time.perf_counter() - began
        engine = Engine.of(design, spec)
        draws = draws_of(full, engine.media, spec)
        reference = published(engine, draws, equal_weights(len(draws)))
        if found.published is None:
            raise RuntimeError(f"no update was good enough: k-hat {found.first.k_hat:.2f}")
        channels = [
            (a, b, c) for a, b, c in zip(found.published, found.stale, reference, strict=True) if a.name != TOTAL
        ]
        out.append(
            Compared(
                new_weeks=new,
                tier=found.tier,
                k_hat=found.first.k_hat,
                ess=found.first.ess,
                apart=np.array([(mine.mean - its.mean) / its.sd for mine, _, its in channels]),
                stale=np.array([(old.mean - its.mean) / its.sd for _, old, its in channels]),
                widths=np.array([mine.sd / its.sd for mine, _, its in channels]),
                seconds=clock,
                processor_seconds=processor,
                refit_seconds=refit_seconds,
            )
        )
    return out


def national_media(data_dir: Path) -> pl.DataFrame:
    """The panel of Meridian's simulated national series."""
    raw = pl.read_csv(data_dir / "mmm" / "meridian" / "national_media.csv", try_parse_dates=True)
    channels = range(4)
    return _panel(
        raw["time"],
        raw["conversions"],
        raw["conversions"] * raw["revenue_per_conversion"],
        {f"channel{c}": (raw[f"Channel{c}_spend"], raw[f"Channel{c}_impression"]) for c in channels},
        {name: raw[name] for name in ("competitor_activity_score_control", "sentiment_score_control")},
    )


def mmm_example(data_dir: Path) -> pl.DataFrame:
    """The panel of PyMC-Marketing's simulated series."""
    raw = pl.read_csv(data_dir / "mmm" / "pymc_marketing" / "mmm_example.csv", try_parse_dates=True)
    return _panel(
        raw["date_week"],
        raw["y"],
        None,
        {name: (raw[name], raw[name]) for name in ("x1", "x2")},
        {name: raw[name] for name in ("event_1", "event_2")},
    )


def _panel(
    weeks: pl.Series,
    outcome: pl.Series,
    revenue: pl.Series | None,
    channels: Mapping[str, tuple[pl.Series, pl.Series]],
    controls: Mapping[str, pl.Series],
) -> pl.DataFrame:
    from liftos_pipelines.modules.causal.inputs.panel import build_panel
    from liftos_pipelines.tables import table

    keys = pl.DataFrame({"date": weeks.cast(pl.Date), "geo": "national"})
    none = pl.lit(None, dtype=pl.Float64)
    told = keys.with_columns(
        outcome=outcome.cast(pl.Float64),
        revenue=none if revenue is None else revenue.cast(pl.Float64),
        population=none,
    )
    empty = table("sources/marketing_media").empty()
    media = [
        keys.with_columns(
            channel=pl.lit(name), spend=spend.cast(pl.Float64), exposure=seen.cast(pl.Float64), kind=pl.lit("paid")
        )
        for name, (spend, seen) in channels.items()
    ]
    other = [keys.with_columns(control=pl.lit(name), value=value.cast(pl.Float64)) for name, value in controls.items()]
    return build_panel(
        told,
        pl.concat([empty, *media], how="diagonal_relaxed"),
        pl.concat(other),
        channels=list(channels),
        organic=[],
    ).frame
