"""Two opinions on one text become one: a weighted product of the fast tier's and the encoder's probabilities.

What the encoder's other heads say (valence, 28 emotions) counts as evidence too, with small weights: those heads learnt
from far more texts than the sentiment labels of one language. Weights and class offsets are fitted a language on texts
that neither tier saw, so the result is calibrated; a language where the encoder does not help measurably gets no
mixing, and is never encoded.
Sources: Genest and Zidek (1986), Combining probability distributions (logarithmic pool); Guo et al. (2017), On
calibration of modern neural networks; Wolpert (1992), Stacked generalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from liftos_pipelines.modules.sentiment.reading.linear import softmax

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

EVIDENCE_RIDGE = 50.0
"""Pull of the evidence's weights to zero: 30 columns are fitted on a few hundred texts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """What the encoder says of n texts: sentiment logits (n, 3), and evidence (n, m) of its other heads."""

    logits: Array
    evidence: Array

    def rows(self, rows: NDArray[Any]) -> Heard:
        """The same of some texts."""
        return Heard(logits=self.logits[rows], evidence=self.evidence[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixing:
    """`softmax(fast * log p_fast + encoder * logits + evidence @ weights + offsets)`; weights (m, 3)."""

    fast: float
    encoder: float
    weights: Array
    offsets: Array

    def apply(self, fast: Array, heard: Heard) -> Array:
        """(n, 3) probabilities of (n, 3) calibrated fast probabilities and what the encoder says."""
        said = self.fast * _log(fast) + self.encoder * heard.logits + heard.evidence @ self.weights
        return softmax(said + self.offsets)

    def to_facts(self) -> dict[str, Any]:
        return {
            "fast": self.fast,
            "encoder": self.encoder,
            "weights": np.round(self.weights, 5).tolist(),
            "offsets": self.offsets.tolist(),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Mixing:
        return cls(
            fast=float(facts["fast"]),
            encoder=float(facts["encoder"]),
            weights=np.asarray(facts["weights"], dtype=float),
            offsets=np.asarray(facts["offsets"], dtype=float),
        )


def fit_mixing(fast: Array, heard: Heard | None, labels: Ints, *, ridge: float = 5.0) -> Mixing:
    """Weights and offsets that maximise the likelihood of held-out labels.

    Parameters
    ----------
    fast : (n, 3) the fast tier's calibrated probabilities, made without these labels
    heard : the encoder's reading, likewise; None fits the fast tier alone
    ridge : pulls towards trusting the fast tier as it is; weighs as much as that many texts
    """
    n, k = fast.shape
    said = _log(fast)
    other = np.zeros_like(said) if heard is None else heard.logits
    evidence = np.zeros((n, 0)) if heard is None else heard.evidence
    m = evidence.shape[1]
    truth = np.zeros((n, k))
    truth[np.arange(n), labels] = 1.0
    start = np.concatenate(([1.0, 0.0], np.zeros(k + m * k)))
    pull = np.concatenate((np.full(2 + k, ridge), np.full(m * k, EVIDENCE_RIDGE)))

    def loss(parameters: Array) -> tuple[float, Array]:
        weights = parameters[2 + k :].reshape(m, k)
        z = parameters[0] * said + parameters[1] * other + evidence @ weights + parameters[2 : 2 + k]
        top = z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top
        residual = np.exp(z - log_sum) - truth
        change = parameters - start
        slope = np.concatenate(
            (
                [(residual * said).sum(), (residual * other).sum()],
                residual.sum(axis=0),
                (evidence.T @ residual).ravel(),
            )
        )
        return float(log_sum.sum() - (z * truth).sum() + pull @ change**2), slope + 2 * pull * change

    bounds = [(0.0, 5.0), (0.0, 0.0 if heard is None else 5.0)] + [(-5.0, 5.0)] * (k + m * k)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    offsets = found[2 : 2 + k] - found[2 : 2 + k].mean()
    return Mixing(fast=float(found[0]), encoder=float(found[1]), weights=found[2 + k :].reshape(m, k), offsets=offsets)


def cross_fitted(
    fast: Array, heard: Heard | None, labels: Ints, *, seed: int, folds: int = 10, ridge: float = 5.0
) -> Array:
    """(n, 3) probabilities of texts left out, fold by fold, of the mixing's own fit."""
    fold = np.random.default_rng(seed).permutation(labels.size) % folds
    out = np.empty_like(fast)
    for k in range(folds):
        rest, left = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        one = fit_mixing(fast[rest], None if heard is None else heard.rows(rest), labels[rest], ridge=ridge)
        nothing = Heard(logits=np.zeros_like(fast[left]), evidence=np.zeros((left.size, one.weights.shape[0])))
        out[left] = one.apply(fast[left], nothing if heard is None else heard.rows(left))
    return out


def gain(fast: Array, mixed: Array, labels: Ints, *, seed: int, replicates: int = 1000) -> tuple[float, float, float]:
    """Mean fall in log loss from `fast` to `mixed` with a 90 % bootstrap interval over texts."""
    rows = np.arange(labels.size)
    fall = -_log(fast)[rows, labels] + _log(mixed)[rows, labels]
    rng = np.random.default_rng(seed)
    draws = fall[rng.integers(0, labels.size, size=(replicates, labels.size))].mean(axis=1)
    low, high = np.percentile(draws, [5, 95])
    return float(fall.mean()), float(low), float(high)


def _log(probabilities: Array) -> Array:
    return np.asarray(np.log(np.clip(probabilities, 1e-9, 1.0)))
