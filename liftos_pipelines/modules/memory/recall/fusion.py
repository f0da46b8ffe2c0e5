"""One score from several channels of evidence: a weighted sum, with weights that belong to the collection.

Each channel is first brought to 0..1 within the query: what counts evidence from 0 up (author, graph, dimensions) is
divided by its best; words by what the question's words could be worth at most, so that a question whose rare words
nobody used is answered by meaning; cosines, which are never near 0, are scaled between their lowest and highest. The
weights are not negative and sum to 1, so a score lies in 0..1 and its parts say what carried it. Reciprocal rank
fusion, which throws the distances away, is kept to compare with: it is measurably worse, see
docs/modules/memory-recall.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.query import FloatArray

Method = Literal["hybrid", "bm25", "vector", "rrf", "linear"]
METHODS: tuple[Method, ...] = ("bm25", "vector", "hybrid", "rrf")
RRF_K = 60
SPREADING = frozenset({"words", "meaning", "dimensions", "graph"})
"""Channels whose evidence reaches the turns beside; who said a turn says nothing about the next one."""
PRIOR_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"words": 0.55, "meaning": 0.25, "author": 0.15, "dimensions": 0.0, "graph": 0.05}
)
"""The packaged prior; see docs/modules/memory-recall.md for what it was chosen on."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a collection's evidence is fused. `weights` by channel: any scale, brought to a sum of 1; a channel that is
    not named counts nothing. `spread` is the share of the better neighbour's score that a turn gains, in 0..1; `linked`
    that of the best score which the graph brings to a memory, where the graph has a weight.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: PRIOR_WEIGHTS)
    spread: float = 0.3
    linked: float = 0.0

    def __post_init__(self) -> None:
        bad = {name: value for name, value in self.weights.items() if not (np.isfinite(value) and value >= 0)}
        total = sum(self.weights.values())
        if bad or not total > 0:
            raise ValueError(f"weights are not negative and not all 0; these are not fit: {bad or dict(self.weights)}")
        if not 0 <= self.spread <= 1:
            raise ValueError(f"spread is a share in 0..1, not {self.spread}")
        if not 0 <= self.linked <= 1:
            raise ValueError(f"linked is a share in 0..1, not {self.linked}")
        scaled = {name: float(value) / total for name, value in self.weights.items()}
        object.__setattr__(self, "weights", MappingProxyType(scaled))


PRIOR = Settings()


def fuse(lexical: FloatArray, cosine: FloatArray, method: Method = "hybrid") -> FloatArray:
    """One score from words and meaning alone, by the methods that are compared; both (n,), so is the result.

    hybrid, linear: half BM25 over its maximum, half cosine scaled between its minimum and maximum in this query.
    rrf: reciprocal rank fusion, Cormack, Clarke and Buettcher (2009), k = 60; a text without a shared word has no
    lexical rank.
    """
    if method == "bm25":
        return lexical
    if method == "vector":
        return cosine
    if method == "rrf":
        return _reciprocal_ranks(lexical, lexical > 0) + _reciprocal_ranks(cosine, np.ones(cosine.size, bool))
    return 0.5 * over_max(lexical) + 0.5 * between_extremes(cosine)


def normalised(channel: str, scores: FloatArray, attainable: float = 0.0) -> FloatArray:
    """A channel's scores over the rows that may answer, (n,), brought to 0..1.

    `attainable` is what full evidence would score: where even the best row is far from it, the channel says little.
    """
    if channel != "meaning":
        top = max(scores.max(initial=0.0), attainable)
        return scores / top if top > 0 else np.zeros_like(scores)
    known = scores > 0
    if known.all():
        return between_extremes(scores)
    scaled = np.zeros_like(scores)
    scaled[known] = between_extremes(scores[known])
    return scaled


def over_max(scores: FloatArray) -> FloatArray:
    top = scores.max(initial=0.0)
    return scores / top if top > 0 else np.zeros_like(scores)


def between_extremes(scores: FloatArray) -> FloatArray:
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def _reciprocal_ranks(scores: FloatArray, ranked: NDArray[np.bool_]) -> FloatArray:
    ranks = np.empty(scores.size)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, scores.size + 1)
    return np.where(ranked, 1 / (RRF_K + ranks), 0.0)
