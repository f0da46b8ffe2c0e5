"""Draws moved to where the new posterior is, by affine maps whose moments the weights give, instead of a refit.

A map T of the draws z has density g(T^-1(z')) / |det A|: the weights stay exact whatever the map, and a good map
makes them even. Three maps are tried and the best is kept while it helps: a shift to the weighted mean, that
with the weighted marginal scale, that with the weighted covariance.
Source: Paananen, Piironen, Buerkner and Vehtari (2021), Implicitly adaptive importance sampling, algorithm 1, without
its split proposals (they serve expectations of one observation; a published quantity has its own k-hat here) and with
moments of tempered weights where the weights themselves rest on a few draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.watch.monitor import Update, importance_update

ROUNDS = 16
EASY = 0.5
"""k-hat at which a further map is not worth its evaluations."""
DRAWS_A_DIMENSION = 10.0
"""Effective draws a dimension that moments are taken from, by weights raised to a power below 1 where the weights
themselves give fewer: the draws then go only part of the way, and further in the next round."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """`z` (n_draws, n_dimensions), moved; `log_ratio` (n_draws,) of the target over the moved draws' density;
    `moves`: names of the maps that were kept, in order."""

    z: FloatArray
    log_ratio: FloatArray
    update: Update
    moves: tuple[str, ...]


def match_moments(
    z: FloatArray,
    log_proposal: FloatArray,
    log_target: Callable[[FloatArray], FloatArray],
    *,
    rounds: int = ROUNDS,
) -> Matched:
    """Move draws until their weights are trusted, or no map helps.

    Parameters
    ----------
    z : (n_draws, n_dimensions), unconstrained draws
    log_proposal : (n_draws,), log-density that they were drawn from, up to a constant
    log_target : (n, n_dimensions) -> (n,), log-density asked for, up to a constant
    """
    best = _weighed(z, log_target(z) - log_proposal, ())
    floor = DRAWS_A_DIMENSION * z.shape[1]
    # A moved draw's proposal density is that of the draw it came from, less log |det A|: the same constant for all.
    for _ in range(rounds):
        if best.update.trusted and best.update.k_hat <= EASY:
            break
        power, weights = _tempered(best, floor)
        tried = []
        for name, move in (("mean", _shift), ("variance", _scale), ("covariance", _rotate)):
            moved = move(best.z, weights)
            if moved is not None:
                tried.append(_weighed(moved, log_target(moved) - log_proposal, (*best.moves, name)))
        better = max(tried, key=lambda one: _merit(one, floor), default=best)
        if _merit(better, floor) <= (min(power * 1.01, 1.0), -best.update.k_hat + 1e-3):
            break
        best = better
    return best


def _weighed(z: FloatArray, log_ratio: FloatArray, moves: tuple[str, ...]) -> Matched:
    return Matched(z=z, log_ratio=log_ratio, update=importance_update(log_ratio), moves=moves)


def _merit(one: Matched, floor: float) -> tuple[float, float]:
    """How much of the way the draws could go next, then how small k-hat is."""
    return _tempered(one, floor)[0], -one.update.k_hat


def _tempered(one: Matched, floor: float) -> tuple[float, FloatArray]:
    """Largest power up to 1 of the ratios that leaves `floor` effective draws, and the weights it gives."""

    def weights(power: float) -> FloatArray:
        scaled = power * np.maximum(one.log_ratio - one.log_ratio.max(), -1e4)
        raw = np.exp(scaled)
        return np.asarray(raw / raw.sum())

    def effective(power: float) -> float:
        return float(1 / np.square(weights(power)).sum())

    if one.update.ess >= floor:
        return 1.0, one.update.weights
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= floor else (low, middle)
    return low, weights(low)


def _shift(z: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(z + (weights @ z - z.mean(axis=0)))


def _scale(z: FloatArray, weights: FloatArray) -> FloatArray | None:
    mean, centre = weights @ z, z.mean(axis=0)
    aimed, now = np.sqrt(weights @ (z - mean) ** 2), z.std(axis=0)
    if np.any(now <= 0) or np.any(aimed <= 0):
        return None
    return np.asarray(mean + (z - centre) * (aimed / now))


def _rotate(z: FloatArray, weights: FloatArray) -> FloatArray | None:
    """Draws with the weighted mean and covariance: A = L_new L_old^-1 of the two Cholesky factors."""
    mean, centre = weights @ z, z.mean(axis=0)
    try:
        aimed = np.linalg.cholesky(((z - mean) * weights[:, None]).T @ (z - mean))
        now = np.linalg.cholesky(np.cov(z.T, bias=True).reshape(z.shape[1], -1))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(mean + np.linalg.solve(now, (z - centre).T).T @ aimed.T)
