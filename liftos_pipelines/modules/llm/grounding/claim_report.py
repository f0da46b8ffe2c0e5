"""Claims of a text against a context and against typed facts: supported, contradicted or unknown, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from liftos_pipelines.modules.llm.grounding.builtin import measure_output
from liftos_pipelines.modules.llm.grounding.claims.dates import Day
from liftos_pipelines.modules.llm.grounding.facts import (
    Fact,
    Outcome,
    judge_direction,
    judge_order,
    judge_value,
)
from liftos_pipelines.modules.llm.grounding.statements import Statement, statements

_OPPOSITE: dict[Outcome, Outcome] = {"supported": "contradicted", "contradicted": "supported", "unknown": "unknown"}


@dataclass(frozen=True, kw_only=True)
class CheckedClaim:
    """Characters `start` to `end` of the output, what kind of claim stands there, and how it fares."""

    start: int
    end: int
    text: str
    kind: str
    """`value`, `order`, `extreme`, `direction` against facts; a kind of `spans.KINDS` against the context."""
    outcome: Outcome
    reason: str
    subjects: tuple[str, ...] = ()
    measure: str = ""
    sources: tuple[str, ...] = ()
    """Where the facts came from; ("context",) for what the context contradicts."""


def check_claims(
    output: str | None, context: str | None = None, prompt: str | None = None, facts: Sequence[Fact] = ()
) -> tuple[CheckedClaim, ...]:
    """Every claim about the facts' subjects, and what of the rest the context contradicts, in reading order.

    A number that a fact supports is not held against the output because the context lacks it. Claims about subjects
    or measures that no fact knows are `unknown`, never supported.
    """
    if not output or not output.strip():
        return ()
    checked = []
    if facts:
        doc, found = statements(output, facts)
        for statement in found:
            outcome, reason, used = _judge(statement, facts)
            if statement.negated and statement.kind != "value":
                outcome = _OPPOSITE[outcome]
            start, end = doc.starts[statement.first], doc.ends[statement.last - 1]
            checked.append(
                CheckedClaim(
                    start=start,
                    end=end,
                    text=output[start:end],
                    kind=statement.kind,
                    outcome="unknown" if statement.negated and statement.kind == "value" else outcome,
                    reason=reason,
                    subjects=statement.subjects,
                    measure=statement.measure,
                    sources=tuple(dict.fromkeys(fact.source for fact in used if fact.source)),
                )
            )
    settled = [(claim.start, claim.end) for claim in checked if claim.outcome == "supported"]
    features = measure_output(output, context, prompt)
    for sentence in features.sentences if features is not None else ():
        for span in sentence.conflicts:
            if not any(low <= span.start and span.end <= high for low, high in settled):
                checked.append(
                    CheckedClaim(
                        start=span.start,
                        end=span.end,
                        text=span.text,
                        kind=span.kind,
                        outcome="contradicted",
                        reason=span.reason,
                        sources=("context",),
                    )
                )
    return tuple(sorted(checked, key=lambda claim: (claim.start, claim.end)))


def _judge(statement: Statement, facts: Sequence[Fact]) -> tuple[Outcome, str, list[Fact]]:
    about = [fact for fact in facts if fact.subject in statement.subjects]
    measures = {fact.measure for fact in about}
    if statement.measure:
        about = [fact for fact in about if fact.measure == statement.measure]
        if not about:
            return "unknown", f"no {statement.measure} of {', '.join(statement.subjects)} is known", []
    elif len(measures) > 1:
        return "unknown", f"it names none of {', '.join(sorted(measures))}", []
    if statement.kind == "direction":
        return *judge_direction(statement.stated, about), about
    dated = _of_day(about, statement.day)
    if not dated:
        return "unknown", f"nothing is known as of {statement.day.text if statement.day else 'then'}", []
    newest = {fact.subject: fact for fact in sorted(dated, key=lambda fact: fact.as_of)}
    if statement.kind == "value" and statement.number is not None:
        fact = newest[statement.subjects[0]]
        return *judge_value(statement.number, fact, statement.bound, roughly=statement.roughly), [fact]
    if statement.kind == "order":
        if len(newest) < 2:
            return "unknown", "only one of the two is known", list(newest.values())
        first, second = (newest[subject] for subject in statement.subjects)
        more, less = (first, second) if statement.stated == "more" else (second, first)
        return *judge_order(more, less), [first, second]
    return _extreme(statement, newest[statement.subjects[0]], facts)


def _extreme(statement: Statement, fact: Fact, facts: Sequence[Fact]) -> tuple[Outcome, str, list[Fact]]:
    """The most or least of all subjects: as sure as its least sure comparison."""
    others = {
        other.subject: other
        for other in sorted(facts, key=lambda other: other.as_of)
        if other.measure == fact.measure and other.subject != fact.subject and other.as_of == fact.as_of
    }
    if not others:
        return "unknown", "nothing to compare with is known", [fact]
    pairs = [(fact, other) if statement.stated == "more" else (other, fact) for other in others.values()]
    judged = [judge_order(more, less) for more, less in pairs]
    for outcome in ("contradicted", "unknown"):
        for found, reason in judged:
            if found == outcome:
                return found, reason, [fact, *others.values()]
    return "supported", judged[0][1], [fact, *others.values()]


def _of_day(facts: list[Fact], day: Day | None) -> list[Fact]:
    """Facts of the period a claim names; all where it names none or the facts have none."""
    if day is None or not any(fact.as_of for fact in facts):
        return facts
    return [fact for fact in facts if _in_period(fact.as_of, day)]


def _in_period(as_of: str, day: Day) -> bool:
    year, _, rest = as_of.partition("-")
    if day.year is not None and year != str(day.year):
        return False
    if day.quarter is not None:
        if rest[:1].upper() == "Q":
            return rest[1:2] == str(day.quarter)
        return rest[:2].isdigit() and (int(rest[:2]) - 1) // 3 + 1 == day.quarter
    if day.month is not None:
        return rest[:2] == f"{day.month:02d}" and (day.day is None or len(rest) < 5 or rest[3:5] == f"{day.day:02d}")
    return True
