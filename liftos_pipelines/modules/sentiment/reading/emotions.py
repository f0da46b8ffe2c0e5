"""Emotions: GoEmotions' 27 and neutral, their groups, the six basic ones, and a mood, with calibrated probabilities.

Sources: Demszky et al. (2020), GoEmotions: a dataset of fine-grained emotions (taxonomy, groups, mapping to Ekman's
six); Platt (1999), Probabilistic outputs for support vector machines (a slope and an offset a label).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from liftos_pipelines.modules.sentiment.reading.linear import softmax

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FINE = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
GROUPS = ("positive", "negative", "ambiguous", "neutral")
MOODS = ("anger", "joy", "optimism", "sadness")

_POSITIVE = (
    "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love", "optimism",
    "pride", "relief",
)  # fmt: skip
_AMBIGUOUS = ("confusion", "curiosity", "realization", "surprise")
GROUP_OF = {
    name: "neutral" if name == "neutral" else "positive" if name in _POSITIVE
    else "ambiguous" if name in _AMBIGUOUS else "negative"
    for name in FINE
}  # fmt: skip
BASIC_OF = {
    **dict.fromkeys(("anger", "annoyance", "disapproval"), "anger"),
    "disgust": "disgust",
    **dict.fromkeys(("fear", "nervousness"), "fear"),
    **dict.fromkeys(_POSITIVE, "joy"),
    **dict.fromkeys(("sadness", "disappointment", "embarrassment", "grief", "remorse"), "sadness"),
    **dict.fromkeys(_AMBIGUOUS, "surprise"),
    "neutral": "neutral",
}
"""The mapping published with the data set (its `ekman_mapping`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelScale:
    """Logits of (n, k) independent labels to probabilities, and the probability from which on a label is given."""

    slopes: Array
    offsets: Array
    thresholds: Array

    def probabilities(self, logits: Array) -> Array:
        """(n, k) probabilities, each label by its own slope and offset."""
        return 1 / (1 + np.exp(-(logits * self.slopes + self.offsets)))

    def given(self, probabilities: Array) -> Flags:
        """(n, k) which labels are given."""
        return probabilities >= self.thresholds


@dataclass(frozen=True, kw_only=True, eq=False)
class EmotionScales:
    """The scales of the fine labels, of the groups and of the basic emotions, fitted on texts left out of training."""

    fine: LabelScale
    groups: LabelScale
    basic: LabelScale


@dataclass(frozen=True, kw_only=True, eq=False)
class Emotions:
    """What n texts express; NaN, and no fine label, in rows that are not covered.

    Parameters
    ----------
    basic : (n, 7) probabilities of `BASIC`; several may hold at once, so rows do not sum to one
    groups : (n, 4) probabilities of `GROUPS`, likewise
    fine : n lists of (name, probability), labels at or above their threshold, most likely first
    mood : n names out of `MOODS`, the most likely of the four, or None
    mood_probability : (n,) of that mood; the four sum to one
    irony : (n,) probability that the text is ironic
    """

    basic: Array
    groups: Array
    fine: list[list[tuple[str, float]]]
    mood: list[str | None]
    mood_probability: Array
    irony: Array

    @property
    def n(self) -> int:
        return len(self.fine)


def nothing_read(n: int) -> Emotions:
    """Emotions of n texts of which none is covered."""
    return Emotions(
        basic=np.full((n, len(BASIC)), np.nan),
        groups=np.full((n, len(GROUPS)), np.nan),
        fine=[[] for _ in range(n)],
        mood=[None] * n,
        mood_probability=np.full(n, np.nan),
        irony=np.full(n, np.nan),
    )


def read_emotions(
    fine_logits: Array, mood_logits: Array, irony: Array, scales: EmotionScales, rows: NDArray[np.int64], n: int
) -> Emotions:
    """Emotions of n texts, of which those at `rows` were encoded.

    Parameters
    ----------
    fine_logits : (rows, 28); mood_logits : (rows, 4), already calibrated; irony : (rows,) probabilities
    """
    out = nothing_read(n)
    p = scales.fine.probabilities(fine_logits)
    given = scales.fine.given(p)
    out.basic[rows] = scales.basic.probabilities(together(p, BASIC_OF, BASIC))
    out.groups[rows] = scales.groups.probabilities(together(p, GROUP_OF, GROUPS))
    mood = softmax(mood_logits) if len(rows) else np.empty((0, len(MOODS)))
    out.irony[rows] = irony
    for k, row in enumerate(rows.tolist()):
        named = np.flatnonzero(given[k])
        out.fine[row].extend((FINE[j], float(p[k, j])) for j in named[np.argsort(-p[k, named], kind="stable")])
        out.mood[row] = MOODS[int(mood[k].argmax())]
        out.mood_probability[row] = float(mood[k].max())
    return out


def together(probabilities: Array, of: dict[str, str], names: Sequence[str]) -> Array:
    """(n, groups) logit that any label of a group holds, were the labels independent; a scale corrects that."""
    out = np.empty((probabilities.shape[0], len(names)))
    for k, name in enumerate(names):
        columns = [j for j, label in enumerate(FINE) if of[label] == name]
        none = np.log1p(-np.clip(probabilities[:, columns], 0, 1 - 1e-9)).sum(axis=1)
        any_of = np.clip(-np.expm1(none), 1e-9, 1 - 1e-9)
        out[:, k] = np.log(any_of) - np.log1p(-any_of)
    return out


def group_labels(fine: Flags, of: dict[str, str], names: Sequence[str]) -> Flags:
    """(n, groups) whether any label of the group holds."""
    return np.stack(
        [fine[:, [j for j, label in enumerate(FINE) if of[label] == name]].any(axis=1) for name in names], axis=1
    )


def fit_scale(logits: Array, truth: Flags, *, ridge: float = 2.0) -> LabelScale:
    """Slope, offset and threshold of each label on left-out texts; thresholds maximise each label's F1.

    `ridge` pulls slopes to one and offsets to zero, with the weight of as many texts.
    """
    k = logits.shape[1]
    slopes, offsets, thresholds = np.ones(k), np.zeros(k), np.full(k, 0.5)
    for j in range(k):
        slopes[j], offsets[j] = _platt(logits[:, j], truth[:, j], ridge)
        p = 1 / (1 + np.exp(-(logits[:, j] * slopes[j] + offsets[j])))
        thresholds[j] = best_threshold(p, truth[:, j])
    return LabelScale(slopes=slopes, offsets=offsets, thresholds=thresholds)


def fit_scales(fine_logits: Array, truth: Flags) -> EmotionScales:
    """All three scales from (n, 28) logits and labels of texts left out of training."""
    fine = fit_scale(fine_logits, truth)
    p = fine.probabilities(fine_logits)
    return EmotionScales(
        fine=fine,
        groups=fit_scale(together(p, GROUP_OF, GROUPS), group_labels(truth, GROUP_OF, GROUPS)),
        basic=fit_scale(together(p, BASIC_OF, BASIC), group_labels(truth, BASIC_OF, BASIC)),
    )


def best_threshold(probabilities: Array, truth: Flags, *, smooth: float = 5.0) -> float:
    """The probability from which on giving the label has the highest F1; 0.5 for a label that never occurs.

    F1 as a function of the threshold is smoothed by `smooth` expected hits, so that a rare label's threshold does not
    hang on single texts: hits and misses are counted half from labels and half from the stated probabilities.
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    p, y = probabilities[order], truth[order].astype(float)
    trust = truth.sum() / (truth.sum() + smooth)
    hits = trust * np.cumsum(y) + (1 - trust) * np.cumsum(p)
    positives = trust * y.sum() + (1 - trust) * p.sum()
    f1 = 2 * hits / (np.arange(1, y.size + 1) + positives)
    at = int(f1.argmax())
    below = p[at + 1] if at + 1 < p.size else 0.0
    return float((p[at] + below) / 2)


def label_f1(given: Flags, truth: Flags) -> Array:
    """(k,) F1 of each label; 0 for one that neither occurs nor is given."""
    hits = (given & truth).sum(axis=0)
    found = given.sum(axis=0) + truth.sum(axis=0)
    return np.where(found > 0, 2 * hits / np.maximum(found, 1), 0.0)


def _platt(logits: Array, truth: Flags, ridge: float) -> tuple[float, float]:
    y = truth.astype(float)

    def loss(parameters: Array) -> tuple[float, Array]:
        z = logits * parameters[0] + parameters[1]
        residual = 1 / (1 + np.exp(-z)) - y
        value = float((np.logaddexp(0, z) - y * z).sum())
        change = parameters - np.array([1.0, 0.0])
        slope = np.array([residual @ logits, residual.sum()]) + 2 * ridge * change
        return value + ridge * float(change @ change), slope

    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.05, 5), (-10, 10)])
    return float(found.x[0]), float(found.x[1])
