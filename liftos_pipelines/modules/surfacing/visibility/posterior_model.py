"""The likelihood of named-or-not counts with prompt effects integrated out, and its gradient, for many brands at once.

    y[p] ~ Binomial(n[p], logistic(alpha + s u[p])),   u ~ Normal(0, 1)

The prompts' leanings `u` are summed out on equally spaced nodes, whose error falls exponentially with their spacing;
the spacing follows the number of answers a prompt has. What is left are two parameters a brand, `theta`: log s, and the
level a = alpha / k, k = sqrt(1 + c s^2), which is nearly the logit of the rate averaged over prompts (Zeger, Liang and
Albert 1988) and so hardly depends on the spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.stats import FloatArray

ATTENUATION = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
_REACH = 5.0
_WIDEST_STEP, _NARROWEST_STEP = 0.25, 0.02
_USUAL_SPREAD = 8.0
_MOST_CELLS = 2_000_000
"""Largest working array: draws are taken in parts that stay below it."""


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """The counts of one engine and month, equal prompts counted once.

    `named`, `asked` : (n_cells,), the distinct pairs; `weight` : (n_brands, n_cells), prompts with that pair
    `nodes`, `log_weights` : (n_nodes,), where leanings are summed and with which normal weights
    """

    named: FloatArray
    asked: FloatArray
    weight: FloatArray
    nodes: FloatArray
    log_weights: FloatArray

    @property
    def n_brands(self) -> int:
        return int(self.weight.shape[0])


def patterns_of(named: FloatArray, asked: FloatArray) -> Patterns:
    """From counts, both (n_prompts, n_brands). Prompts that were not asked say nothing and are left out."""
    pairs = np.stack([asked, named], axis=-1).reshape(-1, 2)
    cells, where = np.unique(pairs, axis=0, return_inverse=True)
    place = where.reshape(named.shape)
    weight = np.stack([np.bincount(place[:, b], minlength=len(cells)) for b in range(named.shape[1])]).astype(float)
    kept = cells[:, 0] > 0
    cells, weight = cells[kept], weight[:, kept]
    # A prompt's likelihood is about 2 / sqrt(n) logits wide; steps must not jump over it.
    most = max(float(cells[:, 0].max(initial=1.0)), 1.0)
    step = float(np.clip(2.4 / np.sqrt(most) / _USUAL_SPREAD, _NARROWEST_STEP, _WIDEST_STEP))
    half: NDArray[np.float64] = np.arange(step, _REACH + step, step)
    nodes = np.concatenate([-half[::-1], [0.0], half])
    log_weights = -0.5 * nodes**2
    return Patterns(
        asked=cells[:, 0],
        named=cells[:, 1],
        weight=weight,
        nodes=nodes,
        log_weights=log_weights - np.log(np.exp(log_weights).sum()),
    )


def log_likelihood(patterns: Patterns, theta: FloatArray) -> FloatArray:
    """(draws, brands) from parameters (draws, brands, 2); without the binomial constants."""
    out = []
    for part in _parts(patterns, len(theta)):
        joint, _ = _joint(patterns, theta[part])
        out.append((_summed(joint) * patterns.weight).sum(axis=-1))
    return np.concatenate(out)


def gradient(patterns: Patterns, theta: FloatArray) -> FloatArray:
    """Gradient of `log_likelihood`, (draws, brands, 2), by Fisher's identity."""
    out = []
    for part in _parts(patterns, len(theta)):
        joint, eta = _joint(patterns, theta[part])
        belief = np.exp(joint - _summed(joint)[..., None]) * patterns.weight[..., None]
        rate = 1 / (1 + np.exp(-np.clip(eta, -700, 700)))
        slope = belief * (patterns.named[:, None] - patterns.asked[:, None] * rate[:, :, None, :])
        to_alpha, to_spread = slope.sum(axis=(-1, -2)), (slope @ patterns.nodes).sum(axis=-1)
        a, s, k = _split(theta[part])
        out.append(np.stack([to_alpha * k, s * (to_spread + to_alpha * a * ATTENUATION * s / k)], axis=-1))
    return np.concatenate(out)


def marginal_rates(patterns: Patterns, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rates averaged over prompts and within-prompt correlations of two answers, both (draws, brands)."""
    weights = np.exp(patterns.log_weights)
    rates, squares = [], []
    for part in _parts(patterns, len(theta)):
        p = 1 / (1 + np.exp(-np.clip(_predictors(patterns, theta[part]), -700, 700)))
        rates.append(p @ weights)
        squares.append(p**2 @ weights)
    rate, square = np.concatenate(rates), np.concatenate(squares)
    return rate, (square - rate**2) / np.maximum(rate * (1 - rate), 1e-300)


def _split(theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    s = np.exp(theta[..., 1])
    return theta[..., 0], s, np.sqrt(1 + ATTENUATION * s**2)


def _predictors(patterns: Patterns, theta: FloatArray) -> FloatArray:
    """(draws, brands, nodes)"""
    a, s, k = _split(theta)
    return np.asarray((a * k)[..., None] + s[..., None] * patterns.nodes)


def _joint(patterns: Patterns, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """log of likelihood times node weight, (draws, brands, cells, nodes), and the predictors."""
    eta = _predictors(patterns, theta)
    softplus = np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))
    joint = patterns.named[:, None] * eta[:, :, None, :] - patterns.asked[:, None] * softplus[:, :, None, :]
    joint += patterns.log_weights
    return joint, eta


def _summed(joint: FloatArray) -> FloatArray:
    top = joint.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(joint - top).sum(axis=-1)) + top[..., 0])


def _parts(patterns: Patterns, draws: int) -> Iterator[slice]:
    cells = patterns.n_brands * len(patterns.nodes) * len(patterns.named)
    size = max(1, _MOST_CELLS // cells)
    for start in range(0, draws, size):
        yield slice(start, start + size)
