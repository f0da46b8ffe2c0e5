"""Is a text like anything known? What texts of a hidden class come to is what an unknown one comes to.

Nothing is fitted that would have to be fitted again without the hidden class: every feature is read off similarities,
so hiding a class is leaving out its columns, and the comparison is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FloatArray = NDArray[np.float64]
Codes = NDArray[np.int64]
Single = NDArray[np.float32]

FEATURES = ("nearest", "share", "beyond its neighbours", "words")
"""Similarity of the nearest text; share of one class among the nearest; similarity to the five nearest less what is
usual among themselves (a local outlier factor: Breunig et al., 2000, LOF: identifying density-based local outliers);
similarity by rare words."""
NEAREST, CLOSE = 20, 5
SHARPNESS = 15.0
PENALTY = 1.0
LEAST = 60
"""With fewer texts of either kind the weights are not fitted: the similarity of the nearest decides alone."""


def features(similar: Single, by_words: Single, codes: Codes, usual: FloatArray) -> FloatArray:
    """(q, 4), see `FEATURES`.

    Parameters
    ----------
    similar, by_words : (q, n) cosine of vectors and of words with the labelled texts; -inf for one left out
    codes : (n,) class of each; `usual` : (n,) see `usual_similarity`
    """
    count = min(NEAREST, similar.shape[1])
    some = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(similar, some, axis=1).astype(float)
    order = np.argsort(-values, axis=1, kind="stable")
    nearest, values = np.take_along_axis(some, order, axis=1), np.take_along_axis(values, order, axis=1)
    there = np.isfinite(values)
    values = np.where(there, values, 0.0)
    votes = np.where(there, np.exp(SHARPNESS * (values - values[:, :1])), 0.0)
    share = np.zeros((len(similar), int(codes.max(initial=0)) + 1))
    np.add.at(share, (np.arange(len(similar))[:, None], codes[nearest]), votes)
    beyond = values[:, :CLOSE].mean(axis=1) - usual[nearest[:, :CLOSE]].mean(axis=1)
    words = np.maximum(by_words.max(axis=1, initial=0.0), 0.0)
    return np.column_stack([values[:, 0], share.max(axis=1) / np.maximum(votes.sum(axis=1), 1e-12), beyond, words])


def usual_similarity(similar: Single, codes: Codes) -> FloatArray:
    """Mean similarity of each labelled text to its `CLOSE` nearest of its own class, (n,), from (n, n); of a text
    that is alone in its class, the mean of the others'."""
    same = codes[:, None] == codes[None, :]
    np.fill_diagonal(same, False)
    own = np.where(same, similar, np.float32(-np.inf))
    best = -np.partition(-own, min(CLOSE, len(own)) - 1, axis=1)[:, :CLOSE]
    there = np.isfinite(best)
    mean = np.where(there, best, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    alone = ~there.any(axis=1)
    mean[alone] = mean[~alone].mean() if (~alone).any() else 0.0
    return np.asarray(mean, dtype=float)


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """A score from the features, and what texts of hidden classes score.

    weights (4,), shift (4,) : score = (features - shift) @ weights
    unknown : (m,) sorted scores of labelled texts when their own class is hidden
    """

    weights: FloatArray
    shift: FloatArray
    unknown: FloatArray
    usual: FloatArray
    auroc: float
    """How well the score tells the labelled texts, each left out, from themselves with their class hidden."""

    @classmethod
    def of(cls, similar: Single, by_words: Single, codes: Codes) -> Familiarity:
        """From the similarities among the labelled texts, (n, n) each, and their classes (n,)."""
        usual = usual_similarity(similar, codes)
        alone = np.eye(len(codes), dtype=bool)
        same = codes[:, None] == codes[None, :]
        shared = np.bincount(codes)[codes] > 1
        others = (~same).any(axis=1)
        inside = features(_without(similar, alone), _without(by_words, alone), codes, usual)[shared]
        outside = features(_without(similar, same), _without(by_words, same), codes, usual)[others]
        both = np.vstack([inside, outside])
        shift, scale = (both.mean(axis=0), both.std(axis=0)) if len(both) else (np.zeros(4), np.ones(4))
        scale = np.where(scale > 0, scale, 1.0)
        weights = np.array([1.0, 0.0, 0.0, 0.0])
        if min(len(inside), len(outside)) >= LEAST:
            weights = _weights((inside - shift) / scale, (outside - shift) / scale) / scale
        known, unknown = (inside - shift) @ weights, np.sort((outside - shift) @ weights)
        return cls(weights=weights, shift=shift, unknown=unknown, usual=usual, auroc=auroc(known, unknown))

    def score(self, similar: Single, by_words: Single, codes: Codes) -> FloatArray:
        """(q,) for texts whose similarities to the labelled ones are (q, n)."""
        return np.asarray((features(similar, by_words, codes, self.usual) - self.shift) @ self.weights, dtype=float)

    def p_unrelated(self, score: FloatArray, alpha: float) -> FloatArray:
        """Conformal p-value of each score under "its class is not known", (q,); NaN when too few texts are known for
        any to reach `alpha`. Source: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world."""
        count = self.unknown.size
        if 1 / (count + 1) > alpha:
            return np.full(score.size, np.nan)
        at_least = count - np.searchsorted(self.unknown, score, side="left")
        return np.asarray((1 + at_least) / (count + 1), dtype=float)


def _without(values: Single, left_out: NDArray[np.bool_]) -> Single:
    return np.where(left_out, np.float32(-np.inf), values)


def _weights(inside: FloatArray, outside: FloatArray) -> FloatArray:
    """Logistic regression, both kinds weighing the same; no feature may count against being known."""
    x = np.vstack([inside, outside])
    sign = np.r_[np.ones(len(inside)), -np.ones(len(outside))]
    weigh = np.r_[np.full(len(inside), 0.5 / len(inside)), np.full(len(outside), 0.5 / len(outside))]

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (x @ w[:-1] + w[-1])
        value = float(weigh @ np.logaddexp(0, -margin))
        slope = -weigh * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        penalty = PENALTY / len(x)
        value += penalty / 2 * float(w[:-1] @ w[:-1])
        return value, np.r_[x.T @ slope + penalty * w[:-1], slope.sum()]

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    found = optimize.minimize(loss, np.r_[np.ones(x.shape[1]), 0.0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.asarray(found[:-1], dtype=float)


def auroc(positive: FloatArray, negative: FloatArray) -> float:
    """Probability that a positive scores above a negative, ties half; NaN without one of either."""
    if not positive.size or not negative.size:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    to = np.searchsorted(ordered, positive, side="right")
    return float(((below + to) / 2).mean() / negative.size)
