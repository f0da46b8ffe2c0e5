"""Text to features: what is folded together, what is refused, and hashes that do not change under our feet."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.features import hashed_counts, inverse_document_frequency, weighted
from liftos_pipelines.modules.sentiment.reading.normalise import normalise, unscorable

HASHES = [7077, 13759, 21010, 23475, 57873, 68646, 70125, 78673, 84058, 89735, 92268, 103842, 127828, 129300, 130007]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sooooo goooood", "sooo gooood"),
        ("thanks @alice https://a.example/1?x=2", "Thanks @bob http://b.example"),
        ("jajajaja que bueno", "JAJAJA que bueno"),
        ("kkkkkkk", "rsrsrs"),
        ("don\u2019t", "don't"),
        ("<p>great &amp; cheap</p>", "great & cheap"),
        ("👍🏿 ok", "👍 ok"),
        ("nice :-)", "nice =D"),
        ("bad :'(", "bad :("),
    ],
)
def test_spellings_that_say_the_same_become_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_negation_and_emoji_survive() -> None:
    assert normalise("NOT good 😡😡") == "not good 😡 😡"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n\t ", "empty"),
        ("<br><p></p>", "empty"),
        ("\x00\x01\x02\x03PNG\x1a\x07", "not text"),
        ("\ufffd\ufffdab\ufffd", "not text"),
        ("123 456", "no letters"),
        ("@user https://x.example", "no letters"),
        ("great", None),
        ("😡", None),
        (":(", None),
        ("خدمة سيئة جدا", None),
        ("\u202eevil right-to-left\u202c", None),
    ],
)
def test_a_text_that_cannot_be_scored_says_why(text: str | None, reason: str | None) -> None:
    assert unscorable(text) == reason


def test_a_hashtag_says_its_words_too() -> None:
    assert normalise("#SoHappy today") == "#sohappy so happy today"
    assert normalise("#sohappy today") == "#sohappy today"


def test_addresses_and_times_are_not_faces() -> None:
    assert "~" not in normalise("at 8:30, see note 3)").replace("~link", "")


def test_a_huge_text_costs_no_more_than_a_long_one() -> None:
    assert len(normalise("good " * 1_000_000)) < 10_000


def test_features_of_a_text_do_not_depend_on_its_neighbours() -> None:
    texts = ["good tent", "", "bad boots !", "👍"]
    together = hashed_counts(texts, bits=12)
    for row, text in enumerate(texts):
        assert (together[row] != hashed_counts([text], bits=12)).nnz == 0
    assert together[1].nnz == 0


def test_counts_are_those_of_the_definition() -> None:
    # " ab ": a, b | " a", "ab", "b " | " ab", "ab " | " ab " | word ab; nothing of length 5, no pair.
    assert hashed_counts(["ab"], bits=20).sum() == 9
    # Two words: each as above, and the pair.
    assert hashed_counts(["ab cd"], bits=20).sum() == 19


def test_word_order_matters_to_pairs_only() -> None:
    one, other = hashed_counts(["not good"], bits=20), hashed_counts(["good not"], bits=20)
    assert (one != other).nnz == 2


def test_hashes_are_stable() -> None:
    """A stored model is useless when the hash changes: these columns were written down with the first model."""
    assert hashed_counts(["ok 👍"], bits=17).indices.tolist() == HASHES


def test_weighted_rows_have_unit_length() -> None:
    counts = hashed_counts(["good tent", "bad", ""], bits=12)
    norms = np.sqrt(np.asarray(weighted(counts, inverse_document_frequency(counts)).power(2).sum(axis=1))).ravel()
    np.testing.assert_allclose(norms, [1, 1, 0], rtol=1e-6)
