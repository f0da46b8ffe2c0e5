"""The revenue link on worlds with known truth: claims where there is nothing, coverage and lag where there is
something, the power curve; beside them a plain correlation and a plain Granger test on the same worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.sentiment.revenue import Ladder, LinkSeries, LinkSettings, climb
from liftos_pipelines.modules.sentiment.revenue.describe import prepare
from liftos_pipelines.modules.sentiment.revenue.response import response
from liftos_pipelines.simulate.revenue_worlds import NULLS, WEEKS, World, linked
from liftos_pipelines.stats import wilson_interval

Array = NDArray[np.float64]

NULL_WORLDS = 150
EFFECT_WORLDS = 40
SETTINGS = LinkSettings(surrogates=199, permutations=199)
BENCHMARK = "sentiment revenue link"
SLOPES, LAGS = (0.2, 0.35, 0.5), (1, 2, 3, 4)
STRONG = 0.5
SAMPLING_ERROR = 0.04
"""Of a week's net sentiment: some 300 mentions."""


def series_of(world: World) -> LinkSeries:
    """A world as the ladder reads it."""
    return LinkSeries(
        dates=tuple(date(2023, 1, 2) + timedelta(weeks=week) for week in range(world.outcome.size)),
        step=7,
        sentiment=world.sentiment,
        outcome=world.outcome,
        variance=world.variance,
        drivers=world.drivers,
        conditional_on=("spend and promotions",) if world.drivers.size else (),
        shocks=world.shocks,
    )


def naive_correlation(world: World) -> bool:
    """Pearson's r of the two series as they come, at 5 %."""
    return bool(stats.pearsonr(world.sentiment, world.outcome).pvalue <= 0.05)


def granger(world: World, lags: int = 4) -> bool:
    """The usual F-test of four lags of sentiment beside four own lags, at 5 %."""
    y, x = world.outcome, world.sentiment
    n = y.size - lags
    own = [y[lags - k : y.size - k] for k in range(1, lags + 1)]
    other = [x[lags - k : x.size - k] for k in range(1, lags + 1)]
    left = []
    for columns in (own, [*own, *other]):
        design = np.column_stack([np.ones(n), *columns])
        residual = y[lags:] - design @ np.linalg.lstsq(design, y[lags:], rcond=None)[0]
        left.append(float(residual @ residual))
    freedom = n - 1 - 2 * lags
    return bool(stats.f.sf((left[0] - left[1]) / lags / (left[1] / freedom), lags, freedom) <= 0.05)


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What was claimed in each of a number of worlds, as booleans."""

    overall: NDArray[np.bool_]
    description: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    events: NDArray[np.bool_]
    follows: NDArray[np.bool_]
    naive: NDArray[np.bool_]
    granger: NDArray[np.bool_]


def claims(make: Callable[[np.random.Generator], World], worlds: int, seed: int) -> Claimed:
    """Run the ladder and both dummies on `worlds` worlds.

    Each rung by itself at 5 % (`description`: of lags 0 and on), and `overall`: whether the verdict's words say that
    the outcome goes with or after sentiment.
    """
    rows = []
    for number in range(worlds):
        world = make(np.random.default_rng([seed, number]))
        ladder = climb(series_of(world), replace(SETTINGS, seed=number), full=False)
        rows.append([*_rungs(ladder), naive_correlation(world), granger(world)])
    table = np.array(rows, dtype=bool).T
    names = ("overall", "description", "prediction", "events", "follows", "naive", "granger")
    return Claimed(**dict(zip(names, table, strict=True)))


def _rungs(ladder: Ladder) -> list[bool]:
    found, forward, events = ladder.described, ladder.forward, ladder.events
    assert found is not None
    assert forward is not None
    ahead = np.array(found.lags) >= 0
    return [
        ladder.claims.any_link,
        bool((found.p_value[ahead] <= 0.05).any()),
        bool(forward.p_value.min() <= 0.05 and forward.gain[forward.best] > 0 and forward.beats_placebos),
        bool(events is not None and events.pooled_p <= 0.05),
        ladder.claims.follows is not None or ladder.claims.reverse_as_strong,
    ]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Of worlds with a link: interval holds the slope, plain and uncorrected; lag within one; any link claimed."""

    covered: NDArray[np.bool_]
    uncorrected: NDArray[np.bool_]
    lag: NDArray[np.bool_]
    claimed: NDArray[np.bool_]
    error: Array
    """Estimate over truth."""


