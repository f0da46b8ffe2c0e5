"""The GEO position-adjusted word count, against its published formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from liftos_pipelines.modules.surfacing.impression import counted_words, word_position_impression


def published(words: list[int], citations: list[list[int]], n: int) -> list[float]:
    """The formula written out from the paper: sums over sentences, then normalised."""
    last = len(words) - 1
    raw = [
        sum(words[s] * math.exp(-s / last) / len(cited) * cited.count(i) for s, cited in enumerate(citations) if cited)
        for i in range(1, n + 1)
    ]
    return [value / sum(raw) for value in raw]


def test_random_answers_match_the_published_formula_to_1e_9() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        n, size = int(rng.integers(1, 7)), int(rng.integers(2, 30))
        words = rng.integers(1, 40, size).tolist()
        citations = [rng.integers(1, n + 1, rng.integers(0, 4)).tolist() for _ in range(size)]
        citations[0] = citations[0] or [1]
        shares = word_position_impression(words, citations, range(1, n + 1))
        assert shares is not None
        assert np.abs(np.array([shares[i] for i in range(1, n + 1)]) - published(words, citations, n)).max() < 1e-9


def test_a_hand_computed_answer() -> None:
    shares = word_position_impression([10, 20, 30], [[1], [1, 2], [2]], [1, 2])
    one = 10 + 20 * math.exp(-0.5) / 2
    two = 20 * math.exp(-0.5) / 2 + 30 * math.exp(-1)
    assert shares is not None
    assert shares[1] == pytest.approx(one / (one + two), abs=1e-12)


def test_citation_zero_credits_nobody_where_python_indexing_would_credit_the_last() -> None:
    words, citations = [10, 10], [[0], [1]]
    naive = [0.0, 0.0, 0.0]
    for s, cited in enumerate(citations):
        for i in cited:
            naive[i - 1] += words[s] * math.exp(-s)
    assert naive[2] > naive[0]  # what goes wrong: the last source leads without being cited
    assert word_position_impression(words, citations, [1, 2, 3]) == {1: 1.0, 2: 0.0, 3: 0.0}


def test_a_single_sentence_has_full_weight_and_no_citation_gives_no_number() -> None:
    assert word_position_impression([7], [[2]], [1, 2]) == {1: 0.0, 2: 1.0}
    assert word_position_impression([7, 3], [[], []], [1, 2]) is None
    assert word_position_impression([7], [[9]], [1, 2]) is None
    assert word_position_impression([], [], [1]) is None


def test_short_words_do_not_count() -> None:
    assert counted_words("It is a well-known fact, isn't it?") == 3
