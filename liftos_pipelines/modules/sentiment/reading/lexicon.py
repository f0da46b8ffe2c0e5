"""Opinion words, negation and emoji: what a reader of the language knows before the first labelled text.

A lexicon is a list of terms a language: how good or bad a word is (-2 to 2), which words turn it round, strengthen or
weaken it, which begin a contrast, and the small words by which the language is known. A text is read by all languages'
lists at once; the model weighs each reading by how likely the text is in that language.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNS = "signs"
"""The list of emoji and emoticons, which every language shares."""
KINDS = ("polarity", "negate", "intensify", "diminish", "contrast", "function")
READINGS = ("positive", "negative", "net", "last clause", "turned round", "negators")
"""What one language's list says of a text."""
SIGN_READINGS = ("positive signs", "negative signs", "last sign")

SCOPE = 3
"""A negator reaches this many words on, or to the end of its clause."""
BACK = 2
"""So many words back it reaches where negation follows: "gefällt mir nicht", "aime pas", "acha nahi"."""
_BORROWS = {"hi": "en"}
"""Romanised Hindi is written with English words in it: a word its own list does not have is read by the other's."""
_FOLLOWS = ("de", "fr", "hi")
_TURNED = -0.75
""""Not good" is bad, but less so than "bad"."""
_REMEMBERED = 200_000
_CLAUSE_ENDS = frozenset(".!?,;:()\u061f\u060c\u2026|") | {"..", "!!", "??", "--", "~link"}
_ARABIC = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ؤ": "و", "ئ": "ي"})
_SUFFIXES = ("ات", "ين", "ون", "ها", "هم", "كم", "نا", "وا", "ه", "ي", "ك", "ت")
_PREFIXES = ("وال", "بال", "فال", "ال", "لل", "و", "ب", "ف")


@dataclass(frozen=True, kw_only=True)
class Term:
    """One row of a list: `kind` is one of `KINDS`; a polarity term that ends in `*` stands for all words so begun."""

    language: str
    term: str
    kind: str
    value: float


