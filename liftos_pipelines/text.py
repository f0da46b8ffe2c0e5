"""Text handling that several modules share: folding, sentences, and finding names by their aliases."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Perhaps one half of a character: JSON writes those beyond the basic plane as two escapes, and logs cut between."""


def fold(text: str) -> str:
    """Case, width, accent and quote folding: two spellings of one name become equal. Length may change."""
    if text.isascii():  # nothing to decompose: the common case, and ten times as fast
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    stripped = decomposed
    for mark in filter(unicodedata.combining, set(decomposed)):  # few marks, many characters: much faster this way
        stripped = stripped.replace(mark, "")
    return stripped.casefold().replace("\u2019", "'")


def no_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads(object_pairs_hook=...)`: an object of which every reader takes the same values.

    Raises
    ------
    ValueError : a name is given twice, naming it
    """
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'"{next(name for name in names if names.count(name) > 1)}" is given twice')
    return read


def read_json(text: str) -> Any:
    """JSON whose texts can be written as UTF-8: half a character, as a cut emoji leaves it, becomes U+FFFD.

    Raises
    ------
    ValueError, RecursionError : as `json.loads`
    """
    found = json.loads(text)
    if not _HALF.search(text):
        return found
    whole = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(whole)


def sentences(text: str) -> list[str]:
    """Sentences of running text, split at ends of sentence and at line breaks; never empty strings."""
    parts = re.split(r"(?<=[.!?。！？؟])[\"')\]]*\s+|\n+", text)
    return [part.strip() for part in parts if part.strip()]


def words(text: str) -> list[str]:
    """Runs of letters and digits, in order, folded."""
    return re.findall(r"\w+", fold(text))


@dataclass(frozen=True, kw_only=True)
class Name:
    """Something that texts may mention: a brand, competitor, product, campaign or channel."""

    name: str
    aliases: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    """What it sells under names of their own: naming one names it."""
    common: bool | None = None
    """Whether texts also use the name as an ordinary word ("Target"); None leaves that to the reader of the text."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One mention of a name; `start` and `end` are offsets into `fold(text)`, `spelling` what was looked for."""

    name: str
    start: int
    end: int
    spelling: str = ""


_GAP = r"[\s\-\u2010-\u2015]+"
# Scripts that run words together: a name in them has no word boundary to stand on.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Korean particles follow a name without a space; what stands before it does so with one.
_UNSPACED_AFTER = _UNSPACED + r"\u1100-\u11ff\uac00-\ud7ff"


class NameFinder:
    """Finds names by their aliases, longest first, on word boundaries, folded; overlapping hits count once.

    Spaces and hyphens within a name are interchangeable. Where a name begins or ends in a script without
    word spaces (Chinese, Japanese, Thai, ...), that side needs no boundary.
    """

    def __init__(self, names: list[Name]) -> None:
        self._canonical = {
            name_spelling(alias): name.name
            for name in names
            for alias in (*name.products, *name.aliases, name.name)
            if name_spelling(alias)
        }
        ordered = sorted(self._canonical, key=len, reverse=True)
        # One group a kind of boundary: a boundary shared by all its names is tested once, not once a name.
        groups: dict[tuple[str, str], list[str]] = {}
        for spelling in ordered:
            groups.setdefault(_boundaries(spelling), []).append(_GAP.join(map(re.escape, spelling.split(" "))))
        parts = [f"{before}(?:{_by_first_letter(group)}){after}" for (before, after), group in groups.items()]
        self._pattern = re.compile("|".join(parts)) if parts else None

    @property
    def spellings(self) -> tuple[str, ...]:
        """What is looked for, in order."""
        return tuple(sorted(self._canonical))

    def find(self, text: str) -> list[Hit]:
        """Every mention in reading order."""
        return self.find_folded(fold(text))

    def find_folded(self, folded: str) -> list[Hit]:
        """As `find`, in a text that is folded already."""
        if self._pattern is None:
            return []
        hits = []
        for match in self._pattern.finditer(folded):
            spelling = name_spelling(match.group())
            hits.append(Hit(name=self._canonical[spelling], start=match.start(), end=match.end(), spelling=spelling))
        return hits


def _by_first_letter(patterns: list[str]) -> str:
    """The alternatives, in their order within a letter: few are tried at any place of the text."""
    letters: dict[str, list[str]] = {}
    for pattern in patterns:
        size = 2 if pattern.startswith("\\") else 1
        letters.setdefault(pattern[:size], []).append(pattern[size:])
    return "|".join(f"{letter}(?:{'|'.join(rest)})" for letter, rest in letters.items())


def name_spelling(alias: str) -> str:
    """The folded alias with every run of spaces and hyphens as one space."""
    return re.sub(_GAP, " ", fold(alias)).strip()


def _boundaries(spelling: str) -> tuple[str, str]:
    before = "" if re.match(f"[{_UNSPACED}]", spelling) else r"(?<!\w)"
    # A possessive still names it; a longer word that contains it does not (Gap is not gaps).
    after = "" if re.search(f"[{_UNSPACED_AFTER}]$", spelling) else r"(?=(?:'s|s')?(?!\w))"
    return before, after
