"""A text read once: tokens with offsets, sentences, names, numbers, dates. Everything else works on the result."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from liftos_pipelines.modules.llm.grounding.claims.dates import Day, find_days
from liftos_pipelines.modules.llm.grounding.claims.numbers import NUMBER_WORDS, Number, find_numbers
from liftos_pipelines.modules.llm.grounding.words import GERMAN, STOP, fold_in_place, stem
from liftos_pipelines.modules.llm.lexicon import spaced

_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)+(?!\w)|(?:[^\W\d_]\.){2,}|[\w\u0300-\u036f]+(?:['\u2019][\w\u0300-\u036f]+|\s['\u2019]s\b)*"
)
_END = re.compile(r"[.!?。！？؟][\"')\]\u201d\u2019]*\s+|[。！？]|\n")
_ABBREVIATIONS = frozenset(
    spaced(
        "mr mrs ms dr st prof gen sen rep gov lt col sgt capt jr sr vs no inc ltd co corp dept e.g i.e approx z.b bzw"
    )
)
_POLITE = ("thank", "please", "of course", "sure", "certainly", "happy to", "hope ", "hello", "hi ", "dear ")
_COURTESY = re.compile(
    r"\b(?:thank you|thanks)(?: for [a-z]+ing)?(?: us)?\b|\b(?:of course|sure|certainly|happy to help)\b"
    r"|\bplease (?:note|let me know|feel free)\b|\b(?:i )?hope (?:this|that) helps\b|\b(?:hi|hello|dear)(?= [a-z])"
)
_Item = TypeVar("_Item", Number, Day)
_JOINERS = frozenset(spaced("of de la von van der & bin al"))
_WITHIN = frozenset((" ", "-", " & "))
_TITLE_SHARE = 0.7
"""From this share of capitalised words a sentence is a headline: capitals tell no names there."""


class Named(NamedTuple):
    """A run of capitalised words or a code: tokens `first` to `last` (exclusive)."""

    first: int
    last: int
    opens: bool
    """Whether it starts the sentence, where anything is capitalised."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Document:
    """A parsed text. Tuples run over tokens; `sentences` are (first, last exclusive) tokens; offsets are in `text`.

    Tuples, not lists, since the garbage collector leaves tuples of plain values alone: a cached text costs later
    calls nothing.
    """

    text: str
    folded: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: tuple[bool, ...]
    sentences: tuple[tuple[int, int], ...]
    sentence_of: tuple[int, ...]
    names: list[Sequence[Named]]
    proper: frozenset[str]
    """Words that are capitalised where no sentence starts."""
    numbers: list[Sequence[Number]]
    days: list[Sequence[Day]]
    german: bool

    def breaks(self, first: int, last: int) -> list[int]:
        """Tokens before which a comma, semicolon or colon stands."""
        text, starts, ends = self.text, self.starts, self.ends
        return [i for i in range(first + 1, last) if starts[i] - ends[i - 1] > 1 and text[ends[i - 1]] in ",;:"]

    def written(self, first: int, last: int) -> str:
        """The text of tokens `first` to `last` (exclusive)."""
        return self.text[self.starts[first] : self.ends[last - 1]] if last > first else ""


class _Seen(dict[str, tuple[str, bool]]):
    """A word's stem and whether it says something, worked out once."""

    def __missing__(self, word: str) -> tuple[str, bool]:
        says = word not in STOP and len(word) > 1 and not word[0].isdigit() and word not in NUMBER_WORDS
        self[word] = found = stem(word), says
        return found


_SEEN = _Seen()
_MOST_SEEN = 200_000