@dataclass(frozen=True)
class Lexicon:
    """Lists of several languages, ready to read texts. Compare by `rows()`; the memory of words is not part of it."""

    terms: tuple[Term, ...]
    _memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for term in self.terms:
            if term.kind not in KINDS:
                raise ValueError(f"lexicon {term.language}: {term.term!r} has kind {term.kind!r}, not one of {KINDS}")
            if term.kind == "polarity" and not -2 <= term.value <= 2:
                raise ValueError(f"lexicon {term.language}: {term.term!r} has value {term.value}, outside -2..2")

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes in order of first appearance, signs aside."""
        return tuple(dict.fromkeys(term.language for term in self.terms if term.language != SIGNS))

    @property
    def width(self) -> int:
        """Columns of `read`: each language's readings, then those of the signs."""
        return len(self.languages) * len(READINGS) + len(SIGN_READINGS)

    def rows(self) -> list[list[Any]]:
        """Plain rows, as a model stores them."""
        return [[term.language, term.term, term.kind, term.value] for term in self.terms]

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any]]) -> Lexicon:
        """The lexicon that `rows` described."""
        return cls(
            tuple(
                Term(language=str(code), term=str(term), kind=str(kind), value=float(value))
                for code, term, kind, value in rows
            )
        )

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the lists say of each text.

        Parameters
        ----------
        texts : (n,), normalised: pieces parted by single spaces

        Returns
        -------
        (n, width): per language `READINGS`, then `SIGN_READINGS`. Sums of valence x are given as log(1 + x), nets as
        tanh(net / 2), counts as log(1 + count): the first opinion word says most.
        """
        width = len(READINGS)
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            hits = self._hits(text.split(" "))
            for code, readings in _readings(hits, self.languages):
                if code < 0:
                    out[row, -len(SIGN_READINGS) :] = readings
                else:
                    out[row, code * width : (code + 1) * width] = readings
        return out

    def telling_words(self, text: str) -> dict[str, int]:
        """How many words of a normalised text are small words of one language and of no other, by language."""
        counts: dict[str, int] = {}
        for word in text.split(" "):
            found = [code for code, kind, _ in self._meaning(word) if kind == "function"]
            if len(found) == 1:
                counts[self.languages[found[0]]] = counts.get(self.languages[found[0]], 0) + 1
        return counts

    def _hits(self, words: Sequence[str]) -> list[tuple[int, tuple[int, str, float]]]:
        memory = self._memory
        hits = []
        for at, word in enumerate(words):
            found = memory.get(word)
            if found is None:
                found = self._meaning(word)
            for entry in found:
                hits.append((at, entry))
        return hits

    def _meaning(self, word: str) -> tuple[tuple[int, str, float], ...]:
        known = self._memory.get(word)
        if known is not None:
            return known  # type: ignore[no-any-return]
        if word in _CLAUSE_ENDS:
            found: tuple[tuple[int, str, float], ...] = ((-2, "end", 0.0),)
        else:
            found = self._looked_up(word)
        if len(self._memory) >= _REMEMBERED:
            self._memory.clear()
        self._memory[word] = found
        return found

    def _looked_up(self, word: str) -> tuple[tuple[int, str, float], ...]:
        sign = self._exact.get(word, ())
        forms = _forms(word)
        found: dict[int, tuple[int, str, float]] = {entry[0]: entry for entry in sign if entry[0] < 0}
        functions = []
        for form in forms:
            for entry in self._exact.get(form, ()):
                if entry[1] == "function":
                    functions.append(entry)
                elif entry[0] not in found:
                    found[entry[0]] = entry
            for size in range(min(len(form), self._longest), 2, -1):
                for entry in self._stems.get(form[:size], ()):
                    found.setdefault(entry[0], entry)
        for borrower, lender in self._borrowers:
            if lender in found and borrower not in found:
                found[borrower] = (borrower, *found[lender][1:])
        return (*found.values(), *dict.fromkeys(functions))

    @cached_property
    def _borrowers(self) -> list[tuple[int, int]]:
        place = {code: at for at, code in enumerate(self.languages)}
        return [(place[one], place[other]) for one, other in _BORROWS.items() if one in place and other in place]

    @cached_property
    def _tables(self) -> tuple[dict[str, list[tuple[int, str, float]]], dict[str, list[tuple[int, str, float]]]]:
        exact: dict[str, list[tuple[int, str, float]]] = {}
        stems: dict[str, list[tuple[int, str, float]]] = {}
        place = {code: at for at, code in enumerate(self.languages)} | {SIGNS: -1}
        for term in self.terms:
            entry = (place[term.language], term.kind, term.value)
            if term.language != SIGNS and term.term.endswith("*"):
                stems.setdefault(fold(term.term[:-1]), []).append(entry)
            else:
                exact.setdefault(term.term if term.language == SIGNS else fold(term.term), []).append(entry)
        return exact, stems

    @property
    def _exact(self) -> dict[str, list[tuple[int, str, float]]]:
        return self._tables[0]

    @property
    def _stems(self) -> dict[str, list[tuple[int, str, float]]]:
        return self._tables[1]

    @cached_property
    def _longest(self) -> int:
        return max((len(stem) for stem in self._stems), default=0)


def fold(word: str) -> str:
    """One spelling for accents left out and for Arabic letters written in several ways."""
    decomposed = unicodedata.normalize("NFKD", word.lower().replace("ß", "ss"))
    return "".join(char for char in decomposed if not unicodedata.combining(char)).translate(_ARABIC)


def _forms(word: str) -> list[str]:
    """The spellings under which a word is looked up, the written one first."""
    plain = fold(word.lstrip("#@"))
    forms = [plain]
    if any(a == b for a, b in pairwise(plain)):
        forms.append("".join(a for a, b in zip(plain, plain[1:] + " ", strict=True) if a != b))
    if "'" in plain:
        forms += [plain.replace("'", ""), plain.rsplit("'", 1)[1]]
    if "\u0600" <= plain[:1] <= "\u06ff":
        forms += [plain[len(one) :] for one in _PREFIXES if plain.startswith(one) and len(plain) > len(one) + 2]
        forms += [
            form[: -len(one)]
            for form in tuple(forms)
            for one in _SUFFIXES
            if form.endswith(one) and len(form) > len(one) + 2
        ]
    return [form for form in forms if form]


def _readings(
    hits: Sequence[tuple[int, tuple[int, str, float]]], languages: Sequence[str]
) -> list[tuple[int, tuple[float, ...]]]:
    by_language: dict[int, list[tuple[int, str, float]]] = {}
    ends: list[int] = []
    for at, (code, kind, value) in hits:
        if kind == "end":
            ends.append(at)
        elif kind != "function":
            by_language.setdefault(code, []).append((at, kind, value))
    return [
        (code, _signs(found) if code < 0 else _one(found, ends, languages[code] in _FOLLOWS))
        for code, found in by_language.items()
    ]


def _signs(found: Sequence[tuple[int, str, float]]) -> tuple[float, ...]:
    good = sum(value for _, _, value in found if value > 0)
    bad = -sum(value for _, _, value in found if value < 0)
    return float(np.log1p(good)), float(np.log1p(bad)), found[-1][2] / 2


def _one(found: Sequence[tuple[int, str, float]], ends: Sequence[int], follows: bool) -> tuple[float, ...]:
    """`READINGS` of one language. Negation, strengthening and contrast as in Hutto and Gilbert (2014), VADER."""
    negators = [at for at, kind, _ in found if kind == "negate"]
    boosts = {at: value for at, kind, value in found if kind in ("intensify", "diminish")}
    contrasts = [at for at, kind, _ in found if kind == "contrast"]
    good = bad = 0.0
    turned = 0
    placed: list[tuple[int, float]] = []
    for at, kind, value in found:
        if kind != "polarity":
            continue
        value *= boosts.get(at - 1, boosts.get(at - 2, 1.0))
        clause = bisect(ends, at)
        if any(
            bisect(ends, where) == clause and (0 < at - where <= SCOPE + 1 or (follows and 0 < where - at <= BACK))
            for where in negators
        ):
            value *= _TURNED
            turned += 1
        placed.append((at, value))
        good, bad = good + max(value, 0.0), bad - min(value, 0.0)
    last = 0.0
    if placed:
        after = [value for at, value in placed if contrasts and at > contrasts[-1]]
        clause = bisect(ends, placed[-1][0])
        last = sum(after) if after else sum(value for at, value in placed if bisect(ends, at) == clause)
    return (
        float(np.log1p(good)),
        float(np.log1p(bad)),
        float(np.tanh((good - bad) / 2)),
        float(np.tanh(last / 2)),
        float(np.log1p(turned)),
        float(np.log1p(len(negators))),
    )
