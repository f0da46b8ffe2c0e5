"""Scope: how similar a context must be before past actions say anything of it.

Nothing here is a guessed threshold. How similar is similar enough is read off the collection itself: the
similarity that each past context reaches with its nearest context of another topic is what unrelated contexts
reach by chance. A new context that does not exceed nearly all of those is out of scope, and the memory
abstains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.learning.evidence import Evidence
from liftos_pipelines.modules.memory.learning.validation import LESS, MONEY_WORDS, MORE, direction_of
from liftos_pipelines.text import words

FloatArray = NDArray[np.float64]

ALPHA = 0.1
"""Share of contexts of a topic that memory does not hold which it may answer all the same."""

NEIGHBOURS = 5
"""How many nearest contexts vote on whether a query belongs to one topic."""

KERNEL_POWER = 4
"""How fast evidence fades with similarity; chosen on ten simulated worlds, see docs/modules/memory.md."""


def reach(similarity: FloatArray, topics: NDArray[np.str_]) -> FloatArray:
    """How clearly each query belongs to one topic of a collection: vote share times largest similarity.

    Parameters
    ----------
    similarity : (q, n) cosine of queries and contexts; -inf where a context may not be used
    topics : (n,) topics of the contexts

    Returns
    -------
    (q,) : the share of the most similar topic among the `NEIGHBOURS` nearest, weighed by similarity, times the
    similarity of the nearest; -inf for a query without a usable context
    """
    scores = np.full(len(similarity), -np.inf)
    for row, values in enumerate(similarity):
        nearest = np.argsort(-values, kind="stable")[:NEIGHBOURS]
        nearest = nearest[np.isfinite(values[nearest])]
        if nearest.size == 0:
            continue
        votes = np.clip(values[nearest], 0.0, None)
        _, codes = np.unique(topics[nearest], return_inverse=True)
        total = votes.sum()
        share = float(np.bincount(codes, weights=votes).max() / total) if total > 0 else 0.0
        scores[row] = share * float(values[nearest[0]])
    return scores


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What scores mean in one collection.

    unrelated : (m,) sorted `reach` of each context when its own topic is hidden
    background : median similarity of two contexts of different topics; it is no evidence at all
    action_background : similarity below which two differently worded actions count as different
    """

    unrelated: FloatArray
    background: float
    action_background: float

    @property
    def enough(self) -> bool:
        """Whether there are contexts enough for any query to be told in scope at level `ALPHA`."""
        return 1 / (self.unrelated.size + 1) <= ALPHA

    @property
    def threshold(self) -> float | None:
        """The score that a query must exceed to be in scope; None when there is too little to tell."""
        if not self.enough:
            return None
        allowed = int(np.floor(ALPHA * (self.unrelated.size + 1))) - 1
        return float(self.unrelated[self.unrelated.size - 1 - allowed])

    def p_unrelated(self, score: float) -> float:
        """Probability that a context of a topic memory does not hold scores at least this: conformal p-value.

        Source: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.
        """
        at_least = self.unrelated.size - int(np.searchsorted(self.unrelated, score, side="left"))
        return (1 + at_least) / (self.unrelated.size + 1)

    def weight(self, similarity: FloatArray) -> FloatArray:
        """How much evidence each context is for one query, (n,) 0..1: 1 for the nearest, none at the background."""
        top = similarity.max(initial=-np.inf)
        if not np.isfinite(top) or top <= self.background:
            return np.zeros_like(similarity)
        scaled = (np.maximum(similarity, self.background) - self.background) / (top - self.background)
        return scaled**KERNEL_POWER


def calibrate(evidence: Evidence) -> Scope:
    """Read the scope of a collection off the similarities among its own contexts."""
    topics = evidence.topics
    known = topics != ""
    unrelated, background = np.empty(0), 1.0
    if np.unique(topics[known]).size > 1:
        similar = (evidence.contexts @ evidence.contexts.T).astype(float)
        other = known[:, None] & known[None, :] & (topics[:, None] != topics[None, :])
        unrelated = np.sort(reach(np.where(other, similar, -np.inf)[known], topics))
        background = float(np.median(similar[other]))
    action_background = 1.0
    if len(evidence.actions) > 2:
        pairs = (evidence.actions @ evidence.actions.T)[np.triu_indices(len(evidence.actions), 1)]
        action_background = float(np.quantile(pairs, 1 - ALPHA))
    return Scope(unrelated=unrelated, background=background, action_background=action_background)


def similar_actions(evidence: Evidence, scope: Scope, vector: NDArray[np.float32], text: str) -> FloatArray:
    """How much each piece of evidence is about an action, (n,): 1 for the same words, less for like ones.

    Vectors hardly tell "increase tv budget" from "cut tv budget" (.85 alike on the demo), and what the one achieved
    speaks against the other: a move of spend is like moves of the same thing in the same direction only.
    """
    similarity = (evidence.actions @ vector).astype(float)
    if scope.action_background >= 1:
        alike = np.where(similarity >= 1 - 1e-6, 1.0, 0.0)
    else:
        alike = np.clip((similarity - scope.action_background) / (1 - scope.action_background), 0.0, 1.0)
    own = _move(text)
    comparable = np.array([_move(other) == own for other in evidence.action_texts], dtype=bool)
    return np.where(comparable, alike, 0.0)[evidence.action_codes]


_UNSAID = frozenset({"by", "per", "cent", "percent", "the", "a", "of", "on", "for", "in", "to"})


@lru_cache(maxsize=4096)
def _move(text: str) -> tuple[str, frozenset[str]] | None:
    """Direction of a move of spend and what it is about; None for every other action."""
    direction = direction_of(text)
    if direction is None:
        return None
    said = set(words(text.replace("_", " "))) - MORE - LESS - MONEY_WORDS - _UNSAID
    return direction, frozenset(word for word in said if not re.fullmatch(r"[\d.,]+", word))
