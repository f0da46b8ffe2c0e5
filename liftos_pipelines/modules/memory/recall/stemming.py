"""English word endings taken off, so that "camping", "camped" and "camps" are one index term.

Source: Porter (1980), An algorithm for suffix stripping, with the two later points of his own program (-logi, -bli).
Words with letters outside a-z are left alone. Other languages written in a-z are stemmed like English: question and
text alike, so equal words stay equal.
"""

from __future__ import annotations

import re
from functools import lru_cache

_C, _V = "[^aeiou]", "[aeiouy]"
_CC, _VV = f"{_C}[^aeiouy]*", f"{_V}[aeiou]*"
_MEASURE_OVER_0 = re.compile(f"^({_CC})?{_VV}{_CC}")
_MEASURE_IS_1 = re.compile(f"^({_CC})?{_VV}{_CC}({_VV})?$")
_MEASURE_OVER_1 = re.compile(f"^({_CC})?{_VV}{_CC}{_VV}{_CC}")
_VOWEL = re.compile(f"^({_CC})?{_V}")
_SHORT = re.compile(f"^{_CC}{_V}[^aeiouwxy]$")
_DOUBLE = re.compile(r"([^aeiouylsz])\1$")
_PLAIN = re.compile(r"^[a-z]{3,}$")

_STEP_2 = (
    *(("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble")),
    *(("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate")),
    *(("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al")),
    *(("iviti", "ive"), ("biliti", "ble"), ("logi", "log")),
)
_STEP_3 = (
    *(("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")),
)
_STEP_4 = (
    *("ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive", "ize"),
    *("ion", "al", "er", "ic", "ou"),
)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """The stem of a folded word; the word itself where it is short or has other letters."""
    if not _PLAIN.match(word):
        return word
    first_y = word[0] == "y"
    if first_y:
        word = "Y" + word[1:]
    word = _inflections(word)
    word = _replaced(_replaced(word, _STEP_2), _STEP_3)
    word = _suffix_gone(word)
    if word.endswith("e"):
        base = word[:-1]
        if _MEASURE_OVER_1.match(base) or (_MEASURE_IS_1.match(base) and not _SHORT.match(base)):
            word = base
    if word.endswith("ll") and _MEASURE_OVER_1.match(word):
        word = word[:-1]
    return "y" + word[1:] if first_y else word


def _inflections(word: str) -> str:
    """Steps 1a to 1c: plurals, past and progressive forms, final y."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        if _MEASURE_OVER_0.match(word[:-3]):
            word = word[:-1]
    else:
        ending = "ed" if word.endswith("ed") else "ing" if word.endswith("ing") else ""
        base = word[: len(word) - len(ending)]
        if ending and _VOWEL.match(base):
            word = base
            if word.endswith(("at", "bl", "iz")):
                word += "e"
            elif _DOUBLE.search(word):
                word = word[:-1]
            elif _SHORT.match(word):
                word += "e"
    if word.endswith("y") and _VOWEL.match(word[:-1]):
        word = word[:-1] + "i"
    return word


def _replaced(word: str, endings: tuple[tuple[str, str], ...]) -> str:
    for ending, other in endings:
        if word.endswith(ending):
            base = word[: -len(ending)]
            return base + other if _MEASURE_OVER_0.match(base) else word
    return word


def _suffix_gone(word: str) -> str:
    for ending in _STEP_4:
        if word.endswith(ending):
            base = word[: -len(ending)]
            fits = _MEASURE_OVER_1.match(base) and (ending != "ion" or base[-1:] in ("s", "t"))
            return base if fits else word
    return word
