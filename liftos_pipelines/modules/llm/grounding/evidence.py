"""What a context offers to check against: its words, word sequences, passages and named things, indexed once."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from liftos_pipelines.modules.llm.grounding.claims.dates import Day
from liftos_pipelines.modules.llm.grounding.claims.numbers import Number
from liftos_pipelines.modules.llm.grounding.kinds import all_kinds
from liftos_pipelines.modules.llm.grounding.parse import Document, parse
from liftos_pipelines.modules.llm.grounding.stance import stances

SHORT = 6
"""Tokens up to which a line is an entry of a list rather than a sentence."""
PREFIX = 5
"""Words that share this many letters and are longer count as forms of one word (inform, information)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """A parsed context with its indexes. Positions are tokens of `doc`; passages are sets of content stems."""

    doc: Document
    first: dict[str, int]
    """Where a stem stands first; `again` where the stem of a token stands next, -1 where nowhere."""
    again: tuple[int, ...]
    first_pair: dict[int, int]
    """The same for two neighbouring stems, by their hash."""
    again_pair: tuple[int, ...]
    fours: dict[int, None]
    """Hashes of four neighbouring stems. Dictionaries of plain values, like tuples, cost the collector nothing."""
    prefixes: dict[str, None]
    passages: tuple[frozenset[str], ...]
    weights: dict[str, float]
    """Inverse sentence frequency of each content stem: a word of every sentence tells little."""
    acronyms: frozenset[str]
    numbers: tuple[Number, ...]
    values: frozenset[tuple[float, str | None]]
    value_in: dict[float, tuple[int, ...]]
    """Sentences that have a value."""
    days: tuple[Day, ...]
    listed: float
    """Share of its tokens in short lines such as "Price: 49 EUR", which an answer cannot but put in other words."""
    kinds: frozenset[int]
    """Kinds of events and roles that it speaks of."""
    stance: dict[int, int]
    """Tokens that are denied or left open."""
    said_with: dict[str, frozenset[str]]
    """What `words_near` has worked out so far."""

    def places(self, stem: str) -> Iterator[int]:
        """Tokens at which a stem stands."""
        place = self.first.get(stem, -1)
        while place >= 0:
            yield place
            place = self.again[place]

    def pair_places(self, pair: tuple[str, str]) -> Iterator[int]:
        """Tokens at which two neighbouring stems begin."""
        place = self.first_pair.get(hash(pair), -1)
        while place >= 0:
            yield place
            place = self.again_pair[place]

    def words_near(self, stem: str) -> frozenset[str]:
        """Content stems of the sentences that have a stem, and of the sentence after each (he, she, it)."""
        near = self.said_with.get(stem)
        if near is None:
            within = {self.doc.sentence_of[place] for place in self.places(stem)}
            within |= {place + 1 for place in within if place + 1 < len(self.passages)}
            near = self.said_with[stem] = frozenset().union(*(self.passages[place] for place in within))
        return near

    def knows(self, stem: str) -> bool:
        return stem in self.first

    def resembles(self, stem: str) -> bool:
        """Whether the context has the word or another form of it."""
        return stem in self.first or (len(stem) > PREFIX and stem[:PREFIX] in self.prefixes)

    def weight(self, stem: str) -> float:
        """A word that the context lacks weighs as one that it has once."""
        return self.weights.get(stem, 1.0)


@lru_cache(maxsize=256)
def read_evidence(context: str) -> Evidence:
    """Index a context; cached, since many outputs share one."""
    doc = parse(context)
    stems, content = doc.stems, doc.content
    first, again = _chained(list(stems))
    first_pair, again_pair = _chained(list(map(hash, itertools.pairwise(stems))))
    passages = tuple(frozenset(itertools.compress(stems[low:high], content[low:high])) for low, high in doc.sentences)
    counts: Counter[str] = Counter()
    for passage in passages:
        counts.update(passage)
    size = len(passages)
    share = [0.0] + [max(0.3, math.log(1 + size / n) / math.log(1 + size)) for n in range(1, size + 1)]
    numbers = tuple(number for sentence in doc.numbers for number in sentence)
    value_in: dict[float, tuple[int, ...]] = {}
    for number in numbers:
        value_in[number.value] = (*value_in.get(number.value, ()), doc.sentence_of[number.token])
    return Evidence(
        doc=doc,
        first=first,
        again=again,
        first_pair=first_pair,
        again_pair=again_pair,
        fours=dict.fromkeys(map(hash, zip(stems, stems[1:], stems[2:], stems[3:], strict=False))),
        prefixes=dict.fromkeys([stem[:PREFIX] for stem in first if len(stem) > PREFIX]),
        passages=passages,
        weights={stem: share[n] for stem, n in counts.items()},
        acronyms=frozenset(_initials(doc)),
        numbers=numbers,
        values=frozenset((number.value, number.unit) for number in numbers),
        value_in=value_in,
        days=tuple(day for sentence in doc.days for day in sentence),
        listed=sum(high - low for low, high in doc.sentences if high - low <= SHORT) / max(1, len(stems)),
        kinds=all_kinds(stems, first),
        stance=_stance(doc),
        said_with={},
    )


def _stance(doc: Document) -> dict[int, int]:
    found: dict[int, int] = {}
    if not doc.german:
        for first, last in doc.sentences:
            found.update(stances(doc.words, doc.breaks(first, last), first, last))
    return found


_Key = TypeVar("_Key", str, int)


def _chained(keys: list[_Key]) -> tuple[dict[_Key, int], tuple[int, ...]]:
    """Where each key stands first, and for each place where its key stands next (-1: nowhere)."""
    first: dict[_Key, int] = {}
    again = [-1] * len(keys)
    for place in range(len(keys) - 1, -1, -1):
        key = keys[place]
        again[place] = first.get(key, -1)
        first[key] = place
    return first, tuple(again)


def _initials(doc: Document) -> Iterable[str]:
    for sentence in doc.names:
        for name in sentence:
            words = [doc.words[i] for i in range(name.first, name.last)]
            yield "".join(word[0] for word in words if word not in {"of", "the", "and", "de"})