def recovery(slope: float, lag: int, error: float, worlds: int, seed: int, *, climbed: bool = True) -> Recovered:
    """Slope and lag in worlds with a link."""
    rows = []
    for number in range(worlds):
        world = linked(np.random.default_rng([seed, number]), slope, lag, error)
        settings = replace(SETTINGS, seed=number)
        if climbed:
            ladder = climb(series_of(world), settings, full=False)
            prepared, found = ladder.prepared, ladder.response
            leads = ladder.claims.leads
            right, claimed = leads is not None and abs(leads - lag) <= 1, ladder.claims.any_link
        else:
            prepared, right, claimed = prepare(series_of(world), replace(settings, surrogates=1)), False, False
            found = response(prepared, world.variance)
        assert prepared is not None
        assert found is not None
        plain = response(prepared, world.variance, correct=False)
        rows.append(
            [
                found.low[lag] <= slope <= found.high[lag],
                plain.low[lag] <= slope <= plain.high[lag],
                right,
                claimed,
                found.estimate[lag] / slope,
            ]
        )
    table = np.array(rows, dtype=float).T
    covered, uncorrected, right_lag, made = (row.astype(bool) for row in table[:4])
    return Recovered(covered=covered, uncorrected=uncorrected, lag=right_lag, claimed=made, error=table[4])


def plain_slope(world: World, slope: float, lag: int) -> bool:
    """Whether ordinary least squares of the outcome on lagged sentiment alone holds the slope in its 90 % interval."""
    x, y = world.sentiment[: WEEKS - lag], world.outcome[lag:]
    fit = stats.linregress(x, y)
    return bool(abs(fit.slope - slope) <= stats.t.ppf(0.95, x.size - 2) * fit.stderr)


def measure(data: Path) -> Iterator[Figure]:
    """False claims by kind of world, coverage, lag, power; `data` is not used: the worlds are made here."""
    yield from _false_claims()
    yield from _coverage()
    yield from _lags_and_power()
    yield from _stated_power()


def _rate(name: str, hits: NDArray[np.bool_], method: str, **more: str | float | None) -> Figure:
    low, high = wilson_interval(float(hits.sum()), hits.size)
    extra: dict[str, object] = dict(more)
    return Figure(
        benchmark=BENCHMARK, name=name, value=float(hits.mean()), low=low, high=high, unit="", n=hits.size,
        method=method, **extra,  # type: ignore[arg-type]
    )  # fmt: skip


def _false_claims() -> Iterator[Figure]:
    made = {}
    for number, (name, make) in enumerate(NULLS.items()):
        found = made[name] = claims(make, NULL_WORLDS, 100 + number)
        yield _rate(
            f"links claimed where there is none: {name}",
            found.overall,
            f"verdict over all rungs, {WEEKS} weeks; by rung at 5 %: description {found.description.mean():.3f}, "
            f"prediction {found.prediction.mean():.3f}, events {found.events.mean():.3f}; "
            f"plain Granger F-test {found.granger.mean():.2f}",
            goal="<= .05",
            baseline="plain correlation",
            baseline_value=float(found.naive.mean()),
        )
    for rung in ("overall", "description", "prediction", "events"):
        together = np.concatenate([getattr(found, rung) for found in made.values()])
        yield _rate(
            f"links claimed where there is none: all worlds, {rung}",
            together,
            "all kinds of world together" + (", familywise" if rung == "overall" else ", this rung by itself at 5 %"),
            goal="<= .05",
            baseline="plain Granger F-test",
            baseline_value=float(np.mean([found.granger.mean() for found in made.values()])),
        )
    backwards = made["reverse: the outcome comes first"]
    yield _rate(
        "says that sentiment follows the outcome, where it does",
        backwards.follows,
        "outcome moves sentiment two weeks later",
        goal=">= .9",
    )


