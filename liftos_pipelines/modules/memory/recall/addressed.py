"""Who is spoken to: in a talk without speakers' names, "Ana" stands in what the others say to her.

"Where does Ana live?" is then answered by turns that do not hold her name, and the turns that do ("You're right, Ana!")
answer nothing. So the name of somebody who is called by it in the notes, and who is not known to have said any, is no
evidence among the words of a question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from liftos_pipelines.modules.memory.recall.stemming import stem
from liftos_pipelines.text import fold, words

OFTEN = 3
"""Calls before a word is taken for the name of somebody who takes part."""
SHARE = 0.2
"""Of all notes with the word, as many must call by it: a city is written about, not spoken to."""
TURN = 500
"""Letters: a longer text is a record of a talk, which may well hold the names of those it is about."""
_CALLED = re.compile(r"(?:^|[.!?] +)([A-Z][^\W\d_]+)[,!]|,\s+([A-Z][^\W\d_]+)\s*[.!?,]")


@dataclass(frozen=True, eq=False)
class Addressed:
    """How often notes without an author call somebody, by folded word."""

    calls: Mapping[str, int]

    @classmethod
    def of(cls, items: pl.DataFrame) -> Addressed:
        return cls({}).extended(items)

    def extended(self, items: pl.DataFrame) -> Addressed:
        columns = [
            items[name].to_list() if name in items.columns else [None] * items.height
            for name in ("kind", "author", "context", "text")
        ]
        fresh: Counter[str] = Counter()
        for kind, author, said, text in zip(*columns, strict=True):
            turn = said or text or ""
            if kind == "note" and not author and len(turn) <= TURN:
                # Once a note: somebody who shouts a name is one witness.
                fresh.update({fold(first or last) for first, last in _CALLED.findall(turn)})
        return Addressed(Counter(self.calls) + fresh) if fresh else self

    def terms(self, text: str, holding: Callable[[str], int]) -> frozenset[str]:
        """The question's index terms that are names of people who are spoken to.

        Parameters
        ----------
        holding : how many rows hold a term
        """
        found = set()
        for word in set(words(text)):
            calls = self.calls.get(word, 0)
            if calls >= OFTEN and calls >= SHARE * holding(stem(word)):
                found.add(stem(word))
        return frozenset(found)
