"""Ekman's six emotions in all languages: independent logistic regressions on the features of the sentiment model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.linear import fit_sigmoids, fit_softmax, sigmoid
from liftos_pipelines.modules.sentiment.reading.model import BASIC_EMOTIONS, Head, SentimentModel
from liftos_pipelines.modules.sentiment.reading.normalise import normalise

Array = NDArray[np.float64]

PENALTY = 3.0
ITERATIONS = 45


@dataclass(frozen=True, kw_only=True, eq=False)
class EmotionExamples:
    """Texts that may show several of `BASIC_EMOTIONS`: labels (n, 6) of 0 and 1, weights (n,)."""

    texts: list[str]
    labels: Array
    languages: list[str]
    weights: Array


def basic_emotion_head(
    model: SentimentModel, examples: EmotionExamples, *, seed: int
) -> tuple[Head, dict[str, object]]:
    """The head, and its figures on a tenth of the texts that took no part in it.

    Copies of a text, and the same line in two files, share a tenth. Eight tenths are fitted on, one sets scale, offset
    and the threshold of each emotion (best F1), one is measured on.
    """
    tenth = _tenths([normalise(text) for text in examples.texts], seed)
    features = model.features(examples.texts)
    fit, tune, held = (np.flatnonzero(part) for part in (tenth > 1, tenth == 1, tenth == 0))
    table, bias = fit_sigmoids(
        features[fit],
        examples.labels[fit],
        penalty=PENALTY,
        sample_weight=examples.weights[fit],
        iterations=ITERATIONS,
    )
    logits = np.asarray(features[tune] @ table + bias)
    for k in range(len(BASIC_EMOTIONS)):
        scale, offset = _platt(logits[:, k], examples.labels[tune, k])
        table[:, k] *= scale
        bias[k] = bias[k] * scale + offset
        logits[:, k] = logits[:, k] * scale + offset
    thresholds = tuple(
        _best_threshold(sigmoid(logits[:, k]), examples.labels[tune, k]) for k in range(len(BASIC_EMOTIONS))
    )
    head = Head(
        classes=BASIC_EMOTIONS, weights=table.astype(np.float32), bias=bias, several=True, thresholds=thresholds
    )
    p = sigmoid(np.asarray(features[held] @ table + bias))
    return head, emotion_figures(p, examples.labels[held], [examples.languages[i] for i in held], thresholds)


def emotion_figures(
    probabilities: Array, labels: Array, languages: Sequence[str], thresholds: Sequence[float]
) -> dict[str, object]:
    """Macro-F1 over the six, F1 of each, mean gap between stated and true share; all and by language.

    `always` is the macro-F1 of calling every emotion present.
    """
    called = probabilities >= np.asarray(thresholds)
    codes = np.asarray(languages, dtype=object)

    def figures(rows: NDArray[np.bool_]) -> dict[str, float]:
        scores = [_f1(called[rows, k], labels[rows, k]) for k in range(labels.shape[1])]
        always = [_f1(np.ones(int(rows.sum()), dtype=bool), labels[rows, k]) for k in range(labels.shape[1])]
        return {
            "n": float(rows.sum()),
            "macro_f1": float(np.mean(scores)),
            "always": float(np.mean(always)),
            "share_gap": float(np.abs(probabilities[rows].mean(axis=0) - labels[rows].mean(axis=0)).mean()),
            **{f"f1_{name}": score for name, score in zip(BASIC_EMOTIONS, scores, strict=True)},
        }

    return {
        "all": figures(np.ones(codes.size, dtype=bool)),
        "by_language": {code: figures(codes == code) for code in dict.fromkeys(codes.tolist())},
    }


def _tenths(normalised: Sequence[str], seed: int) -> NDArray[np.int64]:
    keys = ["".join(char for char in text if char.isalpha()) or text for text in normalised]
    _, groups = np.unique(np.asarray(keys, dtype=object).astype(str), return_inverse=True)
    return np.random.default_rng(seed).integers(0, 10, int(groups.max()) + 1)[groups]


def _platt(logits: Array, labels: Array) -> tuple[float, float]:
    """Scale and offset of a logit (Platt 1999)."""
    from scipy import sparse

    table, bias = fit_softmax(
        sparse.csr_matrix(logits[:, None].astype(np.float32)), labels.astype(np.int64), 2, penalty=0.01
    )
    return float(table[0, 1] - table[0, 0]), float(bias[1] - bias[0])


def _best_threshold(p: Array, labels: Array) -> float:
    grid = np.arange(0.05, 0.65, 0.01)
    return float(grid[int(np.argmax([_f1(p >= cut, labels) for cut in grid]))])


def _f1(called: NDArray[np.bool_], labels: Array) -> float:
    hits = float((called & (labels > 0)).sum())
    total = float(called.sum() + (labels > 0).sum())
    return 2 * hits / total if total else 0.0
