"""Recall: which memories a text brings back, by words and by meaning, and which of the two carried each.

Fusion is a weighted sum of normalised scores. Reciprocal rank fusion is kept as a method to compare with: on
the data it was measured on it did worse than BM25 alone (see docs/modules/memory.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.lexical import Bm25
from liftos_pipelines.modules.memory.records import history as versions

Method = Literal["hybrid", "bm25", "vector", "rrf"]
METHODS: tuple[Method, ...] = ("bm25", "vector", "hybrid", "rrf")
WEIGHT_LEXICAL = 0.5
"""Share of words in the fused score; the rest is meaning. Equal weights, not tuned on any client's data."""
RRF_K = 60

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A memory brought back. `score` is the fused score in 0..1 within this query, `bm25` and `cosine` are
    raw.
    """

    memory_id: str
    kind: str
    text: str
    domain: str | None
    score: float
    bm25: float
    cosine: float
    matched: tuple[str, ...]
    explanation: str
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_at: datetime | None
    superseded_at: datetime | None
    source: str
    outcome: str | None
    effect: float | None
    std_error: float | None
    provenance: str


class RecallIndex:
    """All versions of a client's memories in memory: an exact search over their words and their vectors.

    Parameters
    ----------
    items : (n) item rows, current and superseded
    vectors : (n, d) float32, unit length, in the order of `items`

    Raises
    ------
    ValueError : the numbers of items and vectors differ
    """

    def __init__(self, items: pl.DataFrame, vectors: NDArray[np.float32]) -> None:
        if len(vectors) != items.height:
            raise ValueError(f"{items.height} items but {len(vectors)} vectors")
        self.items = items.with_row_index("_row")
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._bm25 = Bm25(items["text"].to_list())
        self._kinds = items["kind"].to_numpy()
        self._domains = items["domain"].fill_null("").to_numpy()
        self._ids = items["memory_id"].to_numpy()
        self._current = items["superseded_at"].is_null().to_numpy()

    def __len__(self) -> int:
        return self.items.height

    def search(
        self,
        text: str,
        vector: NDArray[np.float32],
        k: int = 10,
        *,
        as_of: datetime | None = None,
        strict: bool = False,
        kinds: Collection[str] | None = None,
        domains: Collection[str] | None = None,
        exclude: Collection[str] = (),
        method: Method = "hybrid",
    ) -> list[Hit]:
        """The k best memories for a text and its vector, best first.

        Parameters
        ----------
        as_of, strict : the memory as it was at a moment, see `history.as_of`; current memories when None
        kinds, domains : only these; exclude : memory ids to leave out
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        rows = self._rows(as_of, strict, kinds, domains, exclude)
        if rows.size == 0:
            return []
        lexical = self._bm25.scores(text)[rows]
        cosine = self._cosines(vector, rows)
        score = fuse(lexical, cosine, method)
        # Ties go by id, so that the same memory answers the same twice.
        order = np.lexsort((self._ids[rows], -score)) if score.size <= 4 * k else self._top(score, rows, k)
        return [self._hit(text, int(rows[i]), score[i], lexical[i], cosine[i], lexical, cosine) for i in order[:k]]

    def ranking(
        self, text: str, vector: NDArray[np.float32], method: Method, exclude: Collection[str] = ()
    ) -> list[str]:
        """Ids of all current memories, best first, by one method; for measuring methods against each
        other.
        """
        rows = self._rows(None, False, None, None, exclude)
        score = fuse(self._bm25.scores(text)[rows], self._cosines(vector, rows), method)
        return [str(name) for name in self._ids[rows[np.lexsort((self._ids[rows], -score))]]]

    def _cosines(self, vector: NDArray[np.float32], rows: NDArray[np.int64]) -> FloatArray:
        # One product over all rows is faster than gathering the wanted ones first.
        return (self.vectors @ np.asarray(vector, dtype=np.float32))[rows].astype(float)

    def _top(self, score: FloatArray, rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        cut = np.partition(score, score.size - k)[score.size - k]
        best = np.flatnonzero(score >= cut)
        return best[np.lexsort((self._ids[rows[best]], -score[best]))]

    def _rows(
        self,
        as_of: datetime | None,
        strict: bool,
        kinds: Collection[str] | None,
        domains: Collection[str] | None,
        exclude: Collection[str],
    ) -> NDArray[np.int64]:
        if as_of is None:
            mask = self._current.copy()
        else:
            mask = np.zeros(len(self), dtype=bool)
            mask[versions.as_of(self.items, as_of, strict=strict)["_row"].to_numpy()] = True
        if kinds is not None:
            mask &= np.isin(self._kinds, list(kinds))
        if domains is not None:
            mask &= np.isin(self._domains, list(domains))
        if exclude:
            mask &= ~np.isin(self._ids, list(exclude))
        return np.flatnonzero(mask)

    def _hit(
        self,
        text: str,
        row: int,
        score: float,
        bm25: float,
        cosine: float,
        lexical: FloatArray,
        cosines: FloatArray,
    ) -> Hit:
        item = self.items.row(row, named=True)
        matched = tuple(self._bm25.shared(text, row))
        return Hit(
            memory_id=item["memory_id"],
            kind=item["kind"],
            text=item["text"],
            domain=item["domain"],
            score=float(score),
            bm25=float(bm25),
            cosine=float(cosine),
            matched=matched,
            explanation=_explain(matched, bm25, cosine, float(lexical.max()), cosines),
            valid_from=item["valid_from"],
            valid_to=item["valid_to"],
            recorded_at=item["recorded_at"],
            superseded_at=item["superseded_at"],
            source=item["source"],
            outcome=item["outcome"],
            effect=item["effect"],
            std_error=item["std_error"],
            provenance=item["provenance"],
        )


def fuse(lexical: FloatArray, cosine: FloatArray, method: Method = "hybrid") -> FloatArray:
    """One score from words and meaning, higher is better; both (n,), so is the result.

    hybrid: half BM25 over its maximum, half cosine scaled between its minimum and maximum in this query.
    rrf: reciprocal rank fusion, Cormack, Clarke and Buettcher (2009), k = 60; a text without a shared word
    has no lexical rank.
    """
    if method == "bm25":
        return lexical
    if method == "vector":
        return cosine
    if method == "rrf":
        return _reciprocal_ranks(lexical, lexical > 0) + _reciprocal_ranks(cosine, np.ones(cosine.size, bool))
    return WEIGHT_LEXICAL * over_max(lexical) + (1 - WEIGHT_LEXICAL) * between_extremes(cosine)


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


def _explain(matched: tuple[str, ...], bm25: float, cosine: float, top: float, cosines: FloatArray) -> str:
    by_words = WEIGHT_LEXICAL * (bm25 / top if top > 0 else 0.0)
    spread = float(cosines.max() - cosines.min())
    by_meaning = (1 - WEIGHT_LEXICAL) * ((cosine - float(cosines.min())) / spread if spread > 0 else 0.0)
    shared = f"words {by_words:.2f} ({', '.join(matched[:6])})" if matched else "words 0 (none shared)"
    carrier = "words" if by_words > by_meaning else "meaning"
    return f"carried by {carrier}: {shared}; meaning {by_meaning:.2f} (cosine {cosine:.2f})"
