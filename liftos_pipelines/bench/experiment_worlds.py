"""Worlds of experiments whose truth is known: many at once, looked at again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.llm.experiments.adaptive import Randomised, weighted_difference
from liftos_pipelines.modules.llm.experiments.allocation import with_floor
from liftos_pipelines.modules.llm.experiments.compare import ADAPTIVE_EVENTS, ADAPTIVE_UNITS, MIN_EVENTS, MIN_UNITS
from liftos_pipelines.modules.llm.experiments.difference import UNKNOWN, difference
from liftos_pipelines.modules.llm.experiments.posterior import best_of_rates
from liftos_pipelines.modules.llm.experiments.split import log_bayes_factor
from liftos_pipelines.modules.llm.experiments.units import Units, from_arrays
from liftos_pipelines.stats import anytime_half_width

Array = NDArray[np.float64]
DAYS = 30
NAIVE = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, kw_only=True)
class Peeked:
    """Shares of worlds that were ever decided by the sequence, by a z-test at each look, and by a mixture test whose
    prior is the planned effect (mSPRT); `missed` is the share whose sequence ever left the truth out."""

    worlds: int
    sequence: float
    naive: float
    msprt: float
    missed: float
    looks_used: float


def peek(
    a: Array, b: Array, looks: NDArray[np.int64], *, effect: float = 0.0, planned: float = 1000.0, rate: bool = False,
    planned_effect: float = 0.05,
) -> Peeked:  # fmt: skip
    """Look at worlds after some units of each arm; an arm's units come in turn.

    Parameters
    ----------
    a, b : (n_worlds, n_units), values
    looks : (n_looks,), units of each arm seen at each look
    effect : true difference
    rate : whether values are 0 or 1, and need events on both sides first
    """
    n = looks.astype(float)
    sums = [np.cumsum(values, axis=1)[:, looks - 1] for values in (a, b)]
    squares = [np.cumsum(values**2, axis=1)[:, looks - 1] for values in (a, b)]
    means = [total / n for total in sums]
    variances = [(square - n * mean**2) / np.maximum(n - 1, 1) for square, mean in zip(squares, means, strict=True)]
    error = np.sqrt((variances[0] + variances[1]) / n)
    estimate = means[1] - means[0]
    seen = np.broadcast_to(n >= MIN_UNITS, error.shape) & (error > 0)
    if rate:
        events = sums[0] + sums[1]
        seen = seen & (np.minimum(events, 2 * n - events) >= MIN_EVENTS)
    half = error * np.array([anytime_half_width(1.0, 2 * one, planned_units=planned) for one in looks])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(seen, estimate / error, 0.0)
        information = np.where(seen, 1 / error**2, 0.0)
    prior = information * planned_effect**2
    log_ratio = -0.5 * np.log1p(prior) + z**2 * prior / (2 * (1 + prior))
    ours = seen & (np.abs(estimate) > half)
    found = ours.any(axis=1)
    used = np.where(found, n[ours.argmax(axis=1)], n[-1])
    return Peeked(
        worlds=a.shape[0],
        sequence=float(found.mean()),
        naive=float((np.abs(z) > NAIVE).any(axis=1).mean()),
        msprt=float((log_ratio > np.log(20)).any(axis=1).mean()),
        missed=float((seen & (np.abs(estimate - effect) > half)).any(axis=1).mean()),
        looks_used=float(used.mean()),
    )


def daily(per_day: int, days: int = DAYS) -> NDArray[np.int64]:
    return np.arange(1, days + 1) * per_day


def split_paths(worlds: int, units: int, share_b: float, seed: int, every: int = 10) -> tuple[Array, Array]:
    """(n_worlds, n_looks) log evidence against an equal split and chi-square p-values, after every so many units."""
    rng = np.random.default_rng(seed)
    second = np.cumsum(rng.binomial(every, share_b, (worlds, units // every)), axis=1)
    total = every * np.arange(1, units // every + 1)
    counts = np.stack([total - second, second], axis=-1)
    evidence = log_bayes_factor(counts, np.array([0.5, 0.5]))
    return evidence, stats.chi2.sf((2 * second - total) ** 2 / total, 1)


def correlated_past(n_units: int, correlation: float, effect: float, seed: int) -> Units:
    """Two arms whose units were seen before: the metric then and now correlate."""
    rng = np.random.default_rng(seed)
    past = rng.normal(size=n_units)
    now = correlation * past + np.sqrt(1 - correlation**2) * rng.normal(size=n_units)
    b = rng.random(n_units) < 0.5
    plain = from_arrays(now[~b], now[b] + effect)
    known = np.concatenate([past[~b], past[b]])[:, None]
    return Units(
        sums=plain.sums,
        squares=plain.squares,
        calls=plain.calls,
        covariates=known - known.mean(axis=0),
        covariate_names=("past",),
    )


def clustered(n_units: int, calls: int, seed: int, between: float = 1.0, within: float = 1.0) -> tuple[Array, Array]:
    """(n_units, calls) values of units that differ from one another, and (n_units,) their arms."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, between, n_units)
    return level[:, None] + rng.normal(0, within, (n_units, calls)), (rng.random(n_units) < 0.5).astype(float)


