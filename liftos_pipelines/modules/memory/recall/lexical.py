"""Words: a small BM25 index in memory, exact and fast enough for tens of thousands of memories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.text import words

K1, B = 1.2, 0.75

_FUNCTION_WORDS = """
    a an and are as at be but by for from had has have he her his how i if in into is it its me my no not of
    on or our she so than that the their them then there these they this to was we were what when where which
    who will with would you your
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def terms(text: str) -> list[str]:
    """Index terms: folded words without stop words, plural endings removed; pairs of signs where words have
    none.

    The stemmer is Harman's (1991) S-stemmer: light enough to leave other languages' words alone.
    """
    found: list[str] = []
    for word in words(text):
        if _NO_SPACES.search(word) and len(word) > 1:
            found.extend(word[i : i + 2] for i in range(len(word) - 1))
        elif word not in STOP_WORDS:
            found.append(_singular(word))
    return found


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word


class Bm25:
    """Okapi BM25 over fixed texts: term weights are computed once, a query sums a few short lists.

    Source: Robertson and Zaragoza (2009), The probabilistic relevance framework; idf as in Lucene (never
    negative).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.n = len(texts)
        counts = [Counter(terms(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=float)
        mean = float(lengths.mean()) if self.n and lengths.sum() else 1.0
        norm = K1 * (1 - B + B * lengths / mean)
        postings: dict[str, tuple[list[int], list[int]]] = {}
        for row, count in enumerate(counts):
            for term, times in count.items():
                rows, frequencies = postings.setdefault(term, ([], []))
                rows.append(row)
                frequencies.append(times)
        self._postings: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for term, (rows, frequencies) in postings.items():
            at, tf = np.array(rows, dtype=np.int64), np.array(frequencies, dtype=float)
            idf = np.log(1 + (self.n - at.size + 0.5) / (at.size + 0.5))
            self._postings[term] = (at, idf * tf * (K1 + 1) / (tf + norm[at]))

    def scores(self, query: str) -> NDArray[np.float64]:
        """BM25 of every text for a query; (n,), 0 where no term is shared."""
        total = np.zeros(self.n)
        for term in set(terms(query)):
            if term in self._postings:
                rows, weights = self._postings[term]
                total[rows] += weights
        return total

    def shared(self, query: str, row: int) -> list[str]:
        """The query's terms that a text holds, those with most weight first."""
        weight = {}
        for term in set(terms(query)):
            if term in self._postings:
                rows, weights = self._postings[term]
                at = int(np.searchsorted(rows, row))
                if at < rows.size and rows[at] == row:
                    weight[term] = float(weights[at])
        return sorted(weight, key=lambda term: (-weight[term], term))
