"""The GEO position-adjusted word count, against its published formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.surfacing.answers.answer import parse_answer
from liftos_pipelines.modules.surfacing.answers.impression import counted_words, word_position_impression


def published(words: list[int], citations: list[list[int]], n: int) -> list[float] | None:
    """The formula written out from the paper: sums over sentences, then normalised; only sources 1..n exist."""
    last = len(words) - 1
    raw = []
    for source in range(1, n + 1):
        impression = 0.0
        for s in range(len(words)):
            for reference in citations[s]:
                if reference == source:
                    impression += words[s] / len(citations[s]) * (math.exp(-s / last) if last else 1.0)
        raw.append(impression)
    return [value / sum(raw) for value in raw] if sum(raw) > 0 else None


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[list[int]], int]:
    n, size = draw(st.integers(1, 8)), draw(st.integers(1, 40))
    words = draw(st.lists(st.integers(0, 60), min_size=size, max_size=size))
    references = st.lists(st.integers(0, n + 3), max_size=4)  # 0 and numbers beyond the list among them
    return words, draw(st.lists(references, min_size=size, max_size=size)), n


@settings(max_examples=400, deadline=None)
@given(answers())
def test_any_answer_matches_the_published_formula_to_1e_9(answer: tuple[list[int], list[list[int]], int]) -> None:
    words, citations, n = answer
    shares, expected = word_position_impression(words, citations, range(1, n + 1)), published(words, citations, n)
    assert (shares is None) == (expected is None)
    if shares is not None and expected is not None:
        assert np.abs(np.array([shares[i] for i in range(1, n + 1)]) - expected).max() < 1e-9
        assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(answers())
def test_a_written_answer_gives_what_its_numbers_give(answer: tuple[list[int], list[list[int]], int]) -> None:
    words, citations, n = answer
    text = "\n".join(
        f"Sentence {'word ' * count}ends{''.join(f'[{reference}]' for reference in cited)}."
        for count, cited in zip(words, citations, strict=True)
    )
    urls = [f"https://source{number}.example/page" for number in range(1, n + 1)]
    parsed = parse_answer(text, urls)
    # "Sentence" and "ends" count too
    expected = published([count + 2 for count in words], citations, n)
    shares = word_position_impression(
        [counted_words(sentence.text) for sentence in parsed.sentences],
        [sentence.citations for sentence in parsed.sentences],
        list(parsed.sources),
    )
    assert parsed.hallucinated == sum(not 1 <= reference <= n for cited in citations for reference in cited)
    assert (shares is None) == (expected is None)
    if shares is not None and expected is not None:
        assert [shares[i] for i in range(1, n + 1)] == pytest.approx(expected, abs=1e-9)


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
