"""Treated minus untreated when there are few geos: an unbiased variance, its degrees of freedom, randomisation.

Each geo enters with one number (its change), so that what is correlated within a geo cannot be counted as many
observations. Sources: Bertrand, Duflo and Mullainathan (2004), How much should we trust differences-in-differences
estimates; Bell and McCaffrey (2002), Bias reduction in standard errors for linear regression with multi-stage
samples; Donald and Lang (2007), Inference with difference-in-differences and other panel data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import stdtr, stdtrit

from liftos_pipelines.modules.causal.experiments.geo_panel import BoolArray, FloatArray

MAX_ASSIGNMENTS = 2000
TIE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval; `inference` says how the interval came about."""

    effect: float
    low: float
    high: float
    p_value: float
    inference: str
    std_error: float = float("nan")
    dof: float = float("nan")


def contrast_weights(base: FloatArray, treated: BoolArray) -> FloatArray:
    """(..., n_geos): treated geos by their size (their sum is the estimand), untreated equally; sums are 1 and -1.

    `treated` may be one assignment (n_geos,) or many (n_assignments, n_geos).
    """
    size = base * treated
    return np.asarray(
        size / size.sum(axis=-1, keepdims=True) - ~treated / (~treated).sum(axis=-1, keepdims=True), dtype=float
    )


def cluster_contrast(change: FloatArray, base: FloatArray, treated: BoolArray, level: float = 0.9) -> Estimate:
    """Weighted difference of means with a variance unbiased under equal spread, and Satterthwaite's t.

    A group of one geo has no spread of its own: the other group's is then used for both (Donald and Lang).
    """
    weights = contrast_weights(base, treated)
    effect = float(weights @ change)
    trace = trace_of_square = variance = 0.0
    alone, alone_weights = 0, 0.0
    for group in (treated, ~treated):
        w = np.abs(weights[group])
        if len(w) == 1:
            alone, alone_weights = alone + 1, alone_weights + float(w[0] ** 2)
            continue
        centre = np.eye(len(w)) - w[None, :]
        # E[residual_i^2] = s2 (1 - 2 w_i + sum w^2): dividing by it removes the bias, as CR2 does.
        leverage = 1 - 2 * w + w @ w
        form = centre.T @ np.diag(w**2 / leverage) @ centre
        variance += float(change[group] @ form @ change[group])
        trace += float(np.trace(form))
        trace_of_square += float(np.trace(form @ form))
    if alone == 2:
        return Estimate(effect=effect, low=-np.inf, high=np.inf, p_value=float("nan"), inference="none: two geos")
    dof = trace**2 / trace_of_square
    if alone:
        variance *= (trace + alone_weights) / trace
    error = float(np.sqrt(variance))
    # Student's t by its bare functions: the power simulation calls this ten thousand times.
    reach = float(stdtrit(dof, 0.5 + level / 2)) * error
    p_value = float(2 * stdtr(dof, -abs(effect) / error)) if error > 0 else float("nan")
    name = "t, spread of one group used for both" if alone else "t, CR2 variance, Bell-McCaffrey degrees of freedom"
    return Estimate(
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        p_value=p_value,
        inference=name,
        std_error=error,
        dof=dof,
    )


def assignments(treated: BoolArray, *, seed: int, limit: int = MAX_ASSIGNMENTS) -> BoolArray:
    """(n, n_geos): ways to treat as many geos, the actual one first; all of them, or `limit` drawn at random."""
    geos, chosen = len(treated), int(treated.sum())
    actual = treated[None, :]
    if comb(geos, chosen) <= limit:
        rows = np.zeros((comb(geos, chosen), geos), dtype=bool)
        for row, members in enumerate(combinations(range(geos), chosen)):
            rows[row, list(members)] = True
        return np.concatenate([actual, rows[~(rows == actual).all(axis=1)]])
    order = np.argsort(np.random.default_rng(seed).random((limit - 1, geos)), axis=1)
    return np.concatenate([actual, order < chosen])


def randomisation_contrast(
    change: FloatArray, base: FloatArray, ways: BoolArray, level: float = 0.9
) -> tuple[Estimate, FloatArray]:
    """Effect, p-value and interval by inverting Fisher's randomisation test, and the effect of every assignment.

    For a supposed effect the treated geos' changes are lowered by it; the values at which no more than 1 - `level`
    of the assignments show as large a contrast are outside. Each assignment's contrast is linear in the supposed
    effect, so the ends are order statistics of the crossings: no grid. Exact for geos drawn at random.

    Source: Fisher (1935), The design of experiments; Rosenbaum (2002), Observational studies, chapter 2.
    """
    weights = contrast_weights(base, ways)
    contrasts = weights @ change
    overlap = weights @ ways[0].astype(float)
    effect = float(contrasts[0])
    p_value = float(np.mean(np.abs(contrasts) >= abs(effect) - TIE))
    others, shared = contrasts[1:], overlap[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = np.stack([(effect - others) / (1 - shared), (effect + others) / (1 + shared)])
    fixed = np.abs(shared) > 1 - TIE
    upper = np.where(fixed, np.inf, crossings.max(axis=0, where=np.isfinite(crossings), initial=effect))
    lower = np.where(fixed, -np.inf, crossings.min(axis=0, where=np.isfinite(crossings), initial=effect))
    # p(effect supposed) = (1 + number of assignments still as large) / all; it must stay above 1 - level.
    needed = int(np.floor((1 - level) * len(ways) + TIE))
    low, high = -np.inf, np.inf
    if 0 < needed <= len(others):
        high = float(np.sort(upper)[::-1][needed - 1])
        low = float(np.sort(lower)[needed - 1])
    return (
        Estimate(effect=effect, low=low, high=high, p_value=p_value, inference="randomisation of the treated geos"),
        contrasts,
    )
