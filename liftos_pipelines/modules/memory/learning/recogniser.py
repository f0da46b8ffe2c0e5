"""Which known topic is a text about, how sure is that, and is it like anything known at all?

Three readings of a text vote on its class: a linear probe, the nearest labelled texts, and those that share its rare
words. Their weights, which are also the temperature, are the conditional logit that best predicts labels the readings
had not seen (stacking: Wolpert, 1992, Stacked generalization; temperature: Guo et al., 2017, On calibration of modern
neural networks). Whether the text belongs to any class is another question, see `familiarity.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from liftos_pipelines.modules.memory.learning.familiarity import Familiarity
from liftos_pipelines.modules.memory.learning.linear_probe import Probe, Whitening
from liftos_pipelines.modules.memory.learning.word_votes import WordTable

FloatArray = NDArray[np.float64]
Codes = NDArray[np.int64]
Single = NDArray[np.float32]

ALPHA = 0.1
"""Share of texts of an unknown class that may be taken for a known one."""
FOLDS = 3
NEAREST = 20
"""Neighbours that vote."""
SHARPNESS_PLAIN, SHARPNESS_WORDS = 30.0, 15.0
"""How fast a neighbour's vote fades with distance; chosen on the training rows of Banking77, five splits."""
DOUBT = 1e-3
"""Vote that every class has."""
READINGS = ("probe", "nearest", "words")
USUAL_WEIGHTS = np.array([1.1, 0.3, 0.15])
"""Weights of the readings before a collection has told its own; about what those splits came to."""
PRIOR_ROWS = 10.0
"""How many rows the usual weights are worth."""


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What q texts are about; arrays are aligned with the texts, `classes` with the columns.

    probability : (q, k) of each class, given that the text is about one of them
    familiarity : (q,) higher is more like something known
    p_unrelated : (q,) conformal p-value that a text of no known class is this familiar; NaN where too little is known
    """

    classes: NDArray[np.str_]
    probability: FloatArray
    familiarity: FloatArray
    p_unrelated: FloatArray

    @property
    def best(self) -> NDArray[np.str_]:
        """The likeliest class of each text, (q,)."""
        return self.classes[self.probability.argmax(axis=1)]

    @property
    def sure(self) -> FloatArray:
        """Calibrated probability that `best` is right, given that the text is about a known class, (q,)."""
        return np.asarray(self.probability.max(axis=1), dtype=float)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each text is like a known class, (q,); False where that cannot be told."""
        return np.nan_to_num(self.p_unrelated, nan=1.0) <= ALPHA


@dataclass(frozen=True, kw_only=True)
class _Readings:
    """What one set of labelled texts says of others."""

    vectors: Single
    codes: Codes
    words: WordTable
    whitening: Whitening
    probe: Probe
    classes: int

    @classmethod
    def of(cls, vectors: Single, codes: Codes, words: WordTable, classes: int) -> _Readings:
        whitening = Whitening.of(vectors, codes)
        probe = Probe.of(whitening(vectors), codes, classes)
        return cls(vectors=vectors, codes=codes, words=words, whitening=whitening, probe=probe, classes=classes)

    def read(self, vectors: Single, texts: Sequence[str]) -> tuple[FloatArray, Single, Single]:
        """Log-probabilities by each reading (q, k, 3), similarity of meaning (q, n) and of words (q, n)."""
        similar = vectors @ self.vectors.T
        by_words = self.words.similarity(texts)
        told = [
            _log_softmax(self.probe.logits(self.whitening(vectors))),
            _votes(similar, self.codes, self.classes, SHARPNESS_PLAIN),
            _votes(by_words, self.codes, self.classes, SHARPNESS_WORDS),
        ]
        return np.stack(told, axis=2), similar, by_words


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A collection's labelled texts, ready to be asked."""

    classes: NDArray[np.str_]
    weights: FloatArray
    familiarity: Familiarity
    readings: _Readings

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Single, labels: Sequence[str], *, seed: int = 7) -> Recogniser:
        """Learn from labelled texts.

        Parameters
        ----------
        texts : n; vectors : (n, d) float32, unit length; labels : n, the class of each

        Raises
        ------
        ValueError : nothing to learn from, or lengths differ
        """
        if not len(texts) or not len(texts) == len(vectors) == len(labels):
            counts = f"{len(texts)} texts, {len(vectors)} vectors and {len(labels)} labels"
            raise ValueError(f"{counts}: there must be as many of each, and at least one")
        classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        words = WordTable.of(texts)
        readings = _Readings.of(np.asarray(vectors, dtype=np.float32), codes, words, classes.size)
        similar = readings.vectors @ readings.vectors.T
        return cls(
            classes=classes,
            weights=_learned_weights(texts, readings, seed),
            familiarity=Familiarity.of(similar, words.similarity(texts), codes),
            readings=readings,
        )

    def recognise(self, texts: Sequence[str], vectors: Single) -> Recognition:
        """What texts with their unit vectors (q, d) are about."""
        told, similar, by_words = self.readings.read(np.asarray(vectors, dtype=np.float32), texts)
        score = self.familiarity.score(similar, by_words, self.readings.codes)
        return Recognition(
            classes=self.classes,
            probability=np.exp(_log_softmax(told @ self.weights)),
            familiarity=score,
            p_unrelated=self.familiarity.p_unrelated(score, ALPHA),
        )


