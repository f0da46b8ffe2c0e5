"""Long texts in windows: a model that reads 256 word pieces would know only how a long document begins.

A text is cut at sentences, or at words where a sentence is longer than a window; each window begins with the end of the
one before, so that no thought is cut in two. A text that fits is its own only window. Windows follow from the text
alone, so that they can be made again at any time.
"""

from __future__ import annotations

import re

PIECES = 180
"""Word pieces of a window, as estimated; the estimate is at times a third too low, and 254 fit."""
FITS = 220
"""A text of so many is left whole."""
OVERLAP = 40
MOST = 64
"""Windows of one text; what is behind them is found by its words."""
_ENDS = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？])|\n+")
_PARTS = re.compile(r"\w+|[^\w\s]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LETTERS_A_PIECE = 7


def pieces(text: str) -> int:
    """About how many word pieces a text has: one a word, more for long words, one for each other sign."""
    return sum(_pieces(part) for part in _PARTS.findall(text))


def windows(text: str) -> list[str]:
    """The windows of a text, at least one; together they hold all of it, but for `MOST`."""
    # No text has more pieces than signs.
    if len(text) <= FITS or pieces(text) <= FITS:
        return [text]
    found: list[str] = []
    held: list[tuple[str, int]] = []
    total = fresh = 0
    for unit, size in _units(text):
        if fresh and total + size > PIECES:
            found.append(" ".join(one for one, _ in held))
            while held and (total > OVERLAP or total + size > PIECES):
                total -= held.pop(0)[1]
            fresh = 0
        held.append((unit, size))
        total += size
        fresh += 1
    if fresh:
        found.append(" ".join(one for one, _ in held))
    return found[:MOST]


def _units(text: str) -> list[tuple[str, int]]:
    """Sentences with their pieces; those too long for an overlap or a window in runs of words."""
    found = []
    for sentence in _ENDS.split(text):
        size = pieces(sentence)
        if size <= PIECES:
            if size:
                found.append((sentence, size))
            continue
        run: list[str] = []
        length = 0
        for word in _words(sentence):
            run.append(word)
            length += pieces(word)
            if length >= OVERLAP:
                found.append((" ".join(run), length))
                run, length = [], 0
        if run:
            found.append((" ".join(run), length))
    return found


def _words(sentence: str) -> list[str]:
    """Words, those without end (a script without spaces, encoded data) in pieces."""
    step = OVERLAP
    return [word[at : at + step] for word in sentence.split() for at in range(0, len(word), step)]


def _pieces(part: str) -> int:
    if not (part[0].isalnum() or part[0] == "_") or _UNSPACED.search(part):
        return len(part)
    return 1 + (len(part) - 1) // _LETTERS_A_PIECE
