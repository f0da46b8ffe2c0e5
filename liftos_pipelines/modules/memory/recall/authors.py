"""Who said it: a question that names an author is mostly answered by what that author said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.memory.recall.growing import Names
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors
from liftos_pipelines.text import words

RECURS = 3
"""Notes that must begin with the same name and a colon before it is taken for a speaker's."""
_SPEAKER = re.compile(r"([A-Z]\w*(?:[ .'-]+[A-Z]\w*){0,2}): \S")


@dataclass(frozen=True, eq=False)
class AuthorChannel:
    """1 for what a named author said. Named is who is called by the whole name, or by a first name only one has."""

    authors: Names
    name: str = "author"

    @classmethod
    def of(cls, items: pl.DataFrame) -> AuthorChannel:
        return cls(Names.of(speakers(items)))

    def named(self, text: str) -> frozenset[str]:
        """The authors that a text names."""
        asked = words(text)
        present = set(asked)
        first, whole = self._index()
        found = {name for word in present for name in whole.get(word, ()) if set(words(name)) <= present}
        for word in present:
            if len(first.get(word, ())) == 1:
                found |= first[word]
        return frozenset(found)

    def _index(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Authors by their first word and by their last: looked up for the few words of a query."""
        held = self.__dict__.get("_held")
        if held is None or held[0] != len(self.authors.known):
            first: dict[str, set[str]] = {}
            whole: dict[str, set[str]] = {}
            for name in list(self.authors.known):
                parts = words(name)
                if parts:
                    first.setdefault(parts[0], set()).add(name)
                    whole.setdefault(parts[-1], set()).add(name)
            held = (len(self.authors.known), first, whole)
            object.__setattr__(self, "_held", held)
        return held[1], held[2]

    def scores(self, query: RecallQuery) -> FloatArray:
        named = self.named(query.text)
        return self.authors.among(named).astype(np.float64) if named else np.zeros(self.authors.codes.size)

    def explain(self, query: RecallQuery, row: int) -> str:
        said = [name for name in self.named(query.text) if self.authors.known[name] == self.authors.codes[row]]
        return f"said by {said[0]}" if said else ""

    def extended(self, items: pl.DataFrame, vectors: Vectors) -> AuthorChannel:
        return AuthorChannel(self.authors.extended(speakers(items, self.authors.known)))


def speakers(items: pl.DataFrame, known: Collection[str] = ()) -> list[str | None]:
    """(n) who said each item: its author, or where none is given the name before a colon that its text begins with
    ("Ana: we moved"), if that name begins several notes or is known already.
    """
    given = items["author"].to_list() if "author" in items.columns else [None] * items.height
    texts, kinds = items["text"].to_list(), items["kind"].to_list()
    read = [
        found.group(1) if author is None and kind == "note" and (found := _SPEAKER.match(text)) else None
        for author, kind, text in zip(given, kinds, texts, strict=True)
    ]
    count = Counter(read)
    return [
        author or (name if name is not None and (name in known or count[name] >= RECURS) else None)
        for author, name in zip(given, read, strict=True)
    ]
