"""Typed facts in a text: numbers with units, dates, named things, and directions of change.

What belongs here: finding facts and deciding whether two facts agree. What a conflict costs is decided in
`groundedness.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from liftos_pipelines.modules.llm.lexicon import spaced
from liftos_pipelines.text import fold

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar", "february feb februar", "march mar marz", "april apr", "may mai", "june jun juni",
            "july jul juli", "august aug", "september sep sept", "october oct oktober", "november nov",
            "december dec dezember",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
WEEKDAYS = frozenset(spaced("monday tuesday wednesday thursday friday saturday sunday"))
NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        spaced(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty"
        )
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100}
SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
UNITS = {
    "percent": ("%", "percent", "per cent", "pct"),
    "points": ("percentage points", "percentage point", "pp", "points", "point"),
    "times": ("x", "times", "fold"),
    "minutes": ("minutes", "minute", "min"),
    "hours": ("hours", "hour", "hrs"),
    "days": ("days", "day"),
    "weeks": ("weeks", "week"),
    "months": ("months", "month"),
    "years": ("years", "year"),
    "milliseconds": ("ms", "milliseconds"),
    "seconds": ("seconds", "second"),
    "EUR": ("eur", "euros", "euro"),
    "USD": ("usd", "dollars", "dollar"),
    "GBP": ("gbp", "pounds"),
    "kilograms": ("kg", "kilograms"),
    "grams": ("g", "grams"),
    "kilometres": ("km", "kilometres", "kilometers"),
    "metres": ("metres", "meters"),
    "litres": ("litres", "liters"),
}
PERIODS = frozenset({"minutes", "hours", "days", "weeks", "months", "years"})
SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP"}
_UNIT_OF = {spelling: unit for unit, spellings in UNITS.items() for spelling in spellings}

UP = frozenset(
    spaced(
        "rose rise rises risen rising increase increased increases increasing grew grow grows grown growing "
        "growth up climbed climb climbs gained gain gains improved improve improves improving higher jumped "
        "surged"
    )
)
DOWN = frozenset(
    spaced(
        "fell fall falls fallen falling decrease decreased decreases decreasing shrank shrink shrinks decline "
        "declined declines declining down dropped drop drops lost loss lower worsened worsen slipped slumped "
        "reduced"
    )
)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as written: `value` in base scale, `step` the value of its last written digit."""

    text: str
    value: float
    unit: str | None
    step: float
    follows: str
    start: int
    end: int
    spelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Day:
    """A date as far as it is given; a missing part is None."""

    text: str
    year: int | None
    month: int | None
    day: int | None
    quarter: int | None = None


_MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\.?"
_DATES = (
    re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)(?:-(?P<day>\d\d))?\b"),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<name>{_MONTH})(?:,?\s+(?P<year>(?:19|20)\d\d))?\b"
    ),
    re.compile(rf"\b(?P<name>{_MONTH})\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,?\s+(?P<year>(?:19|20)\d\d))?\b"),
    re.compile(rf"\b(?P<name>{_MONTH})\s+(?P<year>(?:19|20)\d\d)\b"),
    re.compile(r"\bq(?P<quarter>[1-4])(?:\s+(?P<year>(?:19|20)\d\d))?\b"),
    re.compile(r"(?<![\d.,$€£-])(?P<year>(?:19|20)\d\d)(?![\d%]|[.,]\d)(?=\W|$)"),
)
_UNITS_PATTERN = "|".join(re.escape(unit) for unit in sorted(_UNIT_OF, key=len, reverse=True))
_NUMBER = re.compile(
    r"(?P<symbol>[€$£])?\s?(?<![\w.])(?P<digits>\d{1,3}(?:[, \u00a0\u202f]\d{3})+(?:\.\d+)?(?!\d)"
    r"|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s?(?P<scale>k|thousand|mn|m|million|bn|billion)\b)?"
    rf"(?:[\s-]?(?P<unit>{_UNITS_PATTERN})(?!\w))?"
    r"(?:\s?(?P<after>[€$£]))?(?!\w)"
)
_WORD_NUMBER = re.compile(
    r"\b(?P<word>" + "|".join(NUMBER_WORDS) + r")\b"
    rf"(?:[\s-](?P<scale>thousand|million|billion)\b)?(?:[\s-](?P<unit>{_UNITS_PATTERN})(?!\w))?"
)
_DIGIT = re.compile(r"\d")
_NEXT_WORD = re.compile(r"[\s-]*([^\W\d_]+)")


def find_dates(folded: str) -> tuple[list[Day], str]:
    """Dates in folded text, and the text with them blanked out (so that their digits are not numbers)."""
    found: list[Day] = []
    if not _DIGIT.search(folded):  # every kind of date holds one
        return found, folded
    remaining = folded
    for pattern in _DATES:
        for match in pattern.finditer(remaining):
            parts = match.groupdict()
            name = (parts.get("name") or "").rstrip(".")
            month = MONTHS.get(name) if name else _int(parts.get("month"))
            if name in {"may", "mar", "march"} and parts.get("day") is None and parts.get("year") is None:
                continue
            found.append(
                Day(
                    text=match.group().strip(),
                    year=_int(parts.get("year")),
                    month=month,
                    day=_int(parts.get("day")),
                    quarter=_int(parts.get("quarter")),
                )
            )
        remaining = pattern.sub(lambda match: " " * len(match.group()), remaining)
    return found, remaining