def _learned_weights(texts: Sequence[str], full: _Readings, seed: int) -> FloatArray:
    """Weights that best predict each label from readings that have not seen it; those of `FOLDS` parts."""
    fold = _folds(full.codes, seed)
    told, truth = [], []
    for part in range(FOLDS):
        held = fold == part
        learnt = np.zeros(full.classes, dtype=bool)
        learnt[full.codes[~held]] = True
        held &= learnt[full.codes]
        if not held.any():
            continue
        kept = fold != part
        readings = _Readings.of(full.vectors[kept], full.codes[kept], full.words.only(kept), full.classes)
        told.append(
            readings.read(full.vectors[held], [text for text, asked in zip(texts, held, strict=True) if asked])[0]
        )
        truth.append(full.codes[held])
    if not told:
        return USUAL_WEIGHTS
    return _conditional_logit(np.concatenate(told), np.concatenate(truth))


def _conditional_logit(told: FloatArray, truth: Codes) -> FloatArray:
    """Weights of readings (m, k, r) under which the true classes (m,) are likeliest, none below 0."""
    rows = np.arange(truth.size)
    right = told[rows, truth]

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        logs = _log_softmax(told @ weights)
        value = -float(logs[rows, truth].sum()) + PRIOR_ROWS / 2 * float(((weights - USUAL_WEIGHTS) ** 2).sum())
        slope = np.einsum("mk,mkr->r", np.exp(logs), told) - right.sum(axis=0)
        return value / truth.size, (slope + PRIOR_ROWS * (weights - USUAL_WEIGHTS)) / truth.size

    bounds = [(0.0, None)] * told.shape[2]
    return np.asarray(optimize.minimize(loss, USUAL_WEIGHTS, jac=True, method="L-BFGS-B", bounds=bounds).x, dtype=float)


def _folds(codes: Codes, seed: int) -> Codes:
    """A part for each row, every class spread over all of them."""
    rng = np.random.default_rng(seed)
    fold = np.empty(codes.size, dtype=np.int64)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        fold[rows] = (np.arange(rows.size) + rng.integers(FOLDS)) % FOLDS
    return fold


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), dtype=float)


def _votes(similar: Single, codes: Codes, classes: int, sharpness: float) -> FloatArray:
    """Log share of the votes of the nearest, (q, k); a vote fades from the nearest on."""
    count = min(NEAREST, similar.shape[1])
    nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(similar, nearest, axis=1).astype(float)
    votes = np.exp(sharpness * (values - values.max(axis=1, keepdims=True)))
    share = np.full((len(similar), classes), DOUBT)
    np.add.at(share, (np.arange(len(similar))[:, None], codes[nearest]), votes)
    return np.asarray(np.log(share / share.sum(axis=1, keepdims=True)), dtype=float)
