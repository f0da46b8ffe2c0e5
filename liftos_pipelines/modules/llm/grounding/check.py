"""The typed checks of one sentence of an output: every conflict it finds is a span with its kind and reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from liftos_pipelines.modules.llm.grounding.align import Fragment
from liftos_pipelines.modules.llm.grounding.claims.dates import MONTHS, WEEKDAYS, same_day
from liftos_pipelines.modules.llm.grounding.claims.directions import DOWN, OPPOSITES, UP, directions
from liftos_pipelines.modules.llm.grounding.claims.entities import NOT_NAMES, OPENERS, known_word, names_of
from liftos_pipelines.modules.llm.grounding.claims.numbers import (
    PERIODS,
    Number,
    derived_from,
    explain,
    roughly_same,
    same_number,
)
from liftos_pipelines.modules.llm.grounding.evidence import Evidence
from liftos_pipelines.modules.llm.grounding.parse import Document, Named, parse
from liftos_pipelines.modules.llm.grounding.spans import Span
from liftos_pipelines.modules.llm.grounding.words import NEGATIONS, PRONOUNS, STOP

SUBJECT_OVERLAP = 0.34
"""Share of a clause's content words a context clause must share to be about the same thing."""
ALIGNED = 0.6
"""Share of a sentence's weight one context sentence must hold for the two to be compared word by word."""
DROPPED = 5
"""Tokens of the context within which a name counts as still in its place, what stood between having been dropped."""
REACH = 30
"""Numbers after one, in its sentence, that it is combined with: a pasted table is one sentence of thousands."""
_PARTING = frozenset("()[]:;\n\u2014\u2013|*")
_CLAUSE_WORDS = frozenset(("and", "but", "while", "whereas", "although", "und", "aber"))


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of an output beside its context: token span, copied fragments, the nearest context sentences."""

    doc: Document
    number: int
    first: int
    last: int
    fragments: list[Fragment]
    nearest: list[tuple[float, int]]


def span(doc: Document, first: int, last: int, kind: str, reason: str) -> Span:
    """The span of tokens `first` to `last` (exclusive)."""
    start, end = doc.starts[first], doc.ends[last - 1]
    return Span(start=start, end=end, kind=kind, text=doc.text[start:end], reason=reason)


def check_numbers(sentence: Sentence, evidence: Evidence, asked: Evidence | None) -> tuple[int, list[Span]]:
    """How many numbers and dates agree with the context, and the spans of those that do not."""
    verified, wrong = 0, []
    doc = sentence.doc
    for day in doc.days[sentence.number]:
        if (
            any(same_day(day, given) for given in evidence.days)
            or (asked is not None and any(same_day(day, given) for given in asked.days))
            or (day.month is None and any(number.value == day.year for number in evidence.numbers))
        ):
            verified += 1
        else:
            reason = f"date {day.text} is not in the context"
            wrong.append(Span(start=day.start, end=day.end, kind="date", text=day.text, reason=reason))
    for i in range(sentence.first, sentence.last):
        if doc.words[i] in WEEKDAYS and not evidence.knows(doc.stems[i]) and not (asked and asked.knows(doc.stems[i])):
            wrong.append(span(doc, i, i + 1, "date", f"{doc.words[i]} is not in the context"))
    for claim in doc.numbers[sentence.number]:
        if (claim.value, claim.unit) in evidence.values or any(same_number(claim, n) for n in evidence.numbers):
            verified += 0 if claim.spelled and claim.value == 1 else 1
        elif _excused(claim, evidence, asked):
            continue
        elif _derivable(claim, evidence) or any(
            roughly_same(claim, n, doc.words[max(sentence.first, claim.token - 3) : claim.token])
            for n in evidence.numbers
        ):
            verified += 1
        else:
            reason = explain(claim, list(evidence.numbers))
            wrong.append(Span(start=claim.start, end=claim.end, kind="number", text=claim.text, reason=reason))
    return verified, wrong


def _excused(claim: Number, evidence: Evidence, asked: Evidence | None) -> bool:
    """Counts that enumerate rather than state a fact, and counts and periods repeated from the prompt."""
    if claim.spelled and claim.value == 1:
        return True
    if any(day.year == claim.value or day.day == claim.value for day in evidence.days) and claim.unit is None:
        return True
    if not (claim.small_count or claim.unit in PERIODS):
        return False
    if asked is not None and any(same_number(claim, number) for number in asked.numbers):
        return True
    return claim.small_count and not any(number.follows == claim.follows != "" for number in evidence.numbers)


def _derivable(claim: Number, evidence: Evidence) -> bool:
    return any(
        derived_from(claim, first, second)
        for sentence in evidence.doc.numbers
        for i, first in enumerate(sentence)
        for second in sentence[i + 1 : i + 1 + REACH]
    )


def check_names(
    sentence: Sentence, evidence: Evidence, asked: Evidence | None, covered: float
) -> tuple[list[tuple[Named, list[int]]], list[Span]]:
    """The sentence's names that the context knows, and the spans of those that neither context nor prompt have."""
    doc = sentence.doc
    known, strange = [], []
    for name, parts in names_of(doc, sentence.number, covered):
        if all(known_word(doc.words[i], doc.stems[i], evidence, asked) for i in parts):
            known.append((name, parts))
        else:
            written = doc.written(name.first, name.last)
            strange.append(span(doc, name.first, name.last, "name", f"{written} is not in the context"))
    return known, strange


