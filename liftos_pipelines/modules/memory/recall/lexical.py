"""Words: BM25 in memory, exact, growing at the end, fast enough for tens of thousands of memories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.growing import Growing
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors
from liftos_pipelines.modules.memory.recall.stemming import stem
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.text import words

K1, B = 1.2, 0.75

_FUNCTION_WORDS = """
    a an and are as at be but by did do does for from had has have he her him his how i if in into is it its me my no
    not of on or our she so than that the their them then there these they this to was we were what when where which
    who why will with would you your
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SATURATED = 0.6
_HELD_TERMS = 2000
"""Terms whose weights are kept for the next query that asks for them."""
_Postings = tuple[NDArray[np.int32], NDArray[np.float32]]
_NOWHERE: _Postings = (np.empty(0, np.int32), np.empty(0, np.float32))


def terms(text: str) -> list[str]:
    """Index terms: folded words without stop words, stemmed; pairs of signs where words have no spaces between."""
    found: list[str] = []
    for word in words(text):
        if not word.isascii() and _NO_SPACES.search(word) and len(word) > 1:
            found.extend(word[i : i + 2] for i in range(len(word) - 1))
        elif word not in STOP_WORDS:
            found.append(stem(word))
    return found


@lru_cache(maxsize=256)
def _query_terms(query: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(terms(query)))


@lru_cache(maxsize=256)
def _as_asked(query: str) -> dict[str, str]:
    """The query's words by their terms."""
    asked: dict[str, str] = {}
    for word in words(query):
        for term in terms(word):
            asked.setdefault(term, word)
    return asked


class Bm25:
    """Okapi BM25: which rows hold a term and how often; weights are computed for the query's few terms.

    Source: Robertson and Zaragoza (2009), The probabilistic relevance framework; idf as in Lucene (never negative).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._postings: dict[str, _Postings] = {}
        self._lengths = Growing(np.empty(0, dtype=np.float32))
        self._total = 0.0
        self._weighted: dict[str, NDArray[np.float64]] = {}
        self._append(texts)

    @property
    def n(self) -> int:
        return self._lengths.n

    def extended(self, texts: Sequence[str]) -> Bm25:
        """With further texts; the terms of earlier ones are not counted again. This one stays as it is."""
        grown = Bm25.__new__(Bm25)
        grown._postings, grown._lengths, grown._total = dict(self._postings), self._lengths, self._total
        grown._weighted = {}
        grown._append(texts)
        return grown

    def _append(self, texts: Sequence[str]) -> None:
        counts = [Counter(terms(text)) for text in texts]
        fresh: dict[str, tuple[list[int], list[int]]] = {}
        for row, count in enumerate(counts, start=self.n):
            for term, times in count.items():
                rows, frequencies = fresh.setdefault(term, ([], []))
                rows.append(row)
                frequencies.append(times)
        for term, (rows, frequencies) in fresh.items():
            at, tf = np.array(rows, dtype=np.int32), np.array(frequencies, dtype=np.float32)
            held = self._postings.get(term)
            both = (at, tf) if held is None else (np.concatenate([held[0], at]), np.concatenate([held[1], tf]))
            self._postings[term] = both
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float32)
        self._lengths = self._lengths.extended(lengths)
        self._total += float(lengths.sum())

    def _weights(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
        """The rows that hold a term, and what it is worth in each."""
        held = self._postings.get(term)
        if held is None:
            return None
        rows, tf = held
        weights = self._weighted.get(term)
        if weights is not None:
            return rows, weights
        mean = self._total / self.n if self._total else 1.0
        idf = np.log(1 + (self.n - rows.size + 0.5) / (rows.size + 0.5))
        norm = K1 * (1 - B + B / mean * self._lengths.view[rows])
        weights = (float(idf) * (K1 + 1)) * tf.astype(np.float64) / (tf + norm)
        if len(self._weighted) >= _HELD_TERMS:
            self._weighted.clear()
        self._weighted[term] = weights
        return rows, weights

    def holding(self, term: str) -> int:
        """How many texts hold a term."""
        return int(self._postings.get(term, _NOWHERE)[0].size)

    def scores(self, query: str, without: Collection[str] = ()) -> FloatArray:
        """BM25 of every text for a query; (n,), 0 where no term is shared. Terms of `without` count nothing."""
        total = np.zeros(self.n)
        for term in _query_terms(query):
            if term in without:
                continue
            held = self._weights(term)
            if held is not None:
                total[held[0]] += held[1]
        return total

    def attainable(self, query: str) -> float:
        """What a text of mean length with all the query's terms, each nearly twice, would score."""
        holding = np.array([self._postings.get(term, _NOWHERE)[0].size for term in _query_terms(query)], dtype=float)
        return float(np.log(1 + (self.n - holding + 0.5) / (holding + 0.5)).sum() * (K1 + 1) * _SATURATED)

    def shared(self, query: str, row: int) -> list[str]:
        """The query's terms that a text holds, those with most weight first."""
        weight = self._at(query, row)
        return sorted(weight, key=lambda term: (-weight[term], term))

    def score(self, query: str, row: int) -> float:
        """BM25 of one text."""
        return sum(self._at(query, row).values())

    def _at(self, query: str, row: int) -> dict[str, float]:
        weight = {}
        mean = self._total / self.n if self._total else 1.0
        for term in _query_terms(query):
            rows, tf = self._postings.get(term, _NOWHERE)
            at = int(rows.searchsorted(np.int32(row)))
            if at < rows.size and rows[at] == row:
                idf = float(np.log(1 + (self.n - rows.size + 0.5) / (rows.size + 0.5)))
                norm = K1 * (1 - B + B / mean * float(self._lengths.view[row]))
                weight[term] = idf * (K1 + 1) * float(tf[at]) / (float(tf[at]) + norm)
        return weight


@dataclass(frozen=True, eq=False)
class WordsChannel:
    """Shared words, the rare ones more, in what `searchable` says of each memory."""

    bm25: Bm25
    name: str = "words"

    @classmethod
    def of(cls, items: pl.DataFrame) -> WordsChannel:
        return cls(Bm25(searchable(items)))

    def scores(self, query: RecallQuery, without: Collection[str] = ()) -> FloatArray:
        return self.bm25.scores(query.text, without)

    def attainable(self, query: RecallQuery) -> float:
        """What full evidence would score; see `fusion.normalised`."""
        return self.bm25.attainable(query.text)

    def explain(self, query: RecallQuery, row: int) -> str:
        """The query's words as they were asked, those that weigh most first."""
        asked = _as_asked(query.text)
        return ", ".join(asked.get(term, term) for term in self.bm25.shared(query.text, row)[:6])

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> WordsChannel:
        return WordsChannel(self.bm25.extended(searchable(items)))
