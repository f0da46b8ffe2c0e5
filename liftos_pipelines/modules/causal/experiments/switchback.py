"""On/off tests for data without geos: blocks of weeks in pairs, a coin decides which of a pair is on.

Source: Bojinov, Simchi-Levi and Zhao (2023), Design and analysis of switchback experiments; the pairs keep season
and trend out, and the first week of a block of two or more is left out, as the block before still works in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from liftos_pipelines.modules.causal.experiments.contrast import Estimate
from liftos_pipelines.modules.causal.experiments.geo_panel import BoolArray, ExperimentError, FloatArray
from liftos_pipelines.modules.causal.experiments.power import LIFTS, smallest_found
from liftos_pipelines.modules.causal.experiments.sample_size import ALPHA, POWER

BLOCK_WEEKS = 2
TRIALS = 400
MIN_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class Switchback:
    """Power of an on/off test of `weeks` weeks in blocks of `block_weeks`; `power` by lift, (n_lifts,)."""

    weeks: int
    block_weeks: int
    lifts: tuple[float, ...]
    power: FloatArray
    mde: float | None
    trials: int

    @property
    def false_alarm(self) -> float:
        return float(self.power[0])


def schedule(weeks: int, *, block_weeks: int = BLOCK_WEEKS, seed: int = 0) -> BoolArray:
    """(weeks,), whether the channel is on: pairs of blocks, one of each on, by coin.

    Raises
    ------
    ExperimentError : weeks that are not whole pairs of blocks, or fewer than three pairs
    """
    pairs, rest = divmod(weeks, 2 * block_weeks)
    if rest or pairs < MIN_PAIRS:
        raise ExperimentError(
            f"{weeks} weeks in blocks of {block_weeks}: an on/off test needs whole pairs of blocks, three or more "
            f"({MIN_PAIRS * 2 * block_weeks} weeks at least)"
        )
    first_on = np.random.default_rng([seed, 3]).random(pairs) < 0.5
    return np.repeat(np.stack([first_on, ~first_on], axis=1).ravel(), block_weeks)


def read_switchback(
    outcome: FloatArray, on: BoolArray, *, block_weeks: int = BLOCK_WEEKS, level: float = 0.9
) -> Estimate:
    """Relative effect of being on: mean difference of log outcome within pairs, paired t interval.

    Raises
    ------
    ExperimentError : an outcome that is not positive, or weeks that are not pairs of blocks
    """
    difference = _differences(outcome, on, block_weeks)
    error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
    dof = len(difference) - 1
    mean, reach = float(difference.mean()), float(stats.t.ppf(0.5 + level / 2, dof)) * error
    return Estimate(
        effect=float(np.expm1(mean)),
        low=float(np.expm1(mean - reach)),
        high=float(np.expm1(mean + reach)),
        p_value=float(2 * stats.t.sf(abs(mean) / error, dof)) if error > 0 else float("nan"),
        inference="paired t over blocks",
        std_error=error,
        dof=dof,
    )


def _differences(outcome: FloatArray, on: BoolArray, block_weeks: int) -> FloatArray:
    """(n_pairs,): log outcome while on less that while off."""
    if not (outcome > 0).all():
        raise ExperimentError("an on/off test compares shares: the outcome of each week must be positive")
    if len(outcome) % (2 * block_weeks) or len(outcome) != len(on):
        raise ExperimentError(f"{len(outcome)} weeks are not whole pairs of blocks of {block_weeks}")
    kept = slice(1, None) if block_weeks > 1 else slice(None)
    blocks = np.log(outcome).reshape(-1, 2, block_weeks)[:, :, kept].mean(axis=2)
    sign = np.where(on.reshape(-1, 2, block_weeks)[:, 0, 0], 1.0, -1.0)
    return np.asarray(sign * (blocks[:, 0] - blocks[:, 1]))


def switchback_power(
    outcome: FloatArray,
    weeks: int,
    *,
    block_weeks: int = BLOCK_WEEKS,
    lifts: Sequence[float] = LIFTS,
    trials: int = TRIALS,
    alpha: float = ALPHA,
    power: float = POWER,
    seed: int = 0,
) -> Switchback:
    """Share of trials that find the lift, on stretches of the history (n_weeks,) with coins thrown anew.

    Raises
    ------
    ExperimentError : a history shorter than the test (see also `schedule` and `read_switchback`)
    """
    if len(outcome) < weeks:
        raise ExperimentError(f"{len(outcome)} weeks of history are too few to try a test of {weeks} weeks on")
    tried = tuple(sorted({0.0, *lifts}))
    rng = np.random.default_rng([seed, 4, weeks])
    quiet = np.empty((trials, weeks // (2 * block_weeks)))
    for trial in range(trials):
        start = int(rng.integers(0, len(outcome) - weeks + 1))
        on = schedule(weeks, block_weeks=block_weeks, seed=int(rng.integers(2**31)))
        quiet[trial] = _differences(outcome[start : start + weeks], on, block_weeks)
    # A lift while on moves each pair's difference of logs by the same amount.
    error = quiet.std(axis=1, ddof=1) / np.sqrt(quiet.shape[1])
    statistic = np.abs(quiet.mean(axis=1)[:, None] + np.log1p(tried)[None, :]) / error[:, None]
    rate = (statistic >= stats.t.ppf(1 - alpha / 2, quiet.shape[1] - 1)).mean(axis=0)
    return Switchback(
        weeks=weeks,
        block_weeks=block_weeks,
        lifts=tried,
        power=rate,
        mde=smallest_found(tried, rate, power),
        trials=trials,
    )
