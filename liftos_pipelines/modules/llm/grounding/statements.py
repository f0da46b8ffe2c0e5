"""What a text states of known subjects: values, comparisons and directions, found clause by clause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from liftos_pipelines.modules.llm.grounding.check import clauses
from liftos_pipelines.modules.llm.grounding.claims.dates import Day
from liftos_pipelines.modules.llm.grounding.claims.directions import directions
from liftos_pipelines.modules.llm.grounding.claims.numbers import Number
from liftos_pipelines.modules.llm.grounding.facts import Fact
from liftos_pipelines.modules.llm.grounding.parse import Document, parse
from liftos_pipelines.modules.llm.grounding.words import NEGATIONS
from liftos_pipelines.modules.llm.lexicon import spaced

MEASURE_WORDS = {
    "roi": "roi roas return returns returned returning payback rendite",
    "spend": "spend spends spent spending budget cost costs invested investment ausgaben",
    "contribution": "contribution contributions contributed contributes brought brings bring drove drives generated "
    "generates delivered incremental beitrag brachte",
    "share": "share anteil",
    "revenue": "revenue revenues sales turnover umsatz",
    "conversions": "conversions conversion orders purchases",
}
"""Words that name a measure, beside the measure's own name."""
_VERBS = frozenset(spaced("outperformed outperforms beat beats exceeded exceeds underperformed underperforms"))
_MORE = frozenset(
    spaced("more higher better larger greater bigger above outperformed outperforms beat beats exceeded exceeds mehr")
)
_LESS = frozenset(spaced("less lower fewer worse smaller below underperformed underperforms weniger"))
_MOST = frozenset(spaced("most highest best largest biggest top strongest hochste"))
_LEAST = frozenset(spaced("least lowest worst smallest weakest"))
_OVER = frozenset(("over", "above", "exceeding", "exceeded", "uber"))
_UNDER = frozenset(("under", "below", "unter"))
_ROUGHLY = frozenset(spaced("about around approximately roughly nearly almost circa some rund etwa"))


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One checkable statement: tokens `first` to `last`, its subjects, measure ("" unnamed) and what is said."""

    first: int
    last: int
    kind: Literal["value", "order", "extreme", "direction"]
    subjects: tuple[str, ...]
    measure: str
    number: Number | None = None
    bound: str = ""
    roughly: bool = False
    stated: str = ""
    """`up` or `down`; for orders and extremes `more` or `less`."""
    day: Day | None = None
    negated: bool = False


def statements(output: str, facts: Sequence[Fact]) -> tuple[Document, list[Statement]]:
    """The statements of a text about the facts' subjects, in reading order."""
    doc = parse(output)
    names = _names(facts)
    measures = _measures(facts)
    found: list[Statement] = []
    for number, (first, last) in enumerate(doc.sentences):
        days = doc.days[number]
        subject, measure = "", ""
        for low, high in _parts(doc, first, last, names):
            here = _mentions(doc, low, high, names)
            said = _measure(doc, low, high, measures)
            measure = said or measure
            if here:
                subject = here[0][1]
            if not subject:
                continue
            subjects = tuple(dict.fromkeys(name for _, name in here)) or (subject,)
            numbers = [n for n in doc.numbers[number] if low <= n.token < high and not (n.spelled and n.value == 1)]
            found += _stated(doc, low, high, subjects, here, measure, numbers, days[0] if days else None)
    return doc, found


