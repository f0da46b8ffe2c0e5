"""Training: texts and labels in, a `SentimentModel` out. Calibrated on predictions for texts left out of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.modules.sentiment.reading import calibration as cal
from liftos_pipelines.modules.sentiment.reading.basic_emotions import EmotionExamples, basic_emotion_head
from liftos_pipelines.modules.sentiment.reading.features import (
    beside,
    hashed_counts,
    inverse_document_frequency,
    weighted,
)
from liftos_pipelines.modules.sentiment.reading.lexicon import READINGS, Lexicon
from liftos_pipelines.modules.sentiment.reading.linear import fit_softmax, softmax
from liftos_pipelines.modules.sentiment.reading.model import (
    EMOTIONS,
    LABELS,
    LANGUAGES,
    LEXICON_COLUMNS,
    Head,
    SentimentModel,
    lexicon_columns,
)
from liftos_pipelines.modules.sentiment.reading.normalise import normalise

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

BITS = 18
FOLDS = 3
PENALTY = 1.0
LANGUAGE_PENALTY = 0.2
ITERATIONS = 60
TARGET_ACCURACY = 0.70
SEED = 20_240_101
MIN_TO_CALIBRATE = 200


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


@dataclass(frozen=True, kw_only=True, eq=False)
class FastLogits:
    """Raw sentiment logits for texts that took no part in fitting: what another classifier's may be mixed with.

    `out_of_fold` (n, 3) for the training texts in their order, `informative` (n,) those whose labels were used;
    `held` (m, 3) for the texts handed over to be scored.
    """

    out_of_fold: Array
    informative: NDArray[np.bool_]
    held: Array


def train(
    sentiment: Examples,
    *,
    emotion: Examples | None = None,
    irony: Examples | None = None,
    basic_emotions: EmotionExamples | None = None,
    lexicon: Lexicon | None = None,
    calibrate_on: int | None = None,
    target_accuracy: float = TARGET_ACCURACY,
    bits: int = BITS,
    seed: int = SEED,
) -> SentimentModel:
    """A model from labelled texts.

    `calibrate_on`: only the first so many sentiment texts carry the languages and domain to calibrate for (the rest
    only help the fit). A sentiment text of weight 0 teaches its language only: its label is not used anywhere.
    Calibration, thresholds and `soft_confusion` come from predictions for left-out folds, so the reported validation
    set takes no part in any of them.

    Raises
    ------
    ValueError : no text, or a label outside the head's classes
    """
    model, _, _ = _train(
        sentiment, emotion, irony, basic_emotions, lexicon, calibrate_on, target_accuracy, bits=bits, seed=seed
    )
    return model


def fast_logits(
    sentiment: Examples,
    held: Sequence[str],
    *,
    lexicon: Lexicon | None = None,
    calibrate_on: int | None = None,
    bits: int = BITS,
    seed: int = SEED,
) -> FastLogits:
    """Left-out logits of the n-gram classifier for its training texts, and its logits for other texts."""
    model, out_of_fold, used = _train(
        sentiment, None, None, None, lexicon, calibrate_on, TARGET_ACCURACY, bits=bits, seed=seed
    )
    return FastLogits(out_of_fold=out_of_fold, informative=used, held=model.logits(model.features(held))["sentiment"])


def lexicon_polarity(lexicon: Lexicon, texts: Sequence[str], languages: Sequence[str]) -> Array:
    """(n,) net valence of the opinion words and signs of each text, by its own language's list: needs no training."""
    said = lexicon.read([normalise(text) for text in texts]).astype(float)
    places = {code: at * len(READINGS) + READINGS.index("net") for at, code in enumerate(lexicon.languages)}
    net = np.asarray([said[row, places[code]] if code in places else 0.0 for row, code in enumerate(languages)])
    signs = said[:, len(lexicon.languages) * len(READINGS) :]
    return np.asarray(net + np.tanh(signs[:, 0] - signs[:, 1]))


