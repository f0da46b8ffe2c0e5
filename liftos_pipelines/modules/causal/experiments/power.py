"""Power of a geo test by simulation on the client's own history: lifts put into weeks in which nothing happened.

Each trial picks a date and balanced geos as the design would (on the weeks before that date alone), adds the lift
to the treated geos, runs the estimator and counts. A lift of nothing gives the false-alarm rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.experiments.assign import DRAWS, accepted, draw_ways, imbalance
from liftos_pipelines.modules.causal.experiments.contrast import (
    TIE,
    assignments,
    cluster_contrast,
    contrast_weights,
)
from liftos_pipelines.modules.causal.experiments.did import changes, randomisation_is_better
from liftos_pipelines.modules.causal.experiments.geo_panel import (
    MAX_PRE_WEEKS,
    BoolArray,
    ExperimentError,
    FloatArray,
    Placed,
)
from liftos_pipelines.modules.causal.experiments.readout import Method
from liftos_pipelines.modules.causal.experiments.sample_size import ALPHA, POWER
from liftos_pipelines.modules.causal.experiments.synthetic import MIN_PRE, conformal_p, treated_series

LIFTS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.30)
TRIALS = 200
REPLICATES = 500
WAYS = 200
"""Assignments of the randomisation test inside a trial: enough for a level of 5 %, and quick."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """`power` by lift, (n_lifts,); `low`, `high` are 90 % intervals that resample whole stretches of history.

    `false_alarm` is the power at no lift. `mde` is the smallest lift found with the wanted power, interpolated;
    None when no lift tried is.
    """

    method: Method
    weeks: int
    n_treated: int
    lifts: tuple[float, ...]
    power: FloatArray
    low: FloatArray
    high: FloatArray
    trials: int
    mde: float | None

    @property
    def false_alarm(self) -> float:
        return float(self.power[0])

    def at(self, lift: float) -> float:
        """Power at a lift, interpolated between those tried."""
        return float(np.interp(lift, self.lifts, self.power))


def simulate_power(
    outcome: FloatArray,
    n_treated: int,
    weeks: int,
    *,
    method: Method,
    lifts: Sequence[float] = LIFTS,
    trials: int = TRIALS,
    alpha: float = ALPHA,
    power: float = POWER,
    balance: bool = True,
    seed: int = 0,
) -> PowerCurve:
    """Share of trials in which the test rejects, by lift.

    Parameters
    ----------
    outcome : (n_geos, n_weeks), the history of the geos that may be used
    lifts : relative, 0 is added when it is not among them
    balance : treat balanced geos, as `assign_geos` does; without, any geos

    Raises
    ------
    ExperimentError : a history too short for a test of so many weeks, a geo without outcome
    """
    tried = tuple(sorted({0.0, *lifts}))
    first = max(MIN_PRE, outcome.shape[1] // 3)
    last = outcome.shape[1] - weeks
    if weeks < 1 or last < first:
        raise ExperimentError(
            f"{outcome.shape[1]} weeks of history are too few to try a test of {weeks} week(s): "
            f"{first + weeks} are needed"
        )
    if (outcome[:, :first].mean(axis=1) <= 0).any():
        raise ExperimentError("a geo has no outcome in the first weeks of the history: exclude it")
    rng = np.random.default_rng([seed, weeks, n_treated])
    ways = draw_ways(outcome[:, :first], n_treated, DRAWS // 4, seed)
    starts = rng.integers(first, last + 1, size=trials)
    balanced = {int(s): accepted(imbalance(outcome[:, max(0, s - MAX_PRE_WEEKS) : s], ways)) for s in np.unique(starts)}
    if not balance:
        ways = np.argsort(rng.random(ways.shape), axis=1) < n_treated
        balanced = dict.fromkeys(balanced, np.arange(len(ways)))
    rejected = np.zeros((trials, len(tried)), dtype=bool)
    for trial, start in enumerate(starts.tolist()):
        begin = max(0, start - MAX_PRE_WEEKS)
        quiet = Placed(
            geos=tuple(str(row) for row in range(len(outcome))),
            outcome=outcome[:, begin : start + weeks],
            treated=ways[rng.choice(balanced[start])],
            n_pre=start - begin,
        )
        rejected[trial] = rejections(quiet, tried, method, alpha, seed)
    rate = rejected.mean(axis=0)
    # Windows that overlap are not independent trials: whole stretches of history are resampled (Field and Welsh, 2007).
    low, high = _interval(starts // weeks, rejected, seed)
    return PowerCurve(
        method=method,
        weeks=weeks,
        n_treated=n_treated,
        lifts=tried,
        power=rate,
        low=low,
        high=high,
        trials=trials,
        mde=smallest_found(tried, rate, power),
    )


def lifted(placed: Placed, lift: float) -> Placed:
    """The same weeks with the treated geos' outcome in the window raised by a share of itself."""
    outcome = placed.outcome.copy()
    outcome[placed.treated, placed.n_pre :] *= 1 + lift
    return replace(placed, outcome=outcome)


def rejections(
    placed: Placed, lifts: Sequence[float], method: Method, alpha: float = ALPHA, seed: int = 0
) -> BoolArray:
    """(n_lifts,): whether the method's own test finds each lift at `alpha`; a test that cannot be made finds none."""
    if method == "synthetic_control":
        return np.array([_conformal_of(lifted(placed, lift)) <= alpha for lift in lifts])
    change, base, treated = changes(placed), placed.base, placed.treated
    raised = [change + lift * (1 + change) * treated for lift in lifts]
    ways = assignments(treated, seed=seed, limit=WAYS)
    if not randomisation_is_better(base, ways):
        return np.array([cluster_contrast(moved, base, treated).p_value <= alpha for moved in raised])
    size = np.abs(contrast_weights(base, ways) @ np.stack(raised, axis=1))
    return np.asarray((size >= size[0] - TIE).mean(axis=0) <= alpha)


def _conformal_of(placed: Placed) -> float:
    scaled = placed.scaled
    target = treated_series(scaled, placed.base, placed.treated)
    return conformal_p(target, scaled[~placed.treated], placed.n_pre)


def smallest_found(lifts: Sequence[float], power: FloatArray, wanted: float) -> float | None:
    """Where the curve first reaches the wanted power for good; ups and downs by chance are smoothed away."""
    rising = np.maximum.accumulate(power)
    if rising[-1] < wanted or power[-1] < wanted:
        return None
    reached = int(np.argmax(rising >= wanted))
    if reached == 0:
        return float(lifts[0])
    share = (wanted - rising[reached - 1]) / (rising[reached] - rising[reached - 1])
    return float(lifts[reached - 1] + share * (lifts[reached] - lifts[reached - 1]))


def _interval(stretch: NDArray[np.int64], rejected: BoolArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """(n_lifts,) ends of the 90 % bootstrap interval over stretches; the sums of a stretch are drawn at once."""
    _, member = np.unique(stretch, return_inverse=True)
    count = int(member.max()) + 1
    trials, hits = np.bincount(member, minlength=count), np.zeros((count, rejected.shape[1]))
    np.add.at(hits, member, rejected)
    drawn = np.random.default_rng([seed, 5]).multinomial(count, np.full(count, 1 / count), size=REPLICATES)
    rates = (drawn @ hits) / (drawn @ trials)[:, None]
    low, high = np.percentile(rates, [5, 95], axis=0)
    return low, high
