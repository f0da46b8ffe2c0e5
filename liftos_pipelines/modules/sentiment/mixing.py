"""Two opinions on one text become one: a weighted product of the fast tier's and the encoder's probabilities.

Weights and class offsets are fitted a language on texts that neither saw, so the result is calibrated; a language
where the encoder does not help measurably gets no mixing, and is never encoded.
Sources: Genest and Zidek (1986), Combining probability distributions (logarithmic pool); Guo et al. (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from liftos_pipelines.modules.sentiment.linear import softmax

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """`softmax(fast * log p_fast + encoder * logits + offsets)`; offsets sum to zero."""

    fast: float
    encoder: float
    offsets: tuple[float, ...]

    def apply(self, fast: Array, logits: Array) -> Array:
        """(n, 3) probabilities of (n, 3) calibrated fast probabilities and (n, 3) encoder logits."""
        return softmax(self.fast * _log(fast) + self.encoder * logits + np.asarray(self.offsets))

    def to_facts(self) -> dict[str, Any]:
        return {"fast": self.fast, "encoder": self.encoder, "offsets": list(self.offsets)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Mixing:
        return cls(fast=float(facts["fast"]), encoder=float(facts["encoder"]), offsets=tuple(facts["offsets"]))


def fit_mixing(fast: Array, logits: Array | None, labels: Ints, *, ridge: float = 5.0) -> Mixing:
    """Weights and offsets that maximise the likelihood of held-out labels.

    Parameters
    ----------
    fast : (n, 3) the fast tier's calibrated probabilities, made without these labels
    logits : (n, 3) the encoder's, likewise; None fits the fast tier alone
    ridge : pulls towards trusting the fast tier as it is; weighs as much as that many texts
    """
    n, k = fast.shape
    said = _log(fast)
    other = np.zeros_like(said) if logits is None else logits
    truth = np.zeros((n, k))
    truth[np.arange(n), labels] = 1.0
    start = np.concatenate(([1.0, 0.0], np.zeros(k)))

    def loss(parameters: Array) -> tuple[float, Array]:
        z = parameters[0] * said + parameters[1] * other + parameters[2:]
        top = z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top
        residual = np.exp(z - log_sum) - truth
        change = parameters - start
        slope = np.concatenate(([(residual * said).sum(), (residual * other).sum()], residual.sum(axis=0)))
        return float((log_sum.sum() - (z * truth).sum()) + ridge * (change @ change)), slope + 2 * ridge * change

    bounds = [(0.0, 5.0), (0.0, 0.0 if logits is None else 5.0)] + [(-5.0, 5.0)] * k
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    offsets = found[2:] - found[2:].mean()
    return Mixing(fast=float(found[0]), encoder=float(found[1]), offsets=tuple(float(value) for value in offsets))


def cross_fitted(
    fast: Array, logits: Array | None, labels: Ints, *, seed: int, folds: int = 10, ridge: float = 5.0
) -> Array:
    """(n, 3) probabilities of texts left out, fold by fold, of the mixing's own fit."""
    fold = np.random.default_rng(seed).permutation(labels.size) % folds
    out = np.empty_like(fast)
    for k in range(folds):
        rest, left = fold != k, fold == k
        one = fit_mixing(fast[rest], None if logits is None else logits[rest], labels[rest], ridge=ridge)
        out[left] = one.apply(fast[left], np.zeros_like(fast[left]) if logits is None else logits[left])
    return out


def gain(fast: Array, mixed: Array, labels: Ints, *, seed: int, replicates: int = 1000) -> tuple[float, float, float]:
    """Mean fall in log loss from `fast` to `mixed` with a 90 % bootstrap interval over texts."""
    rows = np.arange(labels.size)
    fall = -_log(fast)[rows, labels] + _log(mixed)[rows, labels]
    rng = np.random.default_rng(seed)
    draws = fall[rng.integers(0, labels.size, size=(replicates, labels.size))].mean(axis=1)
    low, high = np.percentile(draws, [5, 95])
    return float(fall.mean()), float(low), float(high)


def debiased_calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Calibration error without the part that chance alone gives, never below zero.

    Squared gaps of equally filled bins, each less the variance of its accuracy; the root of their weighted mean. A
    perfectly calibrated model has a plain error well above zero on a few hundred texts; this one is near zero there.
    Source: Kumar, Liang and Ma (2019), Verified uncertainty calibration.
    """
    if confidence.size < 2 * bins:
        return float("nan")
    total = 0.0
    for part in np.array_split(np.argsort(confidence, kind="stable"), bins):
        accuracy = float(correct[part].mean())
        gap = float(confidence[part].mean()) - accuracy
        total += part.size * (gap**2 - accuracy * (1 - accuracy) / (part.size - 1))
    return float(np.sqrt(max(0.0, total / confidence.size)))


def _log(probabilities: Array) -> Array:
    return np.log(np.clip(probabilities, 1e-9, 1.0))
