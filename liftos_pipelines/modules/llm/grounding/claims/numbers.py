"""Numbers with unit, scale and written precision, and whether one agrees with, or follows from, others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from liftos_pipelines.modules.llm.lexicon import spaced

NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        spaced(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty"
        )
    )
} | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "dozen": 12, "zwei": 2, "drei": 3, "vier": 4, "funf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
}  # fmt: skip
SCALES = {
    "k": 1e3, "thousand": 1e3, "tausend": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "millionen": 1e6, "mio": 1e6,
    "dozen": 12, "bn": 1e9, "billion": 1e9, "mrd": 1e9, "milliarden": 1e9, "trillion": 1e12,
}  # fmt: skip
UNITS = {
    "percent": ("%", "percent", "per cent", "pct", "prozent"),
    "points": ("percentage points", "percentage point", "pp", "points", "point", "prozentpunkte"),
    "times": ("x", "times", "fold"),
    "minutes": ("minutes", "minute", "min", "minuten"),
    "hours": ("hours", "hour", "hrs", "stunden", "stunde"),
    "days": ("days", "day", "tage", "tag", "tagen"),
    "weeks": ("weeks", "week", "wochen", "woche"),
    "months": ("months", "month", "monate", "monat", "monaten"),
    "years": ("years", "year", "jahre", "jahr", "jahren"),
    "milliseconds": ("ms", "milliseconds"),
    "seconds": ("seconds", "second", "sekunden"),
    "EUR": ("eur", "euros", "euro"),
    "USD": ("usd", "dollars", "dollar"),
    "GBP": ("gbp", "pounds"),
    "kilograms": ("kg", "kilograms"),
    "grams": ("g", "grams"),
    "kilometres": ("km", "kilometres", "kilometers"),
    "miles": ("miles", "mile"),
    "metres": ("metres", "meters"),
    "litres": ("litres", "liters"),
}
PERIODS = frozenset({"minutes", "hours", "days", "weeks", "months", "years"})
SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP"}
_UNIT_OF = {spelling: unit for unit, spellings in UNITS.items() for spelling in spellings}
UNIT_WORDS = frozenset(spelling for spelling in _UNIT_OF if spelling.isalpha() and len(spelling) > 1)
SMALL_COUNT = 10
"""Bare whole numbers up to this are checked only where the context counts the same thing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number as written: `value` in base scale, `step` the value of its last written digit."""

    text: str
    value: float
    unit: str | None
    step: float
    follows: str
    token: int
    start: int
    end: int
    spelled: bool = False

    @property
    def small_count(self) -> bool:
        return self.unit is None and self.value <= SMALL_COUNT and self.value == int(self.value) and self.step == 1


_UNITS_PATTERN = "|".join(re.escape(unit) for unit in sorted(_UNIT_OF, key=len, reverse=True))
_SCALES_PATTERN = "|".join(sorted(SCALES, key=len, reverse=True))
_TAIL = rf"(?:[\s-]?(?P<scale>{_SCALES_PATTERN})\b)?(?:[\s-]?(?P<unit>{_UNITS_PATTERN})(?!\w))?"
_NUMBER = re.compile(
    r"(?P<digits>\d{1,3}(?:[, \u00a0\u202f]\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:[.,]\d+)?)"
    + _TAIL
    + r"(?:\s?(?P<after>[€$£]))?(?!\w)"
)
_AFTER_WORD = re.compile(_TAIL)
_NEXT_WORD = re.compile(r"[\s-]*([^\W\d_]+)")
_DIGITS = frozenset("0123456789")
_GROUPS = re.compile(r"[, \u00a0\u202f](?=\d{3})")
_CONTINENTAL = re.compile(r"[\d.]*\.[\d.]*,\d+|\d+,\d{1,2}")


def find_numbers(
    folded: str, starts: list[int], ends: list[int], words: list[str], covered: list[tuple[int, int]]
) -> list[Number]:
    """Numbers of a tokenised, folded text in order; `covered` spans (dates) are left out."""
    found: list[Number] = []
    taken = {place for low, high in covered for place in range(low, high)}
    behind = -1
    for token in [i for i, word in enumerate(words) if word[0] in _DIGITS or word in NUMBER_WORDS]:
        start, word = starts[token], words[token]
        if start < behind:
            continue
        if word[0] in _DIGITS:
            if start in taken:
                continue
            number = _from_digits(folded, start, token)
        else:
            number = _from_word(folded, start, ends[token], token, word)
        if number is not None:
            found.append(number)
            behind = number.end
    return found


def _from_digits(folded: str, start: int, token: int) -> Number | None:
    match = _NUMBER.match(folded, start)
    if match is None:
        return None
    digits = match["digits"]
    opens = not start or folded[max(0, start - 4) : start].rstrip(" *-#(\u2022")[-1:] in {"", "\n", ".", "!", "?"}
    if opens and len(digits) <= 2 and folded[match.end() : match.end() + 2] in {". ", ") "}:
        return None  # the number of a list's item
    if start and folded[start - 1] == "." and not folded[max(0, start - 2) : start - 1].isalnum():
        digits = "." + digits
    if not digits.isdigit() and _CONTINENTAL.fullmatch(digits):  # 1.234,5 and 1,5 as written on the continent
        plain = digits.replace(".", "").replace(",", ".")
    else:
        plain = digits if digits.isdigit() else _GROUPS.sub("", digits).replace(",", ".")
    scale = SCALES.get(match["scale"] or "", 1.0)
    before = folded[max(0, start - 2) : start].strip()[-1:]
    symbol = before if before in SYMBOLS else match["after"]
    return Number(
        text=folded[start - 1 if symbol == before and symbol else start : match.end()].strip(),
        value=float(plain) * scale,
        unit=SYMBOLS[symbol] if symbol else _UNIT_OF.get(match["unit"] or ""),
        step=scale * 10.0 ** -len(plain.partition(".")[2]),
        follows=_next_word(folded, match.end()),
        token=token,
        start=start,
        end=match.end(),
    )


def _from_word(folded: str, start: int, end: int, token: int, word: str) -> Number:
    match = _AFTER_WORD.match(folded, end)
    scale = SCALES.get(match["scale"] or "", 1.0) if match else 1.0
    last = match.end() if match else end
    return Number(
        text=folded[start:last].strip(),
        value=NUMBER_WORDS[word] * scale,
        unit=_UNIT_OF.get(match["unit"] or "") if match else None,
        step=scale,
        follows=_next_word(folded, last),
        token=token,
        start=start,
        end=last,
        spelled=True,
    )


def same_number(claim: Number, evidence: Number) -> bool:
    """True when the claim is the evidence, exactly or rounded to the claim's last digit, in agreeing units.

    A bare number agrees with any unit, and a bare share (0.12) with its percentage (12 %).
    """
    if claim.unit is not None and evidence.unit is not None and claim.unit != evidence.unit:
        return False
    if rounds_to(claim, evidence.value):
        return True
    if claim.unit == "percent" and evidence.unit is None and 0 < evidence.value <= 1:
        return rounds_to(claim, evidence.value * 100)
    return False


DAYS_IN = {"days": 1.0, "weeks": 7.0, "months": 30.4, "years": 365.25}
_ABOUT = frozenset(spaced("about around nearly almost roughly some approximately close circa rund etwa"))
_ABOVE = frozenset(spaced("over above exceeding than"))
_BELOW = frozenset(spaced("under below nearly almost than"))
ROUGH = 0.15
"""How far from a number "nearly" and "more than" still speak of it, as a share."""


def roughly_same(claim: Number, evidence: Number, before: Sequence[str]) -> bool:
    """Whether a number is the evidence in other words: "fewer than 8,000" of 7,800, 28 days as four weeks.

    `before` are the words that stand before the claim, nearest last.
    """
    value, unit = evidence.value, evidence.unit
    if claim.unit != unit and claim.unit in DAYS_IN and unit in DAYS_IN:
        value = value * DAYS_IN[unit] / DAYS_IN[claim.unit]
        return abs(claim.value - value) <= 0.05 * claim.value
    if None not in {claim.unit, unit} and claim.unit != unit:
        return False
    lead = set(before[-3:])
    less = "less" in lead or "fewer" in lead
    if lead & _ABOUT or (lead & _ABOVE and not less):
        return claim.value * (1 - ROUGH * bool(lead & _ABOUT)) <= value <= claim.value * (1 + ROUGH)
    return bool(lead & _BELOW) and claim.value * (1 - ROUGH) <= value <= claim.value


def derived_from(claim: Number, first: Number, second: Number) -> bool:
    """True when the claim is a change, difference, sum or ratio of two numbers of one unit.

    Only for numbers from one sentence: over a whole text, some pair fits almost any number.
    """
    if first.unit != second.unit and None not in {first.unit, second.unit}:
        return False
    pairs = [(base, other) for base, other in ((first.value, second.value), (second.value, first.value)) if base]
    if claim.unit == "percent" and first.unit != "percent":
        return any(rounds_to(claim, abs(other - base) / abs(base) * 100) for base, other in pairs)
    if claim.unit == "times":
        return any(rounds_to(claim, other / base) for base, other in pairs)
    agreed = claim.unit == first.unit or (claim.unit == "points" and first.unit == "percent")
    total, gap = first.value + second.value, abs(first.value - second.value)
    return agreed and (rounds_to(claim, gap) or rounds_to(claim, total))


def rounds_to(claim: Number, value: float) -> bool:
    """Whether a value, rounded to the claim's last written digit, is the claim."""
    return abs(claim.value - value) <= claim.step / 2 + 1e-9 * max(1.0, abs(value))


def explain(claim: Number, given: list[Number]) -> str:
    """What is wrong with a number, in words, with what stands closest."""
    other_unit = [number for number in given if number.value == claim.value]
    if other_unit:
        return f"{claim.text}: the context has {other_unit[0].text}"
    same_unit = [number for number in given if number.unit == claim.unit]
    if not same_unit:
        return f"{claim.text} is not in the context"
    nearest = min(same_unit, key=lambda number: abs(number.value - claim.value))
    return f"{claim.text} is not in the context (closest: {nearest.text})"


def _next_word(text: str, end: int) -> str:
    match = _NEXT_WORD.match(text, end)
    return match[1].rstrip("s") if match else ""
