"""Probabilities that mean what they say: temperature and class offsets per language, and when to abstain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from liftos_pipelines.modules.sentiment.reading.linear import softmax

Array = NDArray[np.float64]

POOLED = "pooled"
"""The calibration that serves a language without one of its own."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`softmax(logits / temperature + offsets)`; offsets sum to zero."""

    temperature: float
    offsets: tuple[float, ...]

    def apply(self, logits: Array) -> Array:
        """Calibrated probabilities of (n, classes) logits."""
        return softmax(logits / self.temperature + np.asarray(self.offsets))


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftConfusion:
    """What the classifier says of each class on average: how far its probabilities are pulled together.

    `matrix[c]` is the mean probability vector of texts whose true class is c, over texts that took no part in fitting;
    `counts` are those texts a class. With class shares q, a mean of probabilities has expectation `q @ matrix`.
    Sources: Bella et al. (2010), Quantification via probability estimators; Hopkins and King (2010), A method of
    automated nonparametric content analysis for social science.
    """

    matrix: Array
    counts: Array


def soft_confusion(probabilities: Array, labels: NDArray[np.int64]) -> SoftConfusion:
    """Mean probability vector of each true class, from predictions for left-out texts; a class without texts is NaN."""
    k = probabilities.shape[1]
    counts = np.bincount(labels, minlength=k).astype(float)
    sums = np.zeros((k, k))
    np.add.at(sums, labels, probabilities)
    with np.errstate(invalid="ignore"):
        return SoftConfusion(matrix=sums / counts[:, None], counts=counts)


def fit_calibration(logits: Array, labels: NDArray[np.int64], *, ridge: float = 5.0) -> Calibration:
    """Temperature and class offsets that maximise the likelihood of held-out labels.

    `ridge` pulls the offsets to zero and the temperature to one: it weighs as much as that many texts.
    Source: Guo et al. (2017), On calibration of modern neural networks (temperature; bias-corrected form).
    """
    n, k = logits.shape

    def loss(parameters: Array) -> float:
        scale, offsets = np.exp(parameters[0]), parameters[1:] - parameters[1:].mean()
        values = logits / scale + offsets
        top = values.max(axis=1)
        log_sum = np.log(np.exp(values - top[:, None]).sum(axis=1)) + top
        return float((log_sum - values[np.arange(n), labels]).sum() + ridge * (parameters**2).sum())

    found = optimize.minimize(loss, np.zeros(k + 1), method="L-BFGS-B")
    offsets = found.x[1:] - found.x[1:].mean()
    return Calibration(temperature=float(np.exp(found.x[0])), offsets=tuple(float(value) for value in offsets))


def expected_calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between stated confidence and accuracy over equally filled bins; NaN without a text.

    Source: Naeini et al. (2015); equal-mass bins as in Nixon et al. (2019), Measuring calibration in deep learning.
    """
    if confidence.size == 0:
        return float("nan")
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, confidence.size))
    gaps = [part.size * abs(confidence[part].mean() - correct[part].mean()) for part in parts]
    return float(sum(gaps) / confidence.size)


def debiased_calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Root mean squared gap between confidence and accuracy over equally filled bins, less what chance adds to it.

    The squared gap of a bin of m texts exceeds the true one by a(1 - a) / (m - 1) on average; that is taken off, and
    what remains below zero counts as zero. A perfect model of 324 texts has a plain error of about .06, this one of 0
    to .03. NaN with fewer than two texts a bin.
    Source: Kumar, Liang and Ma (2019), Verified uncertainty calibration.
    """
    if confidence.size < 2 * bins:
        return float("nan")
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        accuracy = float(correct[part].mean())
        gap = float(confidence[part].mean()) - accuracy
        total += part.size / confidence.size * (gap**2 - accuracy * (1 - accuracy) / (part.size - 1))
    return float(np.sqrt(max(total, 0.0)))


def coverage_at(confidence: Array, correct: NDArray[np.bool_], accuracy: float, fewest: int = 20) -> float:
    """Largest share of the most confident texts that is right so often; 0 when no `fewest` texts are."""
    order = np.argsort(-confidence, kind="stable")
    running = np.cumsum(correct[order]) / np.arange(1, order.size + 1)
    reached = np.flatnonzero(running >= accuracy)
    reached = reached[reached >= fewest - 1]
    return float((reached[-1] + 1) / order.size) if reached.size else 0.0


def abstention_threshold(confidence: Array, correct: NDArray[np.bool_], target_accuracy: float) -> float | None:
    """Lowest confidence from which on the kept texts are right at least `target_accuracy` of the time.

    None when no group of at least 50 texts reaches the target.
    """
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, order.size + 1)
    reached = np.flatnonzero(accuracy >= target_accuracy)
    reached = reached[reached >= 49]
    return float(confidence[order[reached[-1]]]) if reached.size else None


def accuracy_at_coverage(confidence: Array, correct: NDArray[np.bool_], coverages: list[float]) -> dict[float, float]:
    """Accuracy over the most confident share of texts, for each share."""
    order = np.argsort(-confidence, kind="stable")
    return {share: float(correct[order[: max(1, round(share * order.size))]].mean()) for share in coverages}


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> float:
    """Mean over classes of the harmonic mean of precision and recall; an empty class counts 0."""
    scores = []
    for k in range(n_classes):
        hits = float(((labels == k) & (predicted == k)).sum())
        denominator = float((labels == k).sum() + (predicted == k).sum())
        scores.append(2 * hits / denominator if denominator else 0.0)
    return float(np.mean(scores))
