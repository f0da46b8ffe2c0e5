"""Windows of long texts: they hold everything, overlap, fit the model, and leave short texts alone."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.windows import FITS, MOST, OVERLAP, PIECES, pieces, windows
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.simulate.dialogue_worlds import NOTES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENTENCES = [f"Sentence number {place} tells of a parcel, its way and its price." for place in range(60)]


def test_a_text_that_fits_is_its_own_only_window() -> None:
    for text in ("", "Short.", " ".join(SENTENCES[:12]), "word " * FITS):
        assert windows(text) == [text]


@pytest.mark.parametrize(
    "text", [" ".join(SENTENCES), "\n".join(SENTENCES), "word " * 900, "x" * 9000, "文章" * 400, "a\n\n" * 500]
)
def test_windows_fit_overlap_and_hold_everything(text: str) -> None:
    found = windows(text)
    assert len(found) > 1
    assert all(pieces(part) <= PIECES + OVERLAP for part in found)
    assert "".join("".join(found).split()).startswith("".join(text.split())[:20])
    assert {word for part in found for word in part.split()} >= set(text.split()) or " " not in text.strip()
    assert any(sentence in found[1] for sentence in SENTENCES) or "Sentence" not in text


def test_windows_of_sentences_begin_with_the_end_of_the_one_before() -> None:
    found = windows(" ".join(SENTENCES))
    for before, after in pairwise(found):
        first = after.split(". ")[0]
        assert first in before
        assert after not in before
    assert all(any(sentence in part for part in found) for sentence in SENTENCES)


@given(st.text(max_size=3000))
def test_any_text_has_windows_and_they_follow_from_it_alone(text: str) -> None:
    found = windows(text)
    assert 1 <= len(found) <= MOST
    assert found == windows(text)


def test_the_nearest_window_counts_and_short_texts_score_as_before() -> None:
    rows = [(f"n{place}", NOW, f"Text {place}", None, None, None) for place in range(4)]
    held = history.remember(
        items.empty_items(), from_sources.notes(pl.DataFrame(rows, schema=NOTES, orient="row")), NOW
    )
    eye, none = np.eye(6, dtype=np.float32), np.empty((0, 6), np.float32)
    deep = [none, eye[[4, 5]], none, none]
    plain = RecallIndex(held.added, eye[:4])
    built = RecallIndex(held.added, eye[:4], windows={"": deep})
    grown = RecallIndex(held.added[:1], eye[:1]).extended(held.added[1:], eye[1:4], windows={"": deep[1:]})
    for index in (built, grown):
        best = index.search("?", eye[5], 4)[0]
        assert (best.text, best.cosine) == (held.added["text"][1], 1.0)
        for row in (0, 2, 3):
            assert index.search("?", eye[row], 4) == plain.search("?", eye[row], 4)
    assert plain.search("?", eye[5], 4)[0].cosine == 0.0, "the dummy: what is deep is not found"
