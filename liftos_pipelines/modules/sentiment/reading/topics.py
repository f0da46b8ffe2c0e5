"""Which topics a text talks about, by keywords: a transparent reading that a client can correct in its template.

Keywords are folded as texts are. `word` matches the whole word, `word*` its beginning, `*word` its end (German
compounds); several words are a phrase; `!phrase` is never about the topic ("!grand prix" beside `prix`). At each
position the longest keyword wins, so that a phrase of one topic is not also counted for a word of another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from liftos_pipelines.text import fold

_WORDS = re.compile(r"[^\W_]+")
_ARABIC = re.compile(r"[\u0620-\u064a]")
_TATWEEL = "\u0640"
_KNOWN_WORDS = 200_000
"""Words whose reading is remembered; a stream of ever new words starts over instead of growing without end."""


def topics_of(texts: Sequence[str | None], topics: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The topics of each text, in the order of `topics`; an empty list where no keyword occurs or there is no text.

    Parameters
    ----------
    texts : any text; None counts as empty
    topics : topic -> keywords of all languages together, as in `Template.topics`

    Raises
    ------
    ValueError : a keyword without a word in it, naming topic and keyword
    """
    matcher = _matcher(tuple((name, tuple(keywords)) for name, keywords in topics.items()))
    return [matcher.topics(text) if text else [] for text in texts]


class _Phrase(NamedTuple):
    """Words to come, in order, each a pattern; `topic` is None where the phrase only excludes."""

    words: tuple[_Word, ...]
    topic: int | None


class _Reading(NamedTuple):
    """What one word can mean: the topic it stands for by itself, and the phrases it may begin."""

    topic: int | None
    phrases: tuple[_Phrase, ...]


_NOTHING = _Reading(None, ())


@dataclass(frozen=True)
class _Word:
    """One word of a keyword: exact, or open at its beginning or end."""

    stem: str
    open_start: bool = False
    open_end: bool = False

    def matches(self, word: str) -> bool:
        if self.open_start:
            return self.stem in word if self.open_end else word.endswith(self.stem)
        return word.startswith(self.stem) if self.open_end else word == self.stem


class _OpenWords:
    """Open words with a number each, looked up by the word's own beginnings and ends."""

    def __init__(self) -> None:
        self._beginnings: dict[str, list[int]] = {}
        self._endings: dict[str, list[int]] = {}
        self._inside: list[tuple[str, int]] = []
        self._lengths: set[int] = set()

    def add(self, word: _Word, number: int) -> None:
        if word.open_start and word.open_end:
            self._inside.append((word.stem, number))
            return
        self._lengths.add(len(word.stem))
        (self._endings if word.open_start else self._beginnings).setdefault(word.stem, []).append(number)

    def fits(self, word: str) -> list[tuple[int, int]]:
        """(length of the stem, number) of each open word that matches."""
        found = [(len(stem), number) for stem, number in self._inside if stem in word]
        for length in self._lengths:
            if length <= len(word):
                found += [(length, number) for number in self._beginnings.get(word[:length], ())]
                found += [(length, number) for number in self._endings.get(word[-length:], ())]
        return found


class _Matcher:
    def __init__(self, topics: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self._names = [name for name, _ in topics]
        self._exact: dict[str, int] = {}
        self._open = _OpenWords()
        self._phrases: dict[str, list[_Phrase]] = {}
        self._phrase_starts = _OpenWords()
        phrases: list[_Phrase] = []
        self._readings: dict[str, _Reading] = {}
        for topic, (name, keywords) in enumerate(topics):
            for keyword in keywords:
                excluded = keyword.startswith("!")
                words = _keyword_words(keyword.removeprefix("!"))
                if not words:
                    raise ValueError(f'topic "{name}": keyword "{keyword}" holds no word')
                if len(words) > 1 or excluded:
                    phrases.append(_Phrase(words, None if excluded else topic))
                elif words[0].open_start or words[0].open_end:
                    self._open.add(words[0], topic)
                else:
                    self._exact.setdefault(words[0].stem, topic)
        self._ordered = sorted(phrases, key=lambda phrase: -len(phrase.words))
        for number, phrase in enumerate(self._ordered):
            first = phrase.words[0]
            if first.open_start or first.open_end:
                self._phrase_starts.add(first, number)
            else:
                self._phrases.setdefault(first.stem, []).append(phrase)

    def topics(self, text: str) -> list[str]:
        words = _WORDS.findall(fold(text))
        readings = self._readings
        found: set[int] = set()
        skip_to = 0
        for position, word in enumerate(words):
            reading = readings.get(word)
            if reading is None:
                reading = self._read(word)
            if reading is _NOTHING or position < skip_to:
                continue
            phrase = next((p for p in reading.phrases if _continues(p, words, position)), None)
            if phrase is not None:
                skip_to = position + len(phrase.words)
                if phrase.topic is not None:
                    found.add(phrase.topic)
            elif reading.topic is not None:
                found.add(reading.topic)
        return [self._names[topic] for topic in sorted(found)]

    def _read(self, word: str) -> _Reading:
        spellings = _spellings(word)
        topic = next((self._exact[one] for one in spellings if one in self._exact), None)
        if topic is None:
            # The longest open keyword that fits is the most specific one.
            fits = [fit for one in spellings for fit in self._open.fits(one)]
            topic = max(fits)[1] if fits else None
        begun = {phrase: None for one in spellings for phrase in self._phrases.get(one, ())}
        begun |= {self._ordered[number]: None for one in spellings for _, number in self._phrase_starts.fits(one)}
        phrases = tuple(sorted(begun, key=lambda phrase: -len(phrase.words)))
        reading = _Reading(topic, phrases) if topic is not None or phrases else _NOTHING
        if len(self._readings) >= _KNOWN_WORDS:
            self._readings.clear()
        self._readings[word] = reading
        return reading


@lru_cache(maxsize=32)
def _matcher(topics: tuple[tuple[str, tuple[str, ...]], ...]) -> _Matcher:
    return _Matcher(topics)


def _keyword_words(keyword: str) -> tuple[_Word, ...]:
    words = []
    for part in re.findall(r"\*?[^\W_]+\*?", fold(keyword)):
        words.append(_Word(part.strip("*"), open_start=part.startswith("*"), open_end=part.endswith("*")))
    return tuple(words)


def _continues(phrase: _Phrase, words: list[str], position: int) -> bool:
    following = words[position + 1 : position + len(phrase.words)]
    return len(following) == len(phrase.words) - 1 and all(
        any(map(pattern.matches, _spellings(word))) for pattern, word in zip(phrase.words[1:], following, strict=True)
    )


def _spellings(word: str) -> list[str]:
    """The word, and for Arabic the word without what is written onto it: and, with, for, the, his, their."""
    if not _ARABIC.search(word):
        return [word]
    found = {word.replace(_TATWEEL, ""): None}
    for letters in ("وف", "بكل"):
        found |= {one[1:]: None for one in list(found) if len(one) > 3 and one[0] in letters}
    for one in list(found):
        if one.startswith("ال") and len(one) > 4:
            found[one[2:]] = None
        elif one.startswith("لل") and len(one) > 4:
            found |= {"ال" + one[2:]: None, one[2:]: None}
    for one in list(found):
        for ending in ("ها", "هم", "نا", "كم", "ه", "ك", "ي"):
            if one.endswith(ending) and len(one) - len(ending) >= 3:
                stem = one[: -len(ending)]
                found[stem] = None
                if stem.endswith("ت"):
                    found[stem[:-1] + "ة"] = None
        if one.endswith("ه"):
            found[one[:-1] + "ة"] = None
    return list(found)
