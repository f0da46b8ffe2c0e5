"""What is said about whom: the clause around each name, scored by the same classifier.

A clause window is a simple target method: it separates "Acme is great, but Globex lost my parcel" and fails where
the opinion stands in another clause than the name. Expect it well below models trained for targets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from liftos_pipelines.text import NameFinder, fold

SHORT = 2
"""A clause with fewer words than this besides the name borrows its neighbours."""

# Ends of clauses: punctuation, and the words for "but", "while" and "although" in the languages covered.
_BREAK = re.compile(
    r"[.!?;,\n。！？؟،؛|]+(?=\s|$)|\s[-–—]+\s"
    r"|\b(?:but|while|whereas|although|though|however|aber|doch|während|obwohl"
    r"|mais|tandis que|alors que|pero|mientras|aunque"
    r"|ma|però|mentre|anche se|mas|porém|enquanto|embora|lekin|magar|par)\b|(?<!\w)(?:لكن|ولكن|بينما)(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """One name in one text and the part of the text that speaks of it; `row` is the text's position."""

    row: int
    name: str
    text: str


def windows(texts: Sequence[str], finder: NameFinder) -> list[Window]:
    """Every name of every text with its clause, in reading order; two mentions in one clause count once."""
    found: list[Window] = []
    for row, text in enumerate(texts):
        hits = finder.find(text)
        if not hits:
            continue
        # Hits are offsets into the folded text, whose characters may be fewer or more: walk them back.
        ends = list(accumulate(len(fold(char)) for char in text))
        spans = clauses(text)
        seen: set[tuple[str, int]] = set()
        for hit in hits:
            at = next((i for i, end in enumerate(ends) if end > hit.start), len(text) - 1)
            clause = next((k for k, (_, stop) in enumerate(spans) if at < stop), len(spans) - 1)
            if (hit.name, clause) in seen:
                continue
            seen.add((hit.name, clause))
            first, last = clause, clause
            own = len(re.findall(r"\w+", text[spans[clause][0] : spans[clause][1]])) - len(hit.name.split())
            if own < SHORT:
                first, last = max(0, clause - 1), min(len(spans) - 1, clause + 1)
            found.append(Window(row=row, name=hit.name, text=text[spans[first][0] : spans[last][1]].strip()))
    return found


def clauses(text: str) -> list[tuple[int, int]]:
    """Start and end of each clause; together they cover the text."""
    cuts = [0]
    for match in _BREAK.finditer(text):
        # A word that opens a clause belongs to it, a sign that closes one to the clause before.
        cut = match.start() if match.group()[0].isalpha() else match.end()
        if cut > cuts[-1] and text[cuts[-1] : cut].strip():
            cuts.append(cut)
    if cuts[-1] < len(text) and (text[cuts[-1] :].strip() or len(cuts) == 1):
        return list(zip(cuts, [*cuts[1:], len(text)], strict=True))
    return list(zip(cuts[:-1], [*cuts[1:-1], len(text)], strict=True)) if len(cuts) > 1 else [(0, len(text))]