def _coverage() -> Iterator[Figure]:
    for error in (0.0, SAMPLING_ERROR):
        parts, plain = [], []
        for slope in SLOPES:
            for lag in LAGS:
                seed = 1000 + 10 * lag + int(100 * slope)
                parts.append(recovery(slope, lag, error, EFFECT_WORLDS, seed, climbed=False))
                worlds = (linked(np.random.default_rng([seed, k]), slope, lag, error) for k in range(EFFECT_WORLDS))
                plain.append([plain_slope(world, slope, lag) for world in worlds])
        cells = [float(part.covered.mean()) for part in parts]
        measured = f"measured with sampling error of {error:.2f}" if error else "measured exactly"
        bias = float(np.median(np.concatenate([part.error for part in parts])))
        yield _rate(
            f"coverage of the 90 % interval of the slope, sentiment {measured}",
            np.concatenate([part.covered for part in parts]),
            f"common driver present; slopes {SLOPES}, lags {LAGS}; by cell {min(cells):.2f} to {max(cells):.2f}; "
            f"estimate over truth {bias:.2f}; regression of outcome on lagged sentiment alone {np.mean(plain):.2f}",
            goal=".85 to .95",
            baseline="not corrected for sampling error" if error else "regression on lagged sentiment alone",
            baseline_value=float(np.mean([part.uncorrected.mean() for part in parts]) if error else np.mean(plain)),
        )


def _lags_and_power() -> Iterator[Figure]:
    strong = [recovery(STRONG, lag, SAMPLING_ERROR, 20, 2000 + lag) for lag in LAGS]
    raw = [
        _raw_lag(linked(np.random.default_rng([2000 + lag, k]), STRONG, lag, SAMPLING_ERROR), lag)
        for lag in LAGS
        for k in range(20)
    ]
    yield _rate(
        f"lag found within one week, slope {STRONG}",
        np.concatenate([part.lag for part in strong]),
        f"claimed and within one of lags {LAGS}; common driver present, sampling error {SAMPLING_ERROR}",
        goal=">= .9",
        baseline="largest plain cross-correlation",
        baseline_value=float(np.mean(raw)),
    )
    for slope in (0.05, 0.1, 0.2, 0.3, 0.5):
        found = recovery(slope, 2, 0.0, 30, 3000)
        yield _rate(
            f"power: link of {100 * np.expm1(0.1 * slope):.1f} % outcome per 0.1 net sentiment claimed",
            found.claimed,
            f"lag of two weeks, noise of the outcome 4 %, {WEEKS} weeks, common driver present",
        )


def _stated_power() -> Iterator[Figure]:
    """Whether a link of the size called smallest visible is seen as often as was said."""
    silent = (linked(np.random.default_rng([4000, k]), 0.0, 2) for k in range(20))
    powers = [climb(series_of(world), replace(SETTINGS, seed=k)).power for k, world in enumerate(silent)]
    stated = 10 * float(np.median([power.per_tenth for power in powers if power is not None]))
    seen = []
    for k in range(60):
        world = linked(np.random.default_rng([4001, k]), stated, 2)
        found = climb(series_of(world), replace(SETTINGS, seed=k), full=False).described
        assert found is not None
        seen.append(bool(found.p_value[found.lags.index(2)] <= 0.05))
    yield _rate(
        "power at the size stated as the smallest visible",
        np.array(seen),
        f"description finds the lag; stated by simulation on 20 series without a link: {10 * stated:.1f} % of the "
        "outcome per 0.1 of net sentiment",
        goal=".8",
    )


def _raw_lag(world: World, lag: int) -> bool:
    x, y = world.sentiment - world.sentiment.mean(), world.outcome - world.outcome.mean()
    size = [abs(float(np.corrcoef(x[: WEEKS - k] if k else x, y[k:])[0, 1])) for k in range(5)]
    return abs(int(np.argmax(size)) - lag) <= 1
