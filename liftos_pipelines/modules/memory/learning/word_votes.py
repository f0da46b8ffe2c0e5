"""Which labelled texts share the rare words of a text: TF-IDF over words and pairs of words, as a sparse product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.text import words

FloatArray = NDArray[np.float64]
Single = NDArray[np.float32]
FEW = 8


def tokens(text: str) -> list[str]:
    """Folded words and pairs of neighbouring words. Function words stay: "I have" and "have I" are not the same."""
    found = words(text)
    return found + [f"{first} {second}" for first, second in pairwise(found)]


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """TF-IDF of n texts over v terms, unit rows, stored by term so that a query touches only its own terms.

    Sublinear term frequency (1 + log tf) and smoothed inverse document frequency: Manning, Raghavan and Schuetze
    (2008), Introduction to information retrieval, section 6.4.
    """

    vocabulary: dict[str, int]
    idf: FloatArray
    by_term: sparse.csr_array
    """(v, n)"""

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordTable:
        counts = [Counter(tokens(text)) for text in texts]
        vocabulary: dict[str, int] = {}
        for count in counts:
            for term in count:
                vocabulary.setdefault(term, len(vocabulary))
        occurs = np.zeros(len(vocabulary))
        for count in counts:
            occurs[[vocabulary[term] for term in count]] += 1
        idf = np.log((1 + len(texts)) / (1 + occurs)) + 1
        rows = _rows(counts, vocabulary, idf)
        return cls(vocabulary=vocabulary, idf=idf, by_term=sparse.csr_array(rows.T))

    def similarity(self, texts: Sequence[str]) -> Single:
        """Cosine of texts and the table's texts, (q, n)."""
        asked = _rows([Counter(tokens(text)) for text in texts], self.vocabulary, self.idf)
        table = self.by_term
        if len(texts) > FEW:
            return np.asarray((asked @ table).toarray(), dtype=np.float32)
        # For a few texts, adding up short lists is quicker than a sparse product.
        found = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        for row, sums in enumerate(found):
            for place in range(asked.indptr[row], asked.indptr[row + 1]):
                of_term = slice(*table.indptr[asked.indices[place] : asked.indices[place] + 2])
                sums[table.indices[of_term]] += asked.data[place] * table.data[of_term]
        return found

    def only(self, kept: NDArray[np.bool_]) -> WordTable:
        """The table of some of the texts; term weights stay those of all of them."""
        return WordTable(
            vocabulary=self.vocabulary, idf=self.idf, by_term=sparse.csr_array(self.by_term.tocsc()[:, kept])
        )


def _rows(counts: Sequence[Counter[str]], vocabulary: dict[str, int], idf: FloatArray) -> sparse.csr_array:
    starts, terms, weights = [0], [], []
    for count in counts:
        known = [(vocabulary[term], times) for term, times in count.items() if term in vocabulary]
        values = np.array([(1 + np.log(times)) * idf[term] for term, times in known])
        length = float(np.sqrt((values**2).sum()))
        terms += [term for term, _ in known]
        weights += list(values / length if length > 0 else values)
        starts.append(len(terms))
    shape = (len(counts), len(vocabulary))
    values, columns = np.array(weights, dtype=np.float32), np.array(terms, dtype=np.int64)
    return sparse.csr_array((values, columns, np.array(starts)), shape)
