"""Facts as tables hold them, and whether a stated value, comparison or direction agrees with them.

A fact with an interval is known only that well: a claim inside it is supported, one outside contradicted, and an order
of two subjects whose intervals overlap is not established either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from liftos_pipelines.modules.llm.grounding.claims.numbers import SYMBOLS, UNITS, Number, rounds_to

Outcome = Literal["supported", "contradicted", "unknown"]
ROUGHLY = 0.05
"""Relative leeway of a claim that says "about"."""
_UNIT_OF = {spelling: unit for unit, spellings in UNITS.items() for spelling in spellings}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One known value: `subject`'s `measure` is `value` [`low`, `high`] in `unit`, as of `as_of`, says `source`.

    Parameters
    ----------
    subject : what it is of, as texts name it ("TV"); `aliases` are other names of it
    measure : what was measured ("roi", "spend"); underscores count as spaces
    value : None where it is not known
    unit : "percent", "EUR", "days", ... (names or spellings of `claims.numbers.UNITS`); None for a bare number
    low, high : its interval; both None for an exact value
    as_of : period as sortable text: "2025", "2025-06", "2025-06-30", "2025-Q2"; empty where there is one period only
    source : table and row, for the reason given
    """

    subject: str
    measure: str
    value: float | None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    as_of: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def canonical_unit(self) -> str | None:
        """The unit by the name that numbers in texts are given."""
        if self.unit is None or not self.unit.strip():
            return None
        unit = self.unit.strip()
        return SYMBOLS.get(unit) or _UNIT_OF.get(unit.lower()) or unit

    @property
    def written(self) -> str:
        """The value with its interval and source, for a reason."""
        if self.value is None:
            return "not known"
        interval = f" [{self.low:,.4g}, {self.high:,.4g}]" if self.low is not None and self.high is not None else ""
        where = f" ({self.source})" if self.source else ""
        return f"{self.value:,.4g}{interval}{' ' + self.unit if self.unit else ''}{where}"


def judge_value(claim: Number, fact: Fact, bound: str = "", *, roughly: bool = False) -> tuple[Outcome, str]:
    """Whether a stated number is the fact; `bound` is "over" or "under" where the claim says so."""
    if fact.value is None:
        return "unknown", f"{fact.subject}'s {fact.measure} is not known"
    unit = fact.canonical_unit
    scale = _scale(claim, unit, fact.value)
    if scale is None:
        return "contradicted", f"{claim.text}: it is {fact.written}"
    value = fact.value * scale
    low = fact.low * scale if fact.low is not None else value
    high = fact.high * scale if fact.high is not None else value
    if bound:
        if (bound == "over" and low > claim.value) or (bound == "under" and high < claim.value):
            return "supported", f"it is {fact.written}"
        if (bound == "over" and high < claim.value) or (bound == "under" and low > claim.value):
            return "contradicted", f"{claim.text}: it is {fact.written}"
        return "unknown", f"the interval holds both: {fact.written}"
    leeway = claim.step / 2 + (ROUGHLY * abs(value) if roughly else 0.0)
    if rounds_to(claim, value) or low - leeway <= claim.value <= high + leeway:
        return "supported", f"it is {fact.written}"
    return "contradicted", f"{claim.text}: it is {fact.written}"


def judge_order(more: Fact, less: Fact) -> tuple[Outcome, str]:
    """Whether one subject has more of a measure than another."""
    reason = f"{more.subject}: {more.written}; {less.subject}: {less.written}"
    if more.value is None or less.value is None:
        return "unknown", reason
    if more.canonical_unit != less.canonical_unit:
        return "unknown", f"not in one unit: {reason}"
    if _low(more) > _high(less):
        return "supported", reason
    if _high(more) < _low(less):
        return "contradicted", reason
    if more.value == less.value:
        return "contradicted", f"they are equal: {reason}"
    return "unknown", f"the intervals overlap: {reason}"


def judge_direction(stated: str, facts: Sequence[Fact]) -> tuple[Outcome, str]:
    """Whether a measure went `up` or `down` over the last two periods of one subject's facts."""
    known = sorted((fact for fact in facts if fact.as_of and fact.value is not None), key=lambda fact: fact.as_of)
    if len(known) < 2:
        return "unknown", "only one period is known"
    before, after = known[-2:]
    reason = f"{before.as_of}: {before.written}; {after.as_of}: {after.written}"
    first, second = before.value or 0.0, after.value or 0.0
    if first == second:
        return "contradicted", f"it did not change: {reason}"
    uncertain = before.low is not None or after.low is not None
    if uncertain and _low(before) <= _high(after) and _low(after) <= _high(before):
        return "unknown", f"the intervals overlap: {reason}"
    return ("supported" if (second > first) == (stated == "up") else "contradicted"), reason


def _scale(claim: Number, unit: str | None, value: float) -> float | None:
    """What the fact is multiplied with to be in the claim's unit; None where the units are at odds."""
    if claim.unit == unit or claim.unit is None or (unit is None and claim.unit not in {"percent", "points"}):
        return 1.0
    if unit is None and claim.unit == "percent":
        return 100.0 if abs(value) <= 1 else 1.0
    return None


def _low(fact: Fact) -> float:
    return fact.low if fact.low is not None else float(fact.value or 0.0)


def _high(fact: Fact) -> float:
    return fact.high if fact.high is not None else float(fact.value or 0.0)
