"""Text handling that several modules share: folding, sentences, and finding names by their aliases."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass


def fold(text: str) -> str:
    """Case, width, accent and quote folding: two spellings of one name become equal. Length may change."""
    decomposed = unicodedata.normalize("NFKD", text)
    stripped = "".join(char for char in decomposed if not unicodedata.combining(char))
    return stripped.casefold().replace("\u2019", "'")


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


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One mention of a name; `start` and `end` are offsets into `fold(text)`."""

    name: str
    start: int
    end: int


class NameFinder:
    """Finds names by their aliases, longest first, on word boundaries, folded; overlapping hits count once."""

    def __init__(self, names: list[Name]) -> None:
        spellings = {
            fold(alias).strip(): name.name
            for name in names
            for alias in (*name.aliases, name.name)
            if fold(alias).strip()
        }
        self._canonical = spellings
        ordered = sorted(spellings, key=len, reverse=True)
        body = "|".join(re.escape(spelling).replace(r"\ ", r"[\s\-]+") for spelling in ordered)
        # Possessives and plurals of a name still name it; a longer word that contains it does not.
        self._pattern = re.compile(rf"(?<!\w)(?:{body})(?=(?:'s|s')?(?!\w))") if body else None

    def find(self, text: str) -> list[Hit]:
        """Every mention in reading order."""
        if self._pattern is None:
            return []
        hits = []
        for match in self._pattern.finditer(fold(text)):
            spelling = re.sub(r"[\s\-]+", " ", match.group())
            canonical = self._canonical.get(spelling) or self._canonical.get(match.group())
            if canonical is None:  # an alias that itself holds a hyphen
                canonical = next(
                    name
                    for alias, name in self._canonical.items()
                    if re.sub(r"[\s\-]+", " ", alias) == spelling
                )
            hits.append(Hit(name=canonical, start=match.start(), end=match.end()))
        return hits
