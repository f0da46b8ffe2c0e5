"""Simulated dialogues: repeatable, with answers that are there, and hard enough that chance and words do not do."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.modules.memory.recall.lexical import Bm25
from liftos_pipelines.simulate.dialogue_worlds import conversation


def test_the_same_seed_says_the_same_and_every_answer_is_a_turn() -> None:
    talk, again, other = conversation(3), conversation(3), conversation(4)
    assert talk.turns.equals(again.turns)
    assert talk.questions == again.questions
    assert not talk.turns.equals(other.turns)
    known = set(talk.turns["note_id"])
    assert all(one.relevant and one.relevant <= known for one in talk.questions)
    assert {one.category for one in talk.questions} == {"single", "multi", "temporal"}
    assert talk.turns["author"].n_unique() == 2
    assert talk.turns["at"].is_sorted()
    assert 380 <= talk.turns.height <= 460


def test_who_is_asked_about_said_the_answer() -> None:
    talk = conversation(5)
    author = dict(talk.turns.select("note_id", "author").iter_rows())
    for one in talk.questions:
        assert all(author[name] in one.text for name in one.relevant)


def test_words_find_more_than_chance_and_not_everything() -> None:
    talk = conversation(6)
    bm25, rows = Bm25(talk.turns["text"].to_list()), talk.turns["note_id"].to_list()
    found = [
        rows[place] in one.relevant
        for one in talk.questions
        for place in np.argsort(-bm25.scores(one.text), kind="stable")[:1]
    ]
    assert 0.2 < np.mean(found) < 0.8


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="elliptical"):
        conversation(1, elliptical=1.5)