@lru_cache(maxsize=64)
def parse(text: str) -> Document:
    """Read a text; the same context is read once for all outputs that were given it."""
    folded = fold_in_place(text)
    places = [match.span() for match in _TOKEN.finditer(folded)]
    starts, ends = [start for start, _ in places], [end for _, end in places]
    words = [folded[start:end] for start, end in places]
    if len(_SEEN) > _MOST_SEEN:
        _SEEN.clear()
    seen = [_SEEN[word] for word in words]
    stems = [stemmed for stemmed, _ in seen]
    content = [says for _, says in seen]
    if any(word in folded for word in _POLITE):
        for match in _COURTESY.finditer(folded):
            for i in range(bisect_left(starts, match.start()), bisect_left(starts, match.end())):
                content[i] = False
    sentences = _sentences(text, starts, words)
    sentence_of = [number for number, (first, last) in enumerate(sentences) for _ in range(first, last)]
    german = sum(word in GERMAN for word in words) >= max(3, len(words) // 25)
    days, covered = find_days(folded, starts, ends, words)
    numbers = find_numbers(folded, starts, ends, words, covered)
    marked = [
        ((written := text[start:end]) != word and _has_capital(written)) or (not word.isalpha() and _is_code(word))
        for start, end, word in zip(starts, ends, words, strict=True)
    ]
    names = [_names(text, starts, ends, words, marked, span) for span in sentences]
    return Document(
        text=text,
        folded=folded,
        starts=tuple(starts),
        ends=tuple(ends),
        words=tuple(words),
        stems=tuple(stems),
        content=tuple(content),
        sentences=tuple(sentences),
        sentence_of=tuple(sentence_of),
        names=names,
        proper=frozenset(
            words[i] for found in names for name in found for i in range(name.first + name.opens, name.last)
        ),
        numbers=_by_sentence(numbers, sentence_of, len(sentences)),
        days=_by_sentence(days, sentence_of, len(sentences)),
        german=german,
    )


def _by_sentence(items: list[_Item], sentence_of: list[int], count: int) -> list[Sequence[_Item]]:
    grouped: dict[int, list[_Item]] = {}
    for item in items:
        grouped.setdefault(sentence_of[item.token], []).append(item)
    return [grouped.get(number, ()) for number in range(count)]


def _sentences(text: str, starts: list[int], words: list[str]) -> list[tuple[int, int]]:
    found, first = [], 0
    for match in _END.finditer(text):
        token = bisect_left(starts, match.start(), lo=first)
        if token == first:
            continue
        if text[match.start()] == "." and "\n" not in match.group():
            before = words[token - 1]
            short = len(before) == 1 and text[match.start() - 1].isupper()
            listed = before.isdigit() and token - 1 == first and len(before) <= 2
            if short or listed or before in _ABBREVIATIONS:
                continue
        found.append((first, token))
        first = token
    if first < len(words):
        found.append((first, len(words)))
    return found


def _names(
    text: str, starts: list[int], ends: list[int], words: list[str], marked: list[bool], span: tuple[int, int]
) -> Sequence[Named]:
    first, last = span
    places = [i for i in range(first, last) if marked[i]]
    if not places:
        return ()
    if len(places) > _TITLE_SHARE * (last - first) and len(places) > 3:
        letters = sum(words[i][0].isalpha() for i in range(first, last))
        if letters > 4 and len(places) > _TITLE_SHARE * letters:
            return ()
    found: list[Named] = []
    behind = first
    for i in places:
        if i < behind:
            continue
        j = i + 1
        while j < last and text[ends[j - 1] : starts[j]] in _WITHIN:
            if marked[j]:
                j += 1
            elif words[j] in _JOINERS and j + 1 < last and marked[j + 1] and text[ends[j] : starts[j + 1]] == " ":
                j += 2
            else:
                break
        before = text[max(0, starts[i] - 3) : starts[i]].strip(" \t\"'\u201c\u2018(*#-\u2022")
        found.append(Named(first=i, last=j, opens=i == first or before[-1:] == ":"))
        behind = j
    return found


def _has_capital(written: str) -> bool:
    return written[0].isupper() or (not written.islower() and any(character.isupper() for character in written))


def _is_code(word: str) -> bool:
    """Letters mixed with digits, as in a320."""
    return word[0].isalpha() and any(character.isdigit() for character in word)