def _train(
    sentiment: Examples,
    emotion: Examples | None,
    irony: Examples | None,
    basic_emotions: EmotionExamples | None,
    lexicon: Lexicon | None,
    calibrate_on: int | None,
    target_accuracy: float,
    *,
    bits: int,
    seed: int,
) -> tuple[SentimentModel, Array, NDArray[np.bool_]]:
    main = len(sentiment.texts) if calibrate_on is None else calibrate_on
    words = lexicon or Lexicon(())
    normalised = [normalise(text) for text in sentiment.texts]
    counts = hashed_counts(normalised, bits=bits)
    extra = [hashed_counts([normalise(text) for text in part.texts], bits=bits) for part in (emotion, irony) if part]
    idf = inverse_document_frequency(sparse.vstack([counts, *extra]).tocsr())
    n_grams = weighted(counts, idf)
    labels = np.asarray(sentiment.labels, dtype=np.int64)
    weight = np.asarray(sentiment.weights, dtype=float)
    languages = np.asarray(sentiment.languages, dtype=object)
    fold = folds_of(groups_by_text(normalised), FOLDS, seed=seed)

    language, likely = _language_head(n_grams, languages, fold, main)
    features = beside(n_grams, lexicon_columns(words, normalised, likely))
    held_out = np.zeros((main, len(LABELS)))
    for k in range(FOLDS):
        kept = np.flatnonzero((fold != k) & (weight > 0))
        table, bias = fit_softmax(
            features[kept], labels[kept], 3, penalty=PENALTY, sample_weight=weight[kept], iterations=ITERATIONS
        )
        rows = np.flatnonzero(fold[:main] == k)
        held_out[rows] = features[rows] @ table + bias
    used = weight[:main] > 0
    kept = np.flatnonzero(weight > 0)
    heads = {
        "sentiment": _head(features[kept], labels[kept], LABELS, penalty=PENALTY, weight=weight[kept]),
        "language": language,
    }
    model = SentimentModel(
        bits=bits,
        idf=idf,
        heads=heads,
        calibrations=_calibrations(held_out[used], labels[:main][used], languages[:main][used]),
        abstain_below=1.0,
        target_accuracy=target_accuracy,
        lexicon=words,
    )
    if emotion:
        heads["emotion"] = _task_head(model, emotion, EMOTIONS, penalty=0.35)
    if irony:
        heads["irony"] = _task_head(model, irony, ("not ironic", "ironic"), penalty=0.7)
    figures: dict[str, Any] = {"trained_texts": float((weight > 0).sum()), "labels_not_used": float((~used).sum())}
    if basic_emotions:
        heads["emotion6"], figures["basic_emotions"] = basic_emotion_head(model, basic_emotions, seed=seed)

    codes, truth = languages[:main][used].tolist(), labels[:main][used]
    probabilities = _cross_calibrated(held_out[used], truth, languages[:main][used], fold[:main][used])
    model = replace(model, **_abstention(probabilities, truth, codes, target_accuracy))
    # What is stored is what is scored with: weights pass through their stored precision before any figure is taken.
    model = SentimentModel.from_arrays(model.to_arrays())
    figures["out_of_fold"] = sentiment_figures(probabilities, truth, codes, model.thresholds(codes))
    right = np.asarray(LANGUAGES, dtype=object)[likely[:main].argmax(axis=1)] == languages[:main]
    figures["language_out_of_fold"] = {
        "accuracy": float(right.mean()),
        "by_language": {
            c: float(right[languages[:main] == c].mean()) for c in dict.fromkeys(languages[:main].tolist())
        },
    }
    return replace(model, figures=figures), held_out, used


def _language_head(
    n_grams: sparse.csr_matrix, languages: NDArray[np.object_], fold: Ints, main: int
) -> tuple[Head, Array]:
    """The language head, and for each text the language probabilities by a head that did not see it."""
    known = np.flatnonzero(np.isin(languages[:main], LANGUAGES))
    codes = np.asarray([LANGUAGES.index(code) for code in languages[known]], dtype=np.int64)

    def fit(rows: Ints) -> tuple[Array, Array]:
        return fit_softmax(
            n_grams[known[rows]], codes[rows], len(LANGUAGES), penalty=LANGUAGE_PENALTY, iterations=ITERATIONS
        )

    table, bias = fit(np.arange(known.size))
    likely = softmax(n_grams @ table + bias)
    for k in range(FOLDS):
        out, back = fit(np.flatnonzero(fold[known] != k))
        rows = np.flatnonzero(fold[:main] == k)
        likely[rows] = softmax(n_grams[rows] @ out + back)
    weights = np.concatenate([table, np.zeros((LEXICON_COLUMNS, len(LANGUAGES)))]).astype(np.float32)
    return Head(classes=LANGUAGES, weights=weights, bias=bias), likely


