"""A text read once: tokens with offsets, sentences, names, numbers, dates. Everything else works on the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from liftos_pipelines.modules.llm.grounding.claims.dates import Day, find_days
from liftos_pipelines.modules.llm.grounding.claims.numbers import NUMBER_WORDS, Number, find_numbers
from liftos_pipelines.modules.llm.grounding.words import GERMAN, STOP, fold_in_place, stem
from liftos_pipelines.modules.llm.lexicon import spaced

_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)+(?!\w)|(?:[^\W\d_]\.){2,}|[\w\u0300-\u036f]+(?:['\u2019][\w\u0300-\u036f]+|\s['\u2019]s\b)*"
)
_END = re.compile(r"[.!?。！？؟][\"')\]\u201d\u2019]*\s+|[。！？]|\s*\n\s*")
_ABBREVIATIONS = frozenset(
    spaced(
        "mr mrs ms dr st prof gen sen rep gov lt col sgt capt jr sr vs no inc ltd co corp dept e.g i.e approx z.b bzw"
    )
)
_Item = TypeVar("_Item", Number, Day)
_JOINERS = frozenset(spaced("of de la von van der & bin al"))
_TITLE_SHARE = 0.7
"""From this share of capitalised words a sentence is a headline: capitals tell no names there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A run of capitalised words or a code: tokens `first` to `last` (exclusive)."""

    first: int
    last: int
    opens: bool
    """Whether it starts the sentence, where anything is capitalised."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Document:
    """A parsed text. Lists run over tokens; `sentences` are (first, last exclusive) tokens; offsets are in `text`."""

    text: str
    folded: str
    starts: list[int]
    ends: list[int]
    words: list[str]
    stems: list[str]
    content: list[bool]
    sentences: list[tuple[int, int]]
    sentence_of: list[int]
    names: list[list[Named]]
    proper: frozenset[str]
    """Words that are capitalised where no sentence starts."""
    numbers: list[list[Number]]
    days: list[list[Day]]
    german: bool

    def written(self, first: int, last: int) -> str:
        """The text of tokens `first` to `last` (exclusive)."""
        return self.text[self.starts[first] : self.ends[last - 1]] if last > first else ""


@lru_cache(maxsize=1024)
def parse(text: str) -> Document:
    """Read a text; the same context is read once for all outputs that were given it."""
    folded = fold_in_place(text)
    starts, ends, words = [], [], []
    for match in _TOKEN.finditer(folded):
        starts.append(match.start())
        ends.append(match.end())
        words.append(match.group())
    stems = [stem(word) for word in words]
    content = [
        word not in STOP and len(word) > 1 and not word[0].isdigit() and word not in NUMBER_WORDS for word in words
    ]
    sentences = _sentences(folded, starts, ends, words)
    sentence_of = [number for number, (first, last) in enumerate(sentences) for _ in range(first, last)]
    german = sum(word in GERMAN for word in words) >= max(3, len(words) // 25)
    days, covered = find_days(folded, starts, ends, words)
    numbers = find_numbers(folded, starts, ends, words, covered)
    names = [_names(text, starts, ends, words, span) for span in sentences]
    return Document(
        text=text,
        folded=folded,
        starts=starts,
        ends=ends,
        words=words,
        stems=stems,
        content=content,
        sentences=sentences,
        sentence_of=sentence_of,
        names=names,
        proper=frozenset(
            words[i] for found in names for name in found for i in range(name.first + name.opens, name.last)
        ),
        numbers=_by_sentence(numbers, sentence_of, len(sentences)),
        days=_by_sentence(days, sentence_of, len(sentences)),
        german=german,
    )


def _by_sentence(items: list[_Item], sentence_of: list[int], count: int) -> list[list[_Item]]:
    grouped: list[list[_Item]] = [[] for _ in range(count)]
    for item in items:
        grouped[sentence_of[item.token]].append(item)
    return grouped


def _sentences(folded: str, starts: list[int], ends: list[int], words: list[str]) -> list[tuple[int, int]]:
    found, first, token = [], 0, 0
    for match in _END.finditer(folded):
        while token < len(starts) and starts[token] < match.start():
            token += 1
        if token == first:
            continue
        before = words[token - 1]
        ended = match.group()
        if ended[0] == "." and "\n" not in ended:
            short = len(before) == 1 and before.isalpha()
            listed = before.isdigit() and token - 1 == first and len(before) <= 2
            if short or listed or before in _ABBREVIATIONS:
                continue
        found.append((first, token))
        first = token
    if first < len(words):
        found.append((first, len(words)))
    return found


def _names(text: str, starts: list[int], ends: list[int], words: list[str], span: tuple[int, int]) -> list[Named]:
    first, last = span
    marked = [_is_marked(text[starts[i] : ends[i]]) for i in range(first, last)]
    letters = sum(words[i][0].isalpha() for i in range(first, last))
    if letters > 4 and sum(marked) > _TITLE_SHARE * letters:
        return []
    found: list[Named] = []
    i = first
    while i < last:
        if not marked[i - first]:
            i += 1
            continue
        j = i + 1
        while j < last and text[ends[j - 1] : starts[j]] in {" ", "-", " & "}:
            if marked[j - first]:
                j += 1
            elif (
                words[j] in _JOINERS and j + 1 < last and marked[j + 1 - first] and text[ends[j] : starts[j + 1]] == " "
            ):
                j += 2
            else:
                break
        before = text[max(0, starts[i] - 3) : starts[i]].strip(" \t\"'\u201c\u2018(*#-\u2022")
        opens = i == first or (bool(before) and before[-1] in ":")
        found.append(Named(first=i, last=j, opens=opens))
        i = j
    return found


def _is_marked(raw: str) -> bool:
    """Capitals anywhere in it, or letters mixed with digits (a code)."""
    if raw.islower():
        return raw[0].isalpha() and not raw.isalpha() and any(character.isdigit() for character in raw)
    return any(character.isupper() for character in raw) and raw[0].isalnum()