def check_directions(sentence: Sentence, evidence: Evidence) -> list[Span]:
    """Clauses that say rose (fell) where the context's clauses about the same thing all say the opposite."""
    doc = sentence.doc
    moves = UP | DOWN
    if moves.isdisjoint(doc.words[sentence.first : sentence.last]):
        return []
    given = _moves(evidence.doc.text)
    found = []
    for first, last in clauses(doc, sentence.first, sentence.last):
        stated = directions(doc.words[first:last])
        subject = _subject(doc, first, last)
        if len(stated) != 1 or not subject:
            continue
        overlaps = [(len(subject & about) / len(subject), moved) for about, moved in given]
        best = max((overlap for overlap, _ in overlaps), default=0.0)
        if best < SUBJECT_OVERLAP:
            continue
        said: set[str] = set().union(*(moved for overlap, moved in overlaps if overlap == best))
        if said.isdisjoint(stated):
            found.append(span(doc, first, last, "direction", f"the context says {' and '.join(sorted(said))}"))
    return found


@lru_cache(maxsize=256)
def _moves(context: str) -> list[tuple[frozenset[str], set[str]]]:
    """What the clauses of a context are about that say rose or fell, and which."""
    doc = parse(context)
    found = []
    moves = UP | DOWN
    for first, last in doc.sentences:
        if moves.isdisjoint(doc.words[first:last]):
            continue
        for low, high in clauses(doc, first, last):
            moved = directions(doc.words[low:high])
            if moved:
                found.append((_subject(doc, low, high), moved))
    return found


def clauses(doc: Document, first: int, last: int) -> list[tuple[int, int]]:
    """Token spans of the clauses of a sentence: cut at commas, semicolons, colons and joining words."""
    found, begin = [], first
    for i in range(first + 1, last):
        gap = doc.text[doc.ends[i - 1] : doc.starts[i]]
        if (gap != " " and gap[:1] in ",;:") or doc.words[i] in _CLAUSE_WORDS:
            if i > begin:
                found.append((begin, i))
            begin = i + 1 if doc.words[i] in _CLAUSE_WORDS else i
    if last > begin:
        found.append((begin, last))
    return found


def _subject(doc: Document, first: int, last: int) -> frozenset[str]:
    """What a clause is about: its content words without numbers and words of direction."""
    return frozenset(
        doc.stems[i]
        for i in range(first, last)
        if doc.content[i] and doc.words[i] not in UP and doc.words[i] not in DOWN and doc.words[i] not in STOP
    )


def check_swaps(sentence: Sentence, evidence: Evidence) -> list[Span]:
    """A name, number or pronoun beside a copied fragment where the context has another one in its place."""
    found: list[Span] = []
    doc, given = sentence.doc, evidence.doc
    seen: set[int] = set()
    for fragment in sentence.fragments:
        if fragment.size < 2:
            continue
        ends = fragment.here + fragment.size, fragment.there + fragment.size
        for side, here, there in ((-1, fragment.here - 1, fragment.there - 1), (1, *ends)):
            if not (sentence.first <= here < sentence.last and 0 <= there < len(given.stems)) or here in seen:
                continue
            place = given.sentence_of[there]
            if place != given.sentence_of[fragment.there]:
                continue
            swapped = _swapped(sentence, here, evidence, there, side)
            if swapped is not None:
                seen.update(range(swapped[0], swapped[1]))
                found.append(span(doc, swapped[0], swapped[1], "swap", f"the context has {swapped[2]} here"))
    return found


