"""Logistic regression on sparse features, one class of several or each label by itself; softmax and sigmoid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, special

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Row-wise softmax, stable for large values; same shape."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def sigmoid(logits: Array) -> Array:
    """Element-wise logistic function; same shape."""
    return np.asarray(special.expit(logits))


def fit_sigmoids(
    features: sparse.csr_matrix,
    labels: Array,
    *,
    penalty: float,
    sample_weight: Array | None = None,
    iterations: int = 60,
) -> tuple[Array, Array]:
    """Weights and bias of one logistic regression a column of `labels`, all with the same ridge penalty.

    Parameters
    ----------
    features : (n, d)
    labels : (n, k), 0 or 1

    Returns
    -------
    weights (d, k), bias (k,)
    """
    n, k = labels.shape
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)

    def loss(logits: Array) -> tuple[float, Array]:
        losses = np.logaddexp(0.0, logits) - labels * logits
        return float((weight @ losses).sum()), (special.expit(logits) - labels) * weight[:, None]

    return _minimise(features, k, loss, start=np.zeros((n, k)), total=weight.sum(), penalty=penalty, most=iterations)


def fit_softmax(
    features: sparse.csr_matrix,
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    penalty: float,
    sample_weight: Array | None = None,
    offset: Array | None = None,
    iterations: int = 60,
) -> tuple[Array, Array]:
    """Weights and bias that minimise `sum(weight * cross-entropy) + penalty / 2 * |weights|**2`.

    Parameters
    ----------
    features : (n, d), rows of about unit length
    labels : (n,), integers in [0, n_classes)
    sample_weight : (n,), 1 when absent
    offset : (n, n_classes), logits of a model to start from: the result is then the change to that model,
        pulled towards no change (a Gaussian prior centred on the given model)

    Returns
    -------
    weights (d, n_classes), bias (n_classes,)

    Raises
    ------
    ValueError : no row, or a label outside the classes
    """
    n = features.shape[0]
    if n == 0:
        raise ValueError("fit_softmax: no labelled text to learn from")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"fit_softmax: labels must lie in 0..{n_classes - 1}, found {labels.min()}..{labels.max()}")
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    start = np.zeros((n, n_classes)) if offset is None else offset
    truth = np.zeros((n, n_classes))
    truth[np.arange(n), labels] = 1.0

    def loss(logits: Array) -> tuple[float, Array]:
        top = logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        residual = (np.exp(logits - log_sum[:, None]) - truth) * weight[:, None]
        return float(weight @ (log_sum - logits[np.arange(n), labels])), residual

    return _minimise(features, n_classes, loss, start=start, total=weight.sum(), penalty=penalty, most=iterations)


def _minimise(
    features: sparse.csr_matrix,
    k: int,
    loss_of: Callable[[Array], tuple[float, Array]],
    *,
    start: Array,
    total: float,
    penalty: float,
    most: int,
) -> tuple[Array, Array]:
    """Ridge-penalised weights (d, k) and bias (k,); `loss_of` gives loss and residuals (n, k) for (n, k) logits."""
    d = features.shape[1]
    transposed = features.T.tocsr()

    def objective(flat: Array) -> tuple[float, Array]:
        table = flat.reshape(d + 1, k)
        logits = start + features @ table[:d].astype(np.float32) + table[d]
        fit, residual = loss_of(logits)
        loss = fit + penalty / 2 * float((table[:d] ** 2).sum())
        gradient = np.empty_like(table)
        gradient[:d] = transposed @ residual.astype(np.float32)
        gradient[:d] += penalty * table[:d]
        gradient[d] = residual.sum(axis=0)
        return loss / total, gradient.ravel() / total

    found = optimize.minimize(
        objective,
        np.zeros((d + 1) * k),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": most, "maxcor": 8, "ftol": 1e-7, "gtol": 1e-7},
    )
    table = found.x.reshape(d + 1, k)
    return table[:d], table[d]
