"""Hierarchical posterior of mention rates: brands lean on each other, and prompts are random.

For one engine and month, brand b and prompt p (see `posterior_model`):

    named ~ Binomial(asked, logistic(alpha[b] + s[b] u[p, b])),   u ~ Normal(0, 1)
    a[b] ~ Normal(m, S),   log s[b] ~ Normal(m_s, S_s),   a = alpha / sqrt(1 + c s^2)

Prompt effects are integrated out. What brands share (m, S, m_s, S_s) is estimated by expectation maximisation under
weak hyperpriors (empirical Bayes); each brand's two parameters are then integrated on a grid along the principal axes
of their posterior, so nothing is sampled until draws are wanted and there is no chain to converge. `edge` is the
probability on the grid's rim: what it may have cut off.

Months are not smoothed into each other. The same prompts are asked every month and keep their leanings, so earlier
months hold next to no further evidence about a level; a random walk that takes them for new evidence is overconfident.
Months, engines and brands are coupled afterwards, by how the prompts tie them (`ranks.couple`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liftos_pipelines.modules.surfacing.visibility.posterior_model import (
    Patterns,
    gradient,
    log_likelihood,
    marginal_rates,
    patterns_of,
)
from liftos_pipelines.stats import FloatArray

DRAWS = 1000
_COARSE, _FINE = (13, 11), (31, 21)
_GRID_REACH = (5.0, 4.5)
_SHRUNK_STEPS = np.array([1.0, 0.5, 0.2, 0.05, 0.0])


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the brands of an engine share; the defaults are the hyperpriors' centres.

    `level`, `level_sd`: logits of the brands' rates; `spread`, `spread_sd`: log standard deviation of prompts' leanings
    (e^1.4 = 4 logits give a within-prompt correlation of about .7).
    """

    level: float = -1.5
    level_sd: float = 1.5
    spread: float = 1.4
    spread_sd: float = 0.6


@dataclass(frozen=True, kw_only=True)
class EnginePosterior:
    """`rates`, `icc` : (draws, n_brands); `edge` : (n_brands,), probability on the grid's rim; `shared` as found."""

    rates: FloatArray
    icc: FloatArray
    edge: FloatArray
    shared: Shared


def sample_engine(named: FloatArray, asked: FloatArray, *, seed: int, draws: int = DRAWS) -> EnginePosterior:
    """Posterior of the brands of one engine and month.

    Parameters
    ----------
    named, asked : (n_prompts, n_brands), answers naming each brand and answers
    seed, draws : of the independent draws
    """
    patterns = patterns_of(named, asked)
    shared, theta, covariance = _fit(patterns)
    centre, precision = _prior(shared)
    for sizes in (_COARSE, _FINE):
        grid, root, weights, steps = _grid(patterns, theta, covariance, centre, precision, sizes)
        theta = np.einsum("jb,jbd->bd", weights, grid)
        off = grid - theta
        covariance = np.einsum("jb,jbd,jbe->bde", weights, off, off)
    z = _standard_grid(_FINE)
    rim = (np.abs(z) >= np.array(_GRID_REACH) - 1e-9).any(axis=1)
    rng = np.random.default_rng(seed)
    picked = np.stack([_systematic(weights[:, b], draws, rng) for b in range(patterns.n_brands)], axis=1)
    chosen = np.take_along_axis(grid, picked[:, :, None], axis=0)
    within = rng.uniform(-0.5, 0.5, chosen.shape) * steps
    rates, icc = marginal_rates(patterns, chosen + np.einsum("bde,jbe->jbd", root, within))
    return EnginePosterior(rates=rates, icc=icc, edge=weights[rim].sum(axis=0), shared=shared)


def _prior(shared: Shared) -> tuple[FloatArray, FloatArray]:
    """Mean (2,) and precision (2, 2) of each brand's parameters."""
    return np.array([shared.level, shared.spread]), np.diag([shared.level_sd**-2, shared.spread_sd**-2])


