"""Who leads, as probabilities: draws of several brands coupled as their prompts couple them, then compared."""

from __future__ import annotations

import numpy as np

from liftos_pipelines.stats import FloatArray


def couple(draws: FloatArray, prompts: FloatArray, *, seed: int) -> FloatArray:
    """Draws rearranged within each series so that series go together as they do over prompts.

    Brands, engines and months are measured on the same prompts: a panel that happens to hold many prompts about boots
    lifts every maker of boots. Errors of two estimates therefore correlate as the prompts' rates do. Each series keeps
    its own draws; only their order changes (Iman and Conover 1982). Correlations are shrunk to none by as much as
    they are noise (Schäfer and Strimmer 2005).

    Parameters
    ----------
    draws : (n_draws, n_series), independent over series
    prompts : (n_prompts, n_series), each prompt's rate in each series, NaN where it was not asked
    seed : of the coupling noise

    Returns
    -------
    (n_draws, n_series)
    """
    known = np.isfinite(prompts)
    count = known.sum(axis=0)
    filled = np.where(known, prompts, 0.0)
    centred = np.where(known, filled - filled.sum(axis=0) / np.maximum(count, 1), 0.0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    shrunk = shrinkage(unit)
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((len(draws), len(prompts))) @ unit
    own = rng.standard_normal(draws.shape)
    together = np.sqrt(1 - shrunk) * common + np.where(size > 0, np.sqrt(shrunk), 1.0) * own
    places = together.argsort(axis=0).argsort(axis=0)
    return np.asarray(np.take_along_axis(np.sort(draws, axis=0), places, axis=0))


def shrinkage(unit: FloatArray) -> float:
    """How far correlations are pulled to zero, in [0, 1], from columns (n_prompts, n_series) of unit length."""
    n, series = unit.shape
    if n < 3 or series < 2:
        return 1.0
    correlation = unit.T @ unit
    noise = ((unit**2).T @ (unit**2) - correlation**2 / n) * n / (n - 1)
    off = ~np.eye(series, dtype=bool)
    strength = float((correlation[off] ** 2).sum())
    return float(np.clip(noise[off].sum() / strength, 0.0, 1.0)) if strength > 0 else 1.0


def rank_probabilities(draws: FloatArray) -> FloatArray:
    """(n_series, n_series): the probability that a series (row) has rank 1, 2, ... (column); 1 is the highest."""
    ranks = (-draws).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    size = draws.shape[1]
    counts = np.zeros((size, size))
    for series in range(size):
        counts[series] = np.bincount(ranks[:, series], minlength=size)
    return counts / len(draws)


def above(draws: FloatArray) -> FloatArray:
    """(n_series, n_series): the probability that a series (row) lies above another (column); ties count half."""
    size = draws.shape[1]
    out = np.empty((size, size))
    for series in range(size):
        mine = draws[:, [series]]
        out[series] = (mine > draws).mean(axis=0) + 0.5 * (mine == draws).mean(axis=0)
    return out


def rank_bounds(probabilities: FloatArray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest rank of the central interval, each (n_series,)."""
    cumulative = probabilities.cumsum(axis=1)
    tail = (1 - level) / 2
    last = probabilities.shape[1]
    low = np.minimum((cumulative < tail + 1e-12).sum(axis=1) + 1, last)
    high = np.minimum((cumulative < 1 - tail - 1e-12).sum(axis=1) + 1, last)
    return low, high
