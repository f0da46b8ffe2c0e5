"""Placebos of a geo test: the same estimate where nothing happened, in other geos and at earlier dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liftos_pipelines.modules.causal.experiments.contrast import TIE, assignments, contrast_weights
from liftos_pipelines.modules.causal.experiments.did import changes
from liftos_pipelines.modules.causal.experiments.geo_panel import FloatArray, Placed
from liftos_pipelines.modules.causal.experiments.synthetic import MIN_PRE, fit_weights, treated_series

SPACE_LIMIT = 200
MIN_TIMES = 5


def synthetic_in_space(placed: Placed, *, seed: int = 0, limit: int = SPACE_LIMIT) -> tuple[float, FloatArray]:
    """p-value of the ratio of misfit in the test's weeks to that before, and the placebos' relative effects.

    Every assignment of as many geos is treated alike, the actual one among them, so the p-value is exact for geos
    drawn at random. Source: Abadie, Diamond and Hainmueller (2010), section 2.4.
    """
    scaled, base, n_pre = placed.scaled, placed.base, placed.n_pre
    ratios, effects = [], []
    for way in assignments(placed.treated, seed=seed, limit=limit):
        gap = fit_weights(treated_series(scaled, base, way), scaled[~way], slice(0, n_pre)).gap
        before, after = float((gap[:n_pre] ** 2).mean()), float((gap[n_pre:] ** 2).mean())
        ratios.append(after / before if before > 0 else np.inf)
        effects.append(float(gap[n_pre:].mean()))
    size = np.array(ratios)
    return float(np.mean(size >= size[0] * (1 - TIE))), np.array(effects[1:])


def in_time(placed: Placed, method: str) -> FloatArray:
    """Relative effects found in windows of the same length before the test, each from the weeks before it."""
    length, least = placed.n_window, max(MIN_PRE, placed.n_pre // 3)
    found = []
    for start in range(least, placed.n_pre - length + 1, max(1, length // 2)):
        earlier = replace(placed, outcome=placed.outcome[:, : start + length], n_pre=start)
        if not (earlier.base > 0).all():
            continue
        if method == "did":
            found.append(float(contrast_weights(earlier.base, placed.treated) @ changes(earlier)))
        else:
            scaled = earlier.scaled
            target = treated_series(scaled, earlier.base, placed.treated)
            gap = fit_weights(target, scaled[~placed.treated], slice(0, start)).gap
            found.append(float(gap[start:].mean()))
    return np.array(found)


def rank(effect: float, placebos: FloatArray) -> float | None:
    """Share of dates, the test's own among them, with as large an effect; None with too few dates."""
    if len(placebos) < MIN_TIMES:
        return None
    return float((1 + np.sum(np.abs(placebos) >= abs(effect) - TIE)) / (1 + len(placebos)))


def ratio(effect: float, placebos: FloatArray) -> float | None:
    """The effect's size as a multiple of the placebos' root mean square; None without a placebo."""
    spread = float(np.sqrt((placebos**2).mean())) if len(placebos) else 0.0
    return abs(effect) / spread if spread > 0 else None
