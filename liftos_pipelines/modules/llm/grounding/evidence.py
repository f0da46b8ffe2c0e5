"""What a context offers to check against: its words, word sequences, passages and named things, indexed once."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from liftos_pipelines.modules.llm.grounding.claims.dates import Day
from liftos_pipelines.modules.llm.grounding.claims.numbers import Number
from liftos_pipelines.modules.llm.grounding.parse import Document, parse

PREFIX = 5
"""Words that share this many letters and are longer count as forms of one word (inform, information)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """A parsed context with its indexes. Positions are tokens of `doc`; passages are sets of content stems."""

    doc: Document
    positions: dict[str, list[int]]
    pairs: dict[tuple[str, str], list[int]]
    fours: frozenset[tuple[str, ...]]
    prefixes: frozenset[str]
    passages: tuple[frozenset[str], ...]
    weights: dict[str, float]
    """Inverse sentence frequency of each content stem: a word of every sentence tells little."""
    acronyms: frozenset[str]
    numbers: tuple[Number, ...]
    days: tuple[Day, ...]

    def knows(self, stem: str) -> bool:
        return stem in self.positions

    def resembles(self, stem: str) -> bool:
        """Whether the context has the word or another form of it."""
        return stem in self.positions or (len(stem) > PREFIX and stem[:PREFIX] in self.prefixes)

    def weight(self, stem: str) -> float:
        """A word that the context lacks weighs as one that it has once."""
        return self.weights.get(stem, 1.0)


@lru_cache(maxsize=1024)
def read_evidence(context: str) -> Evidence:
    """Index a context; cached, since many outputs share one."""
    doc = parse(context)
    stems = doc.stems
    positions: dict[str, list[int]] = defaultdict(list)
    for i, stem in enumerate(stems):
        positions[stem].append(i)
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, pair in enumerate(itertools.pairwise(stems)):
        pairs[pair].append(i)
    passages = tuple(frozenset(stems[i] for i in range(first, last) if doc.content[i]) for first, last in doc.sentences)
    counts = Counter(stem for passage in passages for stem in passage)
    most = math.log(1 + len(passages))
    return Evidence(
        doc=doc,
        positions=dict(positions),
        pairs=dict(pairs),
        fours=frozenset(zip(stems, stems[1:], stems[2:], stems[3:], strict=False)),
        prefixes=frozenset(stem[:PREFIX] for stem in positions if len(stem) > PREFIX),
        passages=passages,
        weights={stem: max(0.3, math.log(1 + len(passages) / n) / most) for stem, n in counts.items()} if most else {},
        acronyms=frozenset(_initials(doc)),
        numbers=tuple(number for sentence in doc.numbers for number in sentence),
        days=tuple(day for sentence in doc.days for day in sentence),
    )


def _initials(doc: Document) -> Iterable[str]:
    for sentence in doc.names:
        for name in sentence:
            words = [doc.words[i] for i in range(name.first, name.last)]
            yield "".join(word[0] for word in words if word not in {"of", "the", "and", "de"})