def _calibrations(logits: Array, labels: Ints, languages: NDArray[np.object_]) -> dict[str, cal.Calibration]:
    found = {cal.POOLED: cal.fit_calibration(logits, labels)}
    for code in dict.fromkeys(languages.tolist()):
        rows = np.flatnonzero(languages == code)
        if rows.size >= MIN_TO_CALIBRATE:
            found[code] = cal.fit_calibration(logits[rows], labels[rows])
    return found


def _cross_calibrated(logits: Array, labels: Ints, languages: NDArray[np.object_], fold: Ints) -> Array:
    """Probabilities of each fold calibrated on the others: no text judges a calibration that it took part in."""
    out = np.empty_like(logits)
    for k in range(FOLDS):
        rest, rows = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        found = _calibrations(logits[rest], labels[rest], languages[rest])
        for code in dict.fromkeys(languages[rows].tolist()):
            mine = rows[languages[rows] == code]
            out[mine] = found.get(code, found[cal.POOLED]).apply(logits[mine])
    return out


def _abstention(p: Array, labels: Ints, languages: list[str], target: float) -> dict[str, Any]:
    """Thresholds and soft confusion, over all languages and of each."""
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == labels
    threshold = cal.abstention_threshold(confidence, correct, target)
    confusion = {cal.POOLED: cal.soft_confusion(p, labels)}
    by_language = {}
    codes = np.asarray(languages, dtype=object)
    for code in dict.fromkeys(languages):
        rows = np.flatnonzero(codes == code)
        if rows.size >= MIN_TO_CALIBRATE:
            confusion[code] = cal.soft_confusion(p[rows], labels[rows])
            own = cal.abstention_threshold(confidence[rows], correct[rows], target)
            by_language[code] = 1.0 if own is None else own
    return {
        "abstain_below": 1.0 if threshold is None else threshold,
        "abstain_by_language": by_language,
        "soft_confusion": confusion,
    }


def sentiment_figures(
    probabilities: Array, labels: Ints, languages: Sequence[str], threshold: float | Array
) -> dict[str, Any]:
    """Macro-F1, accuracy, calibration error, bias of net sentiment (all and by language), and accuracy at coverage.

    `ece` is the plain estimate, `ece_debiased` the one without the share that chance adds to it; `net_sentiment_bias`
    comes with a 90 % interval by bootstrap over texts; `coverage_at_85` is the largest share of the most confident
    texts that is right 85 % of the time.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = predicted == labels
    gap = probabilities[:, 2] - probabilities[:, 0] - ((labels == 2).astype(float) - (labels == 0))
    above = confidence >= threshold

    def figures(rows: NDArray[np.bool_]) -> dict[str, float]:
        kept = rows & above
        low, high = _interval_of_mean(gap[rows])
        return {
            "n": float(rows.sum()),
            "macro_f1": cal.macro_f1(labels[rows], predicted[rows], len(LABELS)),
            "accuracy": float(correct[rows].mean()),
            "ece": cal.expected_calibration_error(confidence[rows], correct[rows]),
            "ece_debiased": cal.debiased_calibration_error(confidence[rows], correct[rows]),
            "net_sentiment_bias": float(gap[rows].mean()),
            "net_sentiment_bias_low": low,
            "net_sentiment_bias_high": high,
            "coverage": float(kept.sum() / rows.sum()),
            "accuracy_when_kept": float(correct[kept].mean()) if kept.any() else float("nan"),
            "coverage_at_85": cal.coverage_at(confidence[rows], correct[rows], 0.85),
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


def _interval_of_mean(values: Array, replicates: int = 500) -> tuple[float, float]:
    rng = np.random.default_rng(SEED)
    means = values[rng.integers(0, values.size, (replicates, values.size))].mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


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


def _task_head(model: SentimentModel, examples: Examples, classes: tuple[str, ...], *, penalty: float) -> Head:
    weight = np.asarray(examples.weights, dtype=float)
    labels = np.asarray(examples.labels, dtype=np.int64)
    return _head(model.features(examples.texts), labels, classes, penalty=penalty, weight=weight)
