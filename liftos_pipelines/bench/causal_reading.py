"""One world of known truth through the marketing-mix engine: what it said, beside what was so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.answers.results import Fitted, channel_results
from liftos_pipelines.modules.causal.checks.validation import validate
from liftos_pipelines.modules.causal.engine.fit import fit
from liftos_pipelines.modules.causal.engine.reading import read_fitted
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.plan.budget import budget_plan
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_truth import best_split, budget_of, by_average_roi, equal_split, feasible, revenue
from liftos_pipelines.simulate.mmm_worlds import World, make_world
from liftos_pipelines.tables import ALL

FloatArray = NDArray[np.float64]

MATERIAL = 0.25
"""An error that would change a decision, as a share of the truth."""
MOST_MISSES = 1
"""Material misses that an honest set of 90 % intervals may have in one world."""
TOTAL_TAIL = 0.005
"""Tail beyond which the total of all media counts as missed."""
PLANS = ("planned", "current", "equal split", "by average ROI")


@dataclass(frozen=True, kw_only=True)
class ChannelReading:
    """Contribution over all weeks, in outcome; `low`, `high` bound the 90 % interval."""

    name: str
    true: float
    mean: float
    low: float
    high: float

    @property
    def error(self) -> float:
        return float(abs(self.mean / self.true - 1))

    @property
    def held(self) -> bool:
        return bool(self.low <= self.true <= self.high)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the engine said of one data set; `regret` is the share of the best plan's revenue that a plan gives up."""

    family: str
    seed: int
    channels: tuple[ChannelReading, ...]
    total: ChannelReading
    """All channels together, with a 99 % interval."""
    statuses: dict[str, str]
    values: dict[str, float | None]
    accuracy: float | None
    naive: float | None
    no_media: float | None
    regret: dict[str, float]
    seconds: float

    @property
    def broken(self) -> bool:
        """Whether the intervals cannot be called honest in this world.

        One miss in ten is what a 90 % interval promises, so a single one breaks nothing. Broken means two or more
        channels whose truth lies outside the 90 % interval by an error above 25 %, or the total of all media outside
        its 99 % interval by as much. Were the intervals exact and independent, this would happen in at most 4, 6 and
        9 % of worlds with 3, 4 and 5 channels (binomial, plus 1 %); small misses count in neither, so in fewer.
        """
        misses = sum(not channel.held and channel.error > MATERIAL for channel in self.channels)
        return misses > MOST_MISSES or (not self.total.held and self.total.error > MATERIAL)

    def alarms(self, apart_from: frozenset[str] = frozenset()) -> list[str]:
        """Checks that warn or fail."""
        return [name for name, status in self.statuses.items() if status in ("warn", "fail") and name not in apart_from]


def read_world(family: str, seed: int, spec: ModelSpec) -> Reading:
    """Generate, fit, check, plan and compare one simulated world."""
    world = make_world(family, seed)
    began = time.perf_counter()
    answer = answer_of(world.outcome, world.media, world.controls, world.names, spec)
    plan = budget_plan(answer.fitted, plan_weeks=spec.plan_weeks, band=spec.plan_band, seed=spec.seed)
    seconds = time.perf_counter() - began
    truth = dict(zip(world.names, world.contribution.sum(axis=(1, 2)).tolist(), strict=True))
    regret = _regret(world, plan, answer.results, spec)
    return reading_of(family, seed, answer, truth, seconds=seconds, regret=regret)


def read_tables(
    name: str,
    outcome: pl.DataFrame,
    media: pl.DataFrame,
    controls: pl.DataFrame,
    truth: dict[str, float],
    spec: ModelSpec,
) -> Reading:
    """The same for a published data set whose contributions by channel are known; no plan, for no optimum is known."""
    began = time.perf_counter()
    answer = answer_of(outcome, media, controls, list(truth), spec)
    return reading_of(name, 0, answer, truth, seconds=time.perf_counter() - began, regret={})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A checked posterior; `results` are of all geos together."""

    fitted: Fitted
    results: pl.DataFrame
    checks: pl.DataFrame


def answer_of(
    outcome: pl.DataFrame, media: pl.DataFrame, controls: pl.DataFrame, channels: Sequence[str], spec: ModelSpec
) -> Answer:
    """What a client would be told of these tables."""
    panel = build_panel(outcome, media, controls, channels=channels, mediators=spec.mediators).frame
    data = fit(build_design(panel, spec), spec, cores=1)
    fitted = read_fitted(data, panel)
    results = channel_results(fitted).filter(pl.col("geo") == ALL)
    return Answer(fitted=fitted, results=results, checks=validate(data, fitted, spec))


def reading_of(
    family: str, seed: int, answer: Answer, truth: dict[str, float], *, seconds: float, regret: dict[str, float]
) -> Reading:
    """An answer beside the truth: true contributions by channel, in outcome."""
    rows = {row["channel"]: row for row in answer.results.iter_rows(named=True)}
    values = dict(answer.checks.select("check", "value").iter_rows())
    accuracy, skill, beside = (values[name] for name in ("heldout_accuracy", "holdout_skill", "media_skill"))
    return Reading(
        family=family,
        seed=seed,
        channels=tuple(
            ChannelReading(
                name=name,
                true=true,
                mean=rows[name]["contribution"],
                low=rows[name]["contribution_low"],
                high=rows[name]["contribution_high"],
            )
            for name, true in truth.items()
        ),
        total=_total(answer.fitted, sum(truth.values())),
        statuses=dict(answer.checks.select("check", "status").iter_rows()),
        values=values,
        accuracy=accuracy,
        naive=None if accuracy is None or skill is None else accuracy - skill,
        no_media=None if accuracy is None or beside is None else accuracy - beside,
        regret=regret,
        seconds=seconds,
    )


def _total(fitted: Fitted, true: float) -> ChannelReading:
    draws = fitted.draws.thin(2000)
    summed = np.zeros(len(draws))
    for c in range(len(fitted.design.channels)):
        summed += fitted.gained(draws, c).sum(axis=(1, 2))
    low, high = np.quantile(summed, [TOTAL_TAIL, 1 - TOTAL_TAIL])
    return ChannelReading(name=ALL, true=true, mean=float(summed.mean()), low=float(low), high=float(high))


def _regret(world: World, plan: pl.DataFrame, table: pl.DataFrame, spec: ModelSpec) -> dict[str, float]:
    """Share of the best plan's revenue that each plan gives up; the model's own average ROIs, not the true ones."""
    budget = budget_of(world, plan_weeks=spec.plan_weeks, band=spec.plan_band)
    rows = {row["channel"]: row for row in plan.iter_rows(named=True)}
    planned = np.array([rows[name]["spend_planned"] / rows[name]["spend_current"] for name in world.names])
    means = dict(table.select("channel", "roi").iter_rows())
    best = revenue(world, best_split(world, budget), budget)
    plans = {
        "planned": planned,
        "current": feasible(np.ones(len(planned)), budget),
        "equal split": equal_split(budget),
        "by average ROI": by_average_roi(np.array([means[name] for name in world.names]), budget),
    }
    return {name: 1 - revenue(world, plans[name], budget) / best for name in PLANS}