def error_of(units: Units) -> tuple[float, float, float]:
    """(estimate, standard error, effective calls) without covariates."""
    found = difference(units, adjust=False)
    return found.estimate, found.error, found.effective


def thompson(
    rates: Sequence[float], seed: int, *, batches: int = 30, per_batch: int = 100, floor: float = 0.1
) -> Randomised:
    """Units of arms with true rates, shared anew after each batch by Thompson sampling above a floor."""
    rng = np.random.default_rng(seed)
    hits, n = np.zeros(len(rates)), np.zeros(len(rates))
    arms, propensities, outcomes = [], [], []
    for batch in range(batches):
        equal = np.full(len(rates), 1 / len(rates))
        share = equal if batch == 0 else with_floor(best_of_rates(hits, n, sign=1.0), floor)
        arm = rng.choice(len(rates), per_batch, p=share)
        y = (rng.random(per_batch) < np.asarray(rates)[arm]).astype(float)
        arms.append(arm)
        propensities.append(share[arm])
        outcomes.append(y)
        hits += np.bincount(arm, y, len(rates))
        n += np.bincount(arm, minlength=len(rates))
    return Randomised(
        arms=np.concatenate(arms),
        propensities=np.concatenate(propensities),
        outcomes=np.concatenate(outcomes),
        left_out=0,
    )


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """One adaptive world: whether the sequence ever left the truth out, whether the 90 % intervals of the weighted and
    of the plain difference hold it at the end, their errors, and outcomes lost against always asking the best arm."""

    missed: bool
    held: bool
    plain_held: bool
    error: float
    plain_error: float
    regret: float


def adapted(rates: Sequence[float], seed: int, **settings: Any) -> Adapted:
    """Look at an adaptive world after each batch but the first, arm 1 against arm 0."""
    units, truth = thompson(rates, seed, **settings), rates[1] - rates[0]
    missed, found = False, UNKNOWN
    for seen in range(200, units.arms.size + 1, 100):
        a, b = (units.outcomes[:seen][units.arms[:seen] == arm] for arm in (0, 1))
        found = weighted_difference(
            Randomised(
                arms=units.arms[:seen],
                propensities=units.propensities[:seen],
                outcomes=units.outcomes[:seen],
                left_out=0,
            )
        )
        events = min(min(own.sum(), (1 - own).sum()) for own in (a, b))
        if min(a.size, b.size) < ADAPTIVE_UNITS or events < ADAPTIVE_EVENTS:
            continue
        missed |= abs(found.estimate - truth) > anytime_half_width(found.error, found.effective)
    plain = float(b.mean() - a.mean())
    spread = float(np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size))
    z = float(stats.norm.ppf(0.95))
    return Adapted(
        missed=bool(missed),
        held=abs(found.estimate - truth) <= z * found.error,
        plain_held=abs(plain - truth) <= z * spread,
        error=found.estimate - truth,
        plain_error=plain - truth,
        regret=float((max(rates) - np.asarray(rates)[units.arms]).sum()),
    )
