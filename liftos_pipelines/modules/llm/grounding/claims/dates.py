"""Dates as far as a text gives them, and whether one date agrees with another."""

from __future__ import annotations

import re
from dataclasses import dataclass

from liftos_pipelines.modules.llm.lexicon import spaced

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
WEEKDAYS = frozenset(
    spaced(
        "monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag "
        "sonntag"
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A date as far as it is given; a missing part is None. `token` is where it starts."""

    text: str
    year: int | None
    month: int | None
    day: int | None
    quarter: int | None
    token: int
    start: int
    end: int


_MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\.?"
_YEAR = r"(?:19|20)\d\d"
_WITH_MONTH = (
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<name>{_MONTH})(?:,?\s+(?P<year>{_YEAR}))?\b"),
    re.compile(rf"\b(?P<name>{_MONTH})\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,?\s+(?P<year>{_YEAR}))?\b"),
    re.compile(rf"\b(?P<name>{_MONTH}),?\s+(?:of\s+)?(?P<year>{_YEAR})\b"),
)
_ISO = re.compile(r"(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)(?:-(?P<day>\d\d))?(?!\w)")
_NUMERIC = re.compile(r"(?P<day>[0-3]?\d)\.(?P<month>[01]?\d)\.(?P<year>(?:19|20)\d\d)(?!\w)")
_QUARTER = re.compile(r"q(?P<quarter>[1-4])(?:\s+(?P<year>(?:19|20)\d\d))?\b")
_BARE = re.compile(r"(?P<year>(?:19|20)\d\d)(?![\d%]|[.,]\d)(?=\W|$)")
_LONE_MONTHS = frozenset(MONTHS) - frozenset(spaced("may mar march mai jan dec sep sept jun apr aug oct nov feb"))


def find_days(
    folded: str, starts: list[int], ends: list[int], words: list[str]
) -> tuple[list[Day], list[tuple[int, int]]]:
    """Dates of a tokenised, folded text in order, and the character spans that they cover."""
    found: list[Day] = []
    covered: list[tuple[int, int]] = []

    def keep(match: re.Match[str], token: int) -> None:
        parts = match.groupdict()
        name = (parts.get("name") or "").rstrip(".")
        found.append(
            Day(
                text=match.group().strip(),
                year=_int(parts.get("year")),
                month=MONTHS.get(name) if name else _int(parts.get("month")),
                day=_int(parts.get("day")),
                quarter=_int(parts.get("quarter")),
                token=token,
                start=match.start(),
                end=match.end(),
            )
        )
        covered.append(match.span())

    years = []
    for i, word in enumerate(words):
        if word in MONTHS:
            low, high = max(0, i - 2), min(len(words), i + 3) - 1
            for pattern in _WITH_MONTH:
                match = pattern.search(folded, starts[low], ends[high])
                if match and match.start() <= starts[i] < match.end():
                    keep(match, low if match.start() < starts[i] else i)
                    break
            else:
                if word in _LONE_MONTHS:
                    found.append(
                        Day(
                            text=word, year=None, month=MONTHS[word], day=None, quarter=None,
                            token=i, start=starts[i], end=ends[i],
                        )
                    )  # fmt: skip
        elif word[0] in "0123q" and (len(word) >= 4 or (word[0] == "q" and len(word) == 2)) and word[-1].isdigit():
            years.append(i)
    taken = {place for low, high in covered for place in range(low, high)}
    for i in years:
        start = starts[i]
        if start in taken:
            continue
        match = _ISO.match(folded, start) or _NUMERIC.match(folded, start) or _QUARTER.match(folded, start)
        if match is None and (start == 0 or folded[start - 1] not in ".,$€£-"):
            match = _BARE.match(folded, start)
        if match:
            keep(match, i)
            taken.update(range(*match.span()))
    return sorted(found, key=lambda day: day.start), covered


def same_day(claim: Day, evidence: Day) -> bool:
    """True when no given part differs and the evidence gives every part that the claim states."""
    if claim.month is None and claim.quarter is None:
        return claim.year == evidence.year
    for part in ("year", "month", "day", "quarter"):
        stated, given = getattr(claim, part), getattr(evidence, part)
        if stated is None:
            continue
        if part == "quarter" and given is None and evidence.month is not None:
            given = (evidence.month - 1) // 3 + 1
        if stated != given:
            return False
    return True


def _int(text: str | None) -> int | None:
    return int(text) if text else None