def _joined(doc: Document, token: int, side: int) -> bool:
    """Whether no bracket, colon or dash parts a token from its neighbour towards the fragment."""
    left, right = (token, token + 1) if side < 0 else (token - 1, token)
    return _PARTING.isdisjoint(doc.text[doc.ends[left] : doc.starts[right]])


def _swapped(sentence: Sentence, here: int, evidence: Evidence, there: int, side: int) -> tuple[int, int, str] | None:
    doc, given, number = sentence.doc, evidence.doc, sentence.number
    ours = _name_at(doc, number, here, evidence)
    theirs = _name_at(given, given.sentence_of[there], there, evidence)
    if ours is not None and theirs is not None:
        mine = {doc.stems[i] for i in range(ours.first, ours.last)}
        other = {given.stems[i] for i in range(theirs.first, theirs.last)}
        initials = "".join(given.words[i][0] for i in range(theirs.first, theirs.last))
        short = "".join(doc.words[i][0] for i in range(ours.first, ours.last))
        # Where what stood between was dropped, the name is near on the same side.
        around = given.stems[max(0, there - DROPPED) : there] if side < 0 else given.stems[there : there + DROPPED]
        apart = mine.isdisjoint(other) and mine.isdisjoint(around) and initials not in mine and short not in other
        if apart and _joined(doc, here, side) and _joined(given, there, side):
            return ours.first, ours.last, given.written(theirs.first, theirs.last)
        return None
    for kind in (WEEKDAYS, MONTHS):
        if doc.words[here] in kind and given.words[there] in kind and doc.stems[here] != given.stems[there]:
            return here, here + 1, given.words[there]
    first, second = PRONOUNS.get(doc.words[here]), PRONOUNS.get(given.words[there])
    if first is not None and second is not None and first != second:
        return here, here + 1, given.words[there]
    mine_number = _number_at(doc, number, here)
    other_number = _number_at(given, given.sentence_of[there], there)
    if (
        mine_number is not None
        and other_number is not None
        and mine_number.unit == other_number.unit
        and not same_number(mine_number, other_number)
    ):
        return here, here + 1, other_number.text
    return None


def _name_at(doc: Document, sentence: int, token: int, evidence: Evidence) -> Named | None:
    for name in doc.names[sentence]:
        if name.first <= token < name.last:
            word = doc.words[name.first]
            if (
                name.opens
                and name.last - name.first == 1
                and word not in evidence.doc.proper
                and word not in doc.proper
            ):
                return None
            return None if doc.words[token] in NOT_NAMES or word in OPENERS else name
    return None


def _number_at(doc: Document, sentence: int, token: int) -> Number | None:
    for number in doc.numbers[sentence]:
        if number.token == token:
            return number
    return None


def check_polarity(sentence: Sentence, evidence: Evidence) -> list[Span]:
    """A negation put in or left out, or a word in place of its opposite, against the sentence that is nearest."""
    if not sentence.nearest or sentence.nearest[0][0] < ALIGNED:
        return []
    doc, given = sentence.doc, evidence.doc
    first, last = given.sentences[sentence.nearest[0][1]]
    around = set(given.stems[first:last])
    around_words = set(given.words[first:last])
    found = []
    ours = {doc.stems[i] for i in range(sentence.first, sentence.last)}
    for i in range(sentence.first, sentence.last):
        opposites = OPPOSITES.get(doc.stems[i])
        if opposites is None or doc.stems[i] in around:
            continue
        against = (opposites & around) - ours
        if against:
            found.append(span(doc, i, i + 1, "opposite", f"the context says {min(against)}"))
    negated = [i for i in range(sentence.first, sentence.last) if _negates(doc.words[i])]
    copied = {i for f in sentence.fragments if f.size > 1 for i in range(f.here, f.here + f.size)}
    negated = [i for i in negated if i not in copied]
    if negated and not any(_negates(word) for word in around_words):
        found += [span(doc, i, i + 1, "negation", "the context does not negate it") for i in negated]
    for before, after in zip(sentence.fragments, sentence.fragments[1:], strict=False):
        left, right = before.there + before.size, after.there
        if not (left < right <= left + 3 and given.sentence_of[left] == given.sentence_of[right]):
            continue
        gap_here = range(before.here + before.size, after.here)
        if len(gap_here) > 2 or any(_negates(doc.words[i]) for i in gap_here):
            continue
        if any(_negates(given.words[i]) for i in range(left, right)):
            reason = f'the context says "{given.written(left, right)}" here'
            found.append(span(doc, max(sentence.first, after.here - 1), after.here + 1, "negation", reason))
    return found


def _negates(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")
