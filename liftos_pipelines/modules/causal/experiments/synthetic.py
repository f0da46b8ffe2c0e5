"""Synthetic control: a mixture of untreated geos that moved as the treated ones did before the test.

Series are centred first (a constant gap is no misfit), weights are non-negative and sum to 1. Intervals invert a
conformal test: with a supposed effect taken off, the test's weeks must look like the other weeks.

Sources: Abadie, Diamond and Hainmueller (2010), Synthetic control methods for comparative case studies; Ferman and
Pinto (2021), Synthetic controls with imperfect pre-treatment fit; Chernozhukov, Wuthrich and Zhu (2021), An exact
and robust conformal inference method for counterfactual and synthetic controls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from liftos_pipelines.modules.causal.experiments.contrast import TIE, Estimate
from liftos_pipelines.modules.causal.experiments.geo_panel import BoolArray, ExperimentError, FloatArray, Placed

MIN_PRE = 8
"""Fewer weeks before the test cannot tell mixtures of geos apart."""
SUM_PENALTY = 1e3
DOUBLINGS, HALVINGS = 12, 14


@dataclass(frozen=True, kw_only=True)
class Fit:
    """`weights` (n_donors,); `gap` (n_weeks,): treated less its synthetic control, mean 0 over the fitted weeks."""

    weights: FloatArray
    gap: FloatArray


def fit_weights(target: FloatArray, donors: FloatArray, weeks: slice) -> Fit:
    """Least squares on the simplex over `weeks`, after centring on them.

    Parameters
    ----------
    target : (n_weeks,); donors : (n_donors, n_weeks)
    """
    y = target - target[weeks].mean()
    x = donors - donors[:, weeks].mean(axis=1, keepdims=True)
    spread = float(np.sqrt((x[:, weeks] ** 2).mean()))
    if spread == 0:
        raise ExperimentError("the untreated geos never change before the test: nothing can be learned from them")
    # A heavily weighted row holds the sum at 1, so that plain non-negative least squares solves the simplex problem.
    penalty = SUM_PENALTY * spread
    system = np.concatenate([x[:, weeks].T, np.full((1, len(x)), penalty)])
    weights, _ = nnls(system, np.append(y[weeks], penalty))
    weights = weights / weights.sum()
    return Fit(weights=weights, gap=y - weights @ x)


def treated_series(scaled: FloatArray, base: FloatArray, treated: BoolArray) -> FloatArray:
    """(n_weeks,): the treated geos together, as a multiple of their level before."""
    size = base * treated
    return np.asarray(size / size.sum() @ scaled)


def conformal_p(target: FloatArray, donors: FloatArray, n_pre: int, effect: float = 0.0) -> float:
    """p-value of "the effect was `effect` in each week of the test", by cyclic shifts of the residuals.

    The mixture is fitted to all weeks with the supposed effect taken off, as the method requires; shifting whole
    blocks keeps the residuals' autocorrelation.
    """
    weeks, length = len(target), len(target) - n_pre
    supposed = target.copy()
    supposed[n_pre:] -= effect
    gap = fit_weights(supposed, donors, slice(None)).gap
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([gap, gap]))])
    sums = np.abs(running[length : length + weeks] - running[:weeks])
    return float(np.mean(sums >= sums[n_pre] - TIE))


def synthetic_control(placed: Placed, *, level: float = 0.9) -> tuple[Estimate, Fit]:
    """Relative effect a week, averaged over the test, with its conformal interval.

    Raises
    ------
    ExperimentError : fewer than eight weeks before the test
    """
    if placed.n_pre < MIN_PRE:
        raise ExperimentError(
            f"{placed.n_pre} weeks before the test; a synthetic control needs {MIN_PRE} or more to find its weights"
        )
    scaled = placed.scaled
    target, donors = treated_series(scaled, placed.base, placed.treated), scaled[~placed.treated]
    fit = fit_weights(target, donors, slice(0, placed.n_pre))
    effect = float(fit.gap[placed.n_pre :].mean())
    step = float(np.std(fit.gap[: placed.n_pre])) / np.sqrt(placed.n_window) + 1e-9
    alpha = 1 - level

    def inside(value: float) -> bool:
        return conformal_p(target, donors, placed.n_pre, value) > alpha + TIE

    low, high = (_end(inside, effect, side * step) for side in (-1, 1))
    p_value = conformal_p(target, donors, placed.n_pre)
    return Estimate(effect=effect, low=low, high=high, p_value=p_value, inference="conformal, moving blocks"), fit


def _end(inside: Callable[[float], bool], centre: float, step: float) -> float:
    """Where the supposed effect stops being compatible, going out from the estimate."""
    reach = step
    for _ in range(DOUBLINGS):
        if not inside(centre + reach):
            break
        reach *= 2
    else:
        return float(np.inf if step > 0 else -np.inf)
    near, far = (0.0 if reach == step else reach / 2), reach
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if inside(centre + middle) else (near, middle)
    return float(centre + far)