def find_numbers(folded: str) -> list[Number]:
    """Numbers with unit and precision in folded text whose dates were blanked out; spelled-out ones too."""
    found = []
    for match in _NUMBER.finditer(folded):
        digits = match["digits"]
        if re.fullmatch(r"[\d.]*\.[\d.]*,\d+", digits):  # 1.234,5 as written on the continent
            plain = digits.replace(".", "").replace(",", ".")
        else:
            plain = re.sub(r"[, \u00a0\u202f](?=\d{3})", "", digits)
        scale = SCALES.get(match["scale"] or "", 1.0)
        decimals = len(plain.partition(".")[2])
        symbol = match["symbol"] or match["after"]
        unit = SYMBOLS[symbol] if symbol else _UNIT_OF.get(match["unit"] or "")
        found.append(
            Number(
                text=match.group().strip(),
                value=float(plain) * scale,
                unit=unit,
                step=scale * 10.0**-decimals,
                follows=_next_word(folded, match.end()),
                start=match.start(),
                end=match.end(),
            )
        )
    for match in _WORD_NUMBER.finditer(folded):
        scale = SCALES.get(match["scale"] or "", 1.0)
        found.append(
            Number(
                text=match.group(),
                value=NUMBER_WORDS[match["word"]] * scale,
                unit=_UNIT_OF.get(match["unit"] or ""),
                step=scale,
                follows=_next_word(folded, match.end()),
                start=match.start(),
                end=match.end(),
                spelled=True,
            )
        )
    return sorted(found, key=lambda number: number.start)


def same_number(claim: Number, evidence: Number) -> bool:
    """True when the claim is the evidence, exactly or rounded to the claim's last digit, in agreeing units.

    A bare number agrees with any unit, and a bare share (0.12) with its percentage (12 %).
    """
    if not _units_agree(claim.unit, evidence.unit):
        return False
    if _rounds_to(claim, evidence.value):
        return True
    if claim.unit == "percent" and evidence.unit is None and 0 < evidence.value <= 1:
        return _rounds_to(claim, evidence.value * 100)
    return False


def derived_from(claim: Number, first: Number, second: Number) -> bool:
    """True when the claim is a change, difference, sum or ratio of two numbers of one unit.

    Only for numbers from one sentence: over a whole text, some pair fits almost any number.
    """
    if first.unit != second.unit and None not in {first.unit, second.unit}:
        return False
    pairs = [(base, other) for base, other in ((first.value, second.value), (second.value, first.value)) if base]
    if claim.unit == "percent" and first.unit != "percent":
        return any(_rounds_to(claim, abs(other - base) / abs(base) * 100) for base, other in pairs)
    if claim.unit == "times":
        return any(_rounds_to(claim, other / base) for base, other in pairs)
    agreed = claim.unit == first.unit or (claim.unit == "points" and first.unit == "percent")
    total, gap = first.value + second.value, abs(first.value - second.value)
    return agreed and (_rounds_to(claim, gap) or _rounds_to(claim, total))


def same_day(claim: Day, evidence: Day) -> bool:
    """True when no given part differs and the evidence gives every part that the claim states."""
    for part in ("year", "month", "day", "quarter"):
        stated, given = getattr(claim, part), getattr(evidence, part)
        if stated is None:
            continue
        if part == "quarter" and given is None and evidence.month is not None:
            given = (evidence.month - 1) // 3 + 1
        if stated != given:
            return False
    return True


def directions(tokens: list[str]) -> set[str]:
    """`up` and/or `down`, as far as the words say so."""
    return {name for name, words in (("up", UP), ("down", DOWN)) if not words.isdisjoint(tokens)}


_CAPITALISED = re.compile(r"[^\W\d_]*[A-ZÀ-ÖØ-Þ][\w&'’.-]*\w|[A-Z](?=[\s,.;:!?]|$)|[a-z]+\d+\w*|\d+[A-Za-z]{2,}\w*")
_CHAIN = re.compile(rf"(?:{_CAPITALISED.pattern})(?:\s(?:(?:of|and|de|la|the|&)\s)?(?:{_CAPITALISED.pattern}))*")
_GENERIC = frozenset(
    spaced("corp inc ltd gmbh co company group the a an and of i week day month year q1 q2 q3 q4 mr mrs ms dr st")
)
UNIT_WORDS = frozenset(spelling for spelling in _UNIT_OF if spelling.isalpha() and len(spelling) > 1)
_NOT_NAMES = WEEKDAYS | frozenset(MONTHS) | _GENERIC | frozenset(NUMBER_WORDS) | UNIT_WORDS


def find_entities(text: str) -> list[tuple[str, bool]]:
    """Names and codes in running text: (as written, whether it stands at the start of a sentence)."""
    found = []
    for match in _CHAIN.finditer(text):
        before = text[: match.start()].rstrip(" \t\"'“(*#")
        found.append((match.group(), not before or before[-1] in ".!?:\n-•"))
    return found


def entity_words(entity: str) -> list[str]:
    """The words of a name that tell it from others, folded."""
    parts = re.findall(r"[\w&]+", re.sub(r"['’]s\b", "", entity))
    return [word for part in parts if (word := fold(part)) not in _NOT_NAMES and not word.isdigit() and len(word) > 1]


def _rounds_to(claim: Number, value: float) -> bool:
    return abs(claim.value - value) <= claim.step / 2 + 1e-9 * max(1.0, abs(value))


def _units_agree(claim: str | None, evidence: str | None) -> bool:
    return claim is None or evidence is None or claim == evidence


def _next_word(text: str, end: int) -> str:
    match = _NEXT_WORD.match(text, end)
    return match[1].rstrip("s") if match else ""


def _int(text: str | None) -> int | None:
    return int(text) if text else None