def _fit(patterns: Patterns) -> tuple[Shared, FloatArray, FloatArray]:
    """What brands share, the modes (n_brands, 2) and their covariances (n_brands, 2, 2), by turns."""
    shared = Shared()
    theta = np.tile(_prior(shared)[0], (patterns.n_brands, 1))
    covariance = np.empty(0)
    for rounds in (3, 1, 1, 1, 1, 1, 3):
        for _ in range(rounds):
            theta, covariance = _newton(patterns, theta, *_prior(shared))
        if rounds == 1:
            shared = _re_estimated(shared, theta, covariance)
    return shared, theta, covariance


def _re_estimated(shared: Shared, theta: FloatArray, covariance: FloatArray) -> Shared:
    """One step of expectation maximisation; hyperpriors count as a few brands at the defaults of `Shared`."""
    before, brands = Shared(), len(theta)
    variance = np.diagonal(covariance, axis1=1, axis2=2)

    def centre(parameter: int, sd: float, prior: float, prior_sd: float) -> float:
        weight = brands / sd**2
        return float((theta[:, parameter].mean() * weight + prior / prior_sd**2) / (weight + prior_sd**-2))

    def spread(parameter: int, mean: float, prior: float, worth: float) -> float:
        squares = ((theta[:, parameter] - mean) ** 2 + variance[:, parameter]).sum()
        return float(np.sqrt((squares + worth * prior**2) / (brands + worth)))

    level = centre(0, shared.level_sd, before.level, 2.0)
    lasting = centre(1, shared.spread_sd, before.spread, 0.5)
    return replace(
        shared,
        level=level,
        level_sd=spread(0, level, before.level_sd, 3.0),
        spread=lasting,
        spread_sd=spread(1, lasting, before.spread_sd, 6.0),
    )


def _newton(
    patterns: Patterns, theta: FloatArray, centre: FloatArray, precision: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """One damped Newton step for every brand, and the covariance where it began."""
    size, width = theta.shape[1], 1e-4
    shifts = np.concatenate([np.zeros((1, size)), width * np.eye(size), -width * np.eye(size)])
    slopes = gradient(patterns, theta[None] + shifts[:, None, :])
    curvature = -(slopes[1 : size + 1] - slopes[size + 1 :]).transpose(1, 0, 2) / (2 * width)
    values, vectors = np.linalg.eigh((curvature + curvature.transpose(0, 2, 1)) / 2 + precision)
    values = np.maximum(values, 0.3 * np.linalg.eigvalsh(precision)[0])
    covariance = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
    uphill = slopes[0] - (theta - centre) @ precision
    step = np.einsum("bde,be->bd", covariance, uphill)
    step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
    trials = theta[None] + _SHRUNK_STEPS[:, None, None] * step[None]
    best = _log_posterior(patterns, trials, centre, precision).argmax(axis=0)
    return trials[best, np.arange(len(theta))], covariance


def _log_posterior(patterns: Patterns, theta: FloatArray, centre: FloatArray, precision: FloatArray) -> FloatArray:
    off = theta - centre
    return np.asarray(log_likelihood(patterns, theta) - 0.5 * np.einsum("jbd,de,jbe->jb", off, precision, off))


def _standard_grid(sizes: tuple[int, int]) -> FloatArray:
    """(points, 2), equally spaced in each axis."""
    axes = [np.linspace(-reach, reach, size) for reach, size in zip(_GRID_REACH, sizes, strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)


def _grid(
    patterns: Patterns,
    theta: FloatArray,
    covariance: FloatArray,
    centre: FloatArray,
    precision: FloatArray,
    sizes: tuple[int, int],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Points (points, brands, 2), the root of the covariance, the points' probabilities, and the steps between them."""
    root: FloatArray = np.linalg.cholesky(covariance + 1e-12 * np.eye(2)).astype(float)
    points = theta + np.einsum("bde,je->jbd", root, _standard_grid(sizes))
    log_weights = _log_posterior(patterns, points, centre, precision)
    weights = np.exp(log_weights - log_weights.max(axis=0))
    steps = np.array([2 * reach / (size - 1) for reach, size in zip(_GRID_REACH, sizes, strict=True)])
    return points, root, weights / weights.sum(axis=0), steps


def _systematic(weights: FloatArray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions drawn in proportion to weights with little noise, in random order."""
    points = (rng.random() + np.arange(size)) / size
    return rng.permutation(np.searchsorted(np.cumsum(weights), points).clip(max=len(weights) - 1))
