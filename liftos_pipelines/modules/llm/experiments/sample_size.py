"""How many units a planned effect needs under the confidence sequence, and when it may be expected to be found.

The estimate is taken as a Brownian motion with drift, watched after every batch; that costs more units at the horizon
than a test with a single look, and saves units wherever the effect is as planned or larger.

Sources: Waudby-Smith et al. (2021) for the boundary; Howard, Ramdas, McAuliffe and Sekhon (2021) for its power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from liftos_pipelines.modules.llm.experiments.compare import ALPHA, MIN_UNITS
from liftos_pipelines.modules.llm.experiments.plan import PlanError
from liftos_pipelines.stats import anytime_half_width

PATHS, LOOKS = 8000, 30


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """Units of both arms together.

    `horizon` finds the effect with `power` by its end; `expected` is how many are used on average when it is looked at
    all along and stopped once found (and at the horizon otherwise); `single_look` is what one look at the end needs.
    """

    horizon: int
    expected: int
    single_look: int
    power: float
    simulated_power: float


def spread_of_rate(rate: float) -> float:
    """Standard deviation of a call that succeeds at `rate`.

    Raises
    ------
    PlanError : a rate outside (0, 1)
    """
    if not 0 < rate < 1:
        raise PlanError(f"a rate of {rate}; it must lie between 0 and 1")
    return float(np.sqrt(rate * (1 - rate)))


def sample_size(
    effect: float,
    spread: float,
    *,
    share_b: float = 0.5,
    power: float = 0.8,
    alpha: float = ALPHA,
    variance_removed: float = 0.0,
    seed: int = 0,
) -> SampleSize:
    """Units for an effect under a sequence tuned to the horizon.

    Parameters
    ----------
    effect : difference of means to find, in the metric's unit
    spread : standard deviation of one unit within an arm
    share_b : of the units in the new arm
    variance_removed : by covariates, as `llm/experiments` reports it for past experiments

    Raises
    ------
    PlanError : an effect, spread, share, power or level that cannot be
    """
    for name, value, good in (
        ("effect", effect, np.isfinite(effect) and effect != 0),
        ("spread", spread, np.isfinite(spread) and spread > 0),
        ("share of B", share_b, 0 < share_b < 1),
        ("power", power, 0 < power < 1),
        ("alpha", alpha, 0 < alpha < 1),
        ("variance removed", variance_removed, 0 <= variance_removed < 1),
    ):
        if not good:
            raise PlanError(f"{name} is {value}; an effect is not zero, a spread positive, the rest between 0 and 1")
    # Variance of the estimate times units.
    unit_variance = spread**2 * (1 - variance_removed) / (share_b * (1 - share_b))
    wanted = float(stats.norm.ppf(power))

    def missing(log_units: float) -> float:
        units = float(np.exp(log_units))
        error = np.sqrt(unit_variance / units)
        # Tuned to where the horizon is: the boundary in standard errors does not depend on the units then.
        return float(abs(effect) / error - anytime_half_width(1.0, units, alpha=alpha, planned_units=units) - wanted)

    at_end = float(np.exp(optimize.brentq(missing, np.log(1e-3), np.log(1e15))))
    # Paths also cross before the end, so that fewer units suffice: found on simulated paths from the formula on. The
    # power asked of them is above the one wanted by what so many paths may be wrong.
    paths = _paths(seed)
    asked = power + float(stats.norm.ppf(0.95)) * np.sqrt(power * (1 - power) / PATHS)
    low, high = 0.5 * at_end, 1.2 * at_end
    for _ in range(12):
        middle = (low + high) / 2
        if _found(paths, middle, effect, unit_variance, alpha, share_b)[0] < asked:
            low = middle
        else:
            high = middle
    horizon = max(high, 2 * MIN_UNITS / (2 * min(share_b, 1 - share_b)))
    reached, used = _found(paths, horizon, effect, unit_variance, alpha, share_b)
    single = unit_variance * ((stats.norm.ppf(1 - alpha / 2) + wanted) / effect) ** 2
    return SampleSize(
        horizon=int(np.ceil(horizon)),
        expected=int(np.ceil(used)),
        single_look=int(np.ceil(single)),
        power=power,
        simulated_power=reached,
    )


def _paths(seed: int) -> np.ndarray:
    """(PATHS, LOOKS), standard Brownian motions on (0, 1]."""
    steps = np.random.default_rng(seed).normal(size=(PATHS, LOOKS)) / np.sqrt(LOOKS)
    return np.cumsum(steps, axis=1)


def _found(
    paths: np.ndarray, horizon: float, effect: float, unit_variance: float, alpha: float, share_b: float
) -> tuple[float, float]:
    """Share of paths that find the effect by the horizon, and units used on average."""
    time = np.arange(1, LOOKS + 1) / LOOKS
    units = time * horizon
    information = np.sqrt(units / unit_variance)
    z = paths / np.sqrt(time) + abs(effect) * information
    boundary = np.array([anytime_half_width(1.0, one, alpha=alpha, planned_units=horizon) for one in units])
    crossed = (z > boundary) & (units * min(share_b, 1 - share_b) >= MIN_UNITS)
    found = crossed.any(axis=1)
    used = np.where(found, units[crossed.argmax(axis=1)], horizon)
    return float(found.mean()), float(used.mean())