def _stated(
    doc: Document,
    low: int,
    high: int,
    subjects: tuple[str, ...],
    here: list[tuple[int, str]],
    measure: str,
    numbers: list[Number],
    day: Day | None,
) -> list[Statement]:
    words = doc.words[low:high]
    has = set(words)
    negated = any(word in NEGATIONS or word.endswith("n't") for word in words)
    base = {"first": low, "last": high, "measure": measure, "day": day, "negated": negated}
    if len(subjects) == 2 and (has & (_MORE | _LESS)) and ("than" in has or has & _VERBS or "als" in has):
        stated = "more" if has & _MORE else "less"
        return [Statement(**base, kind="order", subjects=subjects, stated=stated)]  # type: ignore[arg-type]
    if has & (_MOST | _LEAST) and not numbers:
        stated = "more" if has & _MOST else "less"
        return [Statement(**base, kind="extreme", subjects=subjects[:1], stated=stated)]  # type: ignore[arg-type]
    if numbers:
        made = []
        for number in numbers:
            before = [name for token, name in here if token < number.token]
            owner = before[-1] if before else subjects[0]
            lead = set(doc.words[max(low, number.token - 3) : number.token])
            than = "than" in lead or "least" in lead or "most" in lead
            over = bool(lead & _OVER) or (than and bool(lead & _MORE)) or "least" in lead
            under = bool(lead & _UNDER) or (than and bool(lead & _LESS)) or ("at" in lead and "most" in lead)
            made.append(
                Statement(
                    **base,  # type: ignore[arg-type]
                    kind="value",
                    subjects=(owner,),
                    number=number,
                    bound="over" if over else "under" if under else "",
                    roughly=bool(lead & _ROUGHLY),
                )
            )
        return made
    moved = directions(words)
    if len(moved) == 1:
        return [Statement(**base, kind="direction", subjects=subjects[:1], stated=moved.pop())]  # type: ignore[arg-type]
    return []


def _parts(doc: Document, first: int, last: int, names: dict[tuple[str, ...], str]) -> list[tuple[int, int]]:
    """Clauses, joined again where only a subject or a comparison's second half would stand alone."""
    parts: list[tuple[int, int]] = []
    for low, high in clauses(doc, first, last):
        has_number = any(word[0].isdigit() for word in doc.words[low:high])
        alone = not has_number and len(_mentions(doc, low, high, names)) * 3 >= high - low
        if parts and (alone or _is_open(doc, parts[-1], names)):
            parts[-1] = parts[-1][0], high
        else:
            parts.append((low, high))
    return parts


def _is_open(doc: Document, part: tuple[int, int], names: dict[tuple[str, ...], str]) -> bool:
    """Whether a part is a name and little else: "In June, TV ..." goes on."""
    low, high = part
    if high - low <= 2:
        return True
    digits = any(word[0].isdigit() for word in doc.words[low:high])
    return high - low <= 4 and not digits and bool(_mentions(doc, low, high, names))


def _mentions(doc: Document, low: int, high: int, names: dict[tuple[str, ...], str]) -> list[tuple[int, str]]:
    found = []
    i = low
    while i < high:
        for spelling, subject in names.items():
            if tuple(doc.stems[i : min(high, i + len(spelling))]) == spelling:
                found.append((i, subject))
                i += len(spelling) - 1
                break
        i += 1
    return found


def _names(facts: Sequence[Fact]) -> dict[tuple[str, ...], str]:
    spellings = {}
    for fact in facts:
        for name in (fact.subject, *fact.aliases):
            stems = tuple(parse(name.replace("_", " ")).stems)
            if stems:
                spellings[stems] = fact.subject
    return dict(sorted(spellings.items(), key=lambda item: -len(item[0])))


def _measures(facts: Sequence[Fact]) -> dict[str, tuple[str, ...]]:
    """Words that name each measure of the facts."""
    found = {}
    for measure in dict.fromkeys(fact.measure for fact in facts):
        words = measure.lower().replace("_", " ")
        known = [extra.split() for key, extra in MEASURE_WORDS.items() if key in words.split()]
        found[measure] = (words, *[word for extra in known for word in extra])
    return found


def _measure(doc: Document, low: int, high: int, measures: dict[str, tuple[str, ...]]) -> str:
    """The measure a part names; the longest name wins, and one that two share names none."""
    text = " " + " ".join(word.removesuffix("'s") for word in doc.words[low:high]) + " "
    best: dict[str, int] = {}
    for measure, words in measures.items():
        sizes = [len(word) + 100 * (place == 0) for place, word in enumerate(words) if f" {word} " in text]
        if sizes:
            best[measure] = max(sizes)
    top = [measure for measure, size in best.items() if size == max(best.values())]
    return top[0] if len(top) == 1 else ""
