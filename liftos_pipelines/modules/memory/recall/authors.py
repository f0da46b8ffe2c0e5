"""Who said it: a question that names an author is mostly answered by what that author said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.memory.recall.growing import Names
from liftos_pipelines.modules.memory.recall.query import FloatArray, RecallQuery, Vectors
from liftos_pipelines.text import words


@dataclass(frozen=True, eq=False)
class AuthorChannel:
    """1 for what a named author said. Named is who is called by the whole name, or by a first name only one has."""

    authors: Names
    name: str = "author"

    @classmethod
    def of(cls, items: pl.DataFrame) -> AuthorChannel:
        return cls(Names.of(_authors(items)))

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
        return AuthorChannel(self.authors.extended(_authors(items)))


def _authors(items: pl.DataFrame) -> list[str | None]:
    return items["author"].to_list() if "author" in items.columns else [None] * items.height
