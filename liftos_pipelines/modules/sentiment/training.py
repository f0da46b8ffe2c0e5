"""Training: texts and labels in, a `SentimentModel` out. Calibrated on predictions for texts left out of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.modules.sentiment import calibration as cal
from liftos_pipelines.modules.sentiment.features import hashed_counts, inverse_document_frequency, weighted
from liftos_pipelines.modules.sentiment.linear import fit_softmax, softmax
from liftos_pipelines.modules.sentiment.model import EMOTIONS, LABELS, LANGUAGES, Head, SentimentModel
from liftos_pipelines.modules.sentiment.normalise import normalise

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

BITS = 17
FOLDS = 3
PENALTY = 0.7
ITERATIONS = 70
TARGET_ACCURACY = 0.70
SEED = 20_240_101


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Labelled texts of one head: labels index the head's classes, languages are codes, weight of each text."""

    texts: list[str]
    labels: list[int]
    languages: list[str]
    weights: list[float]

    def __add__(self, other: Examples) -> Examples:
        return Examples(
            texts=self.texts + other.texts,
            labels=self.labels + other.labels,
            languages=self.languages + other.languages,
            weights=self.weights + other.weights,
        )


def groups_by_text(normalised: Sequence[str]) -> Ints:
    """A group per distinct text, near-copies together (links, users and digits aside): copies share a fold."""
    keys = ["".join(char for char in text if char.isalpha()) or text for text in normalised]
    _, codes = np.unique(np.asarray(keys, dtype=object).astype(str), return_inverse=True)
    return codes.astype(np.int64)


def folds_of(groups: Ints, n_folds: int, *, seed: int) -> Ints:
    """Fold of each row; a group never straddles two folds."""
    rng = np.random.default_rng(seed)
    fold_of_group = rng.permutation(np.arange(int(groups.max()) + 1) % n_folds)
    return fold_of_group[groups]


def train(
    sentiment: Examples,
    *,
    emotion: Examples | None = None,
    irony: Examples | None = None,
    calibrate_on: int | None = None,
    target_accuracy: float = TARGET_ACCURACY,
    bits: int = BITS,
    seed: int = SEED,
) -> SentimentModel:
    """A model from labelled texts.

    `calibrate_on`: only the first so many sentiment texts carry the languages and domain to calibrate for (the rest
    only help the fit). Calibration and the abstention threshold come from predictions for left-out folds, so the
    reported validation set takes no part in either.

    Raises
    ------
    ValueError : no text, or a label outside the head's classes
    """
    main = len(sentiment.texts) if calibrate_on is None else calibrate_on
    normalised = [normalise(text) for text in sentiment.texts]
    counts = hashed_counts(normalised, bits=bits)
    extra = [hashed_counts([normalise(text) for text in part.texts], bits=bits) for part in (emotion, irony) if part]
    idf = inverse_document_frequency(sparse.vstack([counts, *extra]).tocsr())
    features = weighted(counts, idf)
    labels = np.asarray(sentiment.labels, dtype=np.int64)
    weight = np.asarray(sentiment.weights, dtype=float)
    languages = np.asarray(sentiment.languages, dtype=object)

    held_out = np.zeros((main, len(LABELS)))
    fold = folds_of(groups_by_text(normalised), FOLDS, seed=seed)
    for k in range(FOLDS):
        kept = np.flatnonzero(fold != k)
        table, bias = fit_softmax(
            features[kept], labels[kept], 3, penalty=PENALTY, sample_weight=weight[kept], iterations=ITERATIONS
        )
        rows = np.flatnonzero(fold[:main] == k)
        held_out[rows] = features[rows] @ table + bias
    calibrations = {cal.POOLED: cal.fit_calibration(held_out, labels[:main])}
    for code in dict.fromkeys(languages[:main].tolist()):
        rows = np.flatnonzero(languages[:main] == code)
        if rows.size >= 200:
            calibrations[code] = cal.fit_calibration(held_out[rows], labels[rows])
    heads = {"sentiment": _head(features, labels, LABELS, penalty=PENALTY, weight=weight)}
    known = np.flatnonzero(np.isin(languages[:main], LANGUAGES))
    codes = np.asarray([LANGUAGES.index(code) for code in languages[known]], dtype=np.int64)
    heads["language"] = _head(features[known], codes, LANGUAGES, penalty=0.2)
    if emotion:
        heads["emotion"] = _task_head(emotion, EMOTIONS, idf, bits, penalty=0.25)
    if irony:
        heads["irony"] = _task_head(irony, ("not ironic", "ironic"), idf, bits, penalty=0.5)

    model = SentimentModel(
        bits=bits, idf=idf, heads=heads, calibrations=calibrations, abstain_below=1.0, target_accuracy=target_accuracy
    )
    probabilities = model.calibrated(held_out, languages[:main].tolist())
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels[:main]
    threshold = cal.abstention_threshold(confidence, correct, target_accuracy)
    confusion = {cal.POOLED: cal.soft_confusion(probabilities, labels[:main])}
    for code in calibrations.keys() - {cal.POOLED}:
        rows = np.flatnonzero(languages[:main] == code)
        confusion[code] = cal.soft_confusion(probabilities[rows], labels[rows])
    # What is stored is what is scored with: weights pass through their stored precision before any figure is taken.
    model = SentimentModel.from_arrays(
        replace(model, abstain_below=1.0 if threshold is None else threshold, soft_confusion=confusion).to_arrays()
    )
    figures: dict[str, Any] = {
        "trained_texts": len(sentiment.texts),
        "out_of_fold": sentiment_figures(probabilities, labels[:main], languages[:main].tolist(), model.abstain_below),
    }
    return replace(model, figures=figures)


