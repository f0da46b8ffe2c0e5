"""A linear probe on text vectors: whiten what varies within a class, then multinomial logistic regression.

Whitening by the shrunk within-class covariance is the metric of linear discriminant analysis; in it, directions that
tell texts apart but not classes stop counting. Sources: Friedman (1989), Regularized discriminant analysis; Hastie,
Tibshirani and Friedman (2009), The elements of statistical learning, sections 4.3 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FloatArray = NDArray[np.float64]
Single = NDArray[np.float32]

SHRINKAGE = 0.5
"""Share of the within-class covariance that is replaced by its mean variance."""
INVERSE_PENALTY = 10.0
"""Loss of all rows against half the squared weights."""
ITERATIONS, TOLERANCE = 60, 3e-4


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """From unit vectors (n, d) to unit vectors (n, d) in which classes differ by direction."""

    centre: Single
    turn: Single

    @classmethod
    def of(cls, vectors: Single, codes: NDArray[np.int64]) -> Whitening:
        """Of labelled vectors, (n, d) and (n,) class codes; without two texts of one class, the plain centring."""
        wide = vectors.astype(float)
        centre = wide.mean(axis=0)
        means = np.zeros((int(codes.max()) + 1, wide.shape[1]))
        np.add.at(means, codes, wide)
        means /= np.maximum(np.bincount(codes)[:, None], 1)
        within = wide - means[codes]
        covariance = within.T @ within / len(wide)
        spread = float(np.trace(covariance)) / wide.shape[1]
        if spread <= 0:
            return cls(centre=centre.astype(np.float32), turn=np.eye(wide.shape[1], dtype=np.float32))
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(wide.shape[1])
        values, axes = np.linalg.eigh(shrunk)
        return cls(centre=centre.astype(np.float32), turn=(axes * np.sqrt(spread / values)).astype(np.float32))

    def __call__(self, vectors: Single) -> Single:
        turned = (vectors - self.centre) @ self.turn
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        return np.asarray(turned / np.where(length > 0, length, 1), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Logits of k classes from whitened vectors: weights (k, d) and intercepts (k,)."""

    weights: Single
    intercepts: Single

    @classmethod
    def of(cls, white: Single, codes: NDArray[np.int64], classes: int) -> Probe:
        """Fitted by L-BFGS from the class means; deterministic. A class without a row gets its penalty's minimum."""
        rows, d = white.shape
        target = np.zeros((rows, classes), dtype=np.float32)
        target[np.arange(rows), codes] = 1
        inverse = np.float32(1 / INVERSE_PENALTY)

        def loss(flat: FloatArray) -> tuple[float, FloatArray]:
            w = flat.reshape(classes, d + 1).astype(np.float32)
            logits = white @ w[:, :d].T + w[:, d]
            logits -= logits.max(axis=1, keepdims=True)
            p = np.exp(logits)
            total = p.sum(axis=1, keepdims=True)
            value = float(np.log(total).sum()) - float((logits * target).sum())
            value += float((w[:, :d] ** 2).sum() * inverse / 2)
            p /= total
            p -= target
            slope = np.empty_like(w)
            slope[:, :d] = p.T @ white + inverse * w[:, :d]
            slope[:, d] = p.sum(axis=0)
            return value / rows, slope.astype(float).ravel() / rows

        start = np.zeros((classes, d + 1))
        np.add.at(start[:, :d], codes, white.astype(float))
        start[:, :d] *= 10 / np.maximum(np.bincount(codes, minlength=classes)[:, None], 1)
        found = optimize.minimize(
            loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "gtol": TOLERANCE}
        ).x.reshape(classes, d + 1)
        return cls(weights=found[:, :d].astype(np.float32), intercepts=found[:, d].astype(np.float32))

    def logits(self, white: Single) -> FloatArray:
        """(q, k)"""
        return np.asarray(white @ self.weights.T + self.intercepts, dtype=float)