def sentiment_figures(probabilities: Array, labels: Ints, languages: Sequence[str], threshold: float) -> dict[str, Any]:
    """Macro-F1, accuracy, calibration error, bias of net sentiment (all and by language), and accuracy at coverage."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = predicted == labels
    net_true = (labels == 2).astype(float) - (labels == 0)
    net = probabilities[:, 2] - probabilities[:, 0]

    def figures(rows: NDArray[np.bool_]) -> dict[str, float]:
        kept = rows & (confidence >= threshold)
        return {
            "n": float(rows.sum()),
            "macro_f1": cal.macro_f1(labels[rows], predicted[rows], len(LABELS)),
            "accuracy": float(correct[rows].mean()),
            "ece": cal.expected_calibration_error(confidence[rows], correct[rows]),
            "net_sentiment_bias": float(net[rows].mean() - net_true[rows].mean()),
            "coverage": float(kept.sum() / rows.sum()),
            "accuracy_when_kept": float(correct[kept].mean()) if kept.any() else float("nan"),
        }

    codes = np.asarray(languages, dtype=object)
    at = cal.accuracy_at_coverage(confidence, correct, [1.0, 0.5, 0.25, 0.1])
    by_language = {code: figures(codes == code) for code in dict.fromkeys(codes.tolist())}
    return {
        "all": figures(np.ones(labels.size, dtype=bool)),
        "mean_macro_f1": float(np.mean([one["macro_f1"] for one in by_language.values()])),
        "by_language": by_language,
        "accuracy_at_coverage": {f"{share:.2f}": value for share, value in at.items()},
    }


def head_figures(model: SentimentModel, name: str, texts: Sequence[str], labels: Sequence[int]) -> dict[str, float]:
    """Macro-F1, accuracy and F1 of the last class of one head on labelled texts."""
    truth = np.asarray(labels, dtype=np.int64)
    predicted = softmax(model.logits(model.features(texts))[name]).argmax(axis=1)
    last = len(model.heads[name].classes) - 1
    hits = float(((truth == last) & (predicted == last)).sum())
    found = float((truth == last).sum() + (predicted == last).sum())
    return {
        "n": float(truth.size),
        "macro_f1": cal.macro_f1(truth, predicted, last + 1),
        "accuracy": float((truth == predicted).mean()),
        "f1_last_class": 2 * hits / found if found else 0.0,
    }


def _head(
    features: sparse.csr_matrix, labels: Ints, classes: tuple[str, ...], *, penalty: float, weight: Array | None = None
) -> Head:
    table, bias = fit_softmax(
        features, labels, len(classes), penalty=penalty, sample_weight=weight, iterations=ITERATIONS
    )
    return Head(classes=classes, weights=table.astype(np.float32), bias=bias)


def _task_head(
    examples: Examples, classes: tuple[str, ...], idf: NDArray[np.float32], bits: int, *, penalty: float
) -> Head:
    features = weighted(hashed_counts([normalise(text) for text in examples.texts], bits=bits), idf)
    weight = np.asarray(examples.weights, dtype=float)
    return _head(features, np.asarray(examples.labels, dtype=np.int64), classes, penalty=penalty, weight=weight)
