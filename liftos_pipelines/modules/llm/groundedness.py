"""How far an output is supported by the context it was given, sentence by sentence, without a judge model.

A plainly defined score, not a probability: the mean support of the output's sentences, weighted by their content
words. A sentence's support is the mean of its word, word-pair and best-passage containment in the context (agreeing
numbers and dates counting as words found); a sentence that states a number, date, name or direction which the
context does not support counts nothing. Abstractive paraphrase is the limit of every lexical method; how far this one
goes stands in `docs/modules/llm.md`.

Sources: Lin (2004), ROUGE; Grusky et al. (2018), Newsroom (extractive fragments); Laban et al. (2022), SummaC
(sentence-level aggregation).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from liftos_pipelines.modules.llm.claims import (
    DOWN,
    NUMBER_WORDS,
    PERIODS,
    UNITS,
    UP,
    Day,
    Number,
    derived_from,
    directions,
    entity_words,
    find_dates,
    find_entities,
    find_numbers,
    same_day,
    same_number,
)
from liftos_pipelines.modules.llm.lexicon import spaced
from liftos_pipelines.text import fold, sentences

SUPPORT_THRESHOLD = 0.5
"""Below this support a sentence is reported as ungrounded."""
SMALL_COUNT = 10
"""Bare whole numbers up to this are checked only where the context counts the same thing."""
FACT_WEIGHT = 2
"""Words that a checked number or date counts for: it is the part of a sentence that can be wrong."""
OPENING_COVER = 0.7
"""Share of the rest of a sentence the context must cover before its unknown first word is taken for a name."""
SUBJECT_OVERLAP = 0.34
"""Share of a clause's content words a context clause must share to be about the same thing."""

_STOP = frozenset(
    spaced(
        "a an the and or but if then of to in on at by for from with without as is are was were be been being "
        "it its this that these those there here he she they we you i his her their our your my not no yes do "
        "does did has have had will would can could should may might must about into over under between "
        "during per than so such also which who what when where how why all any both each more most other "
        "some only own same too very just up down out off again der die das und ist ein eine zu mit von den "
        "im auf fur le la les et un une des du de en el los las y que"
    )
)
# How a currency or a share is written says nothing; that it agrees is checked with the number.
_NO_CONTENT = frozenset(NUMBER_WORDS) | {word for unit in ("percent", "EUR", "USD", "GBP") for word in UNITS[unit]}
_OPENERS = frozenset(
    spaced(
        "however therefore moreover overall additionally furthermore meanwhile finally first second third "
        "next then thus because although while since after before during according based given yes no please "
        "note here sure certainly unfortunately hello hi dear thanks thank sorry regards best summary answer "
        "today yesterday tomorrow currently recently approximately roughly nearly almost about around "
        "compared combined together total in on at by for from with as to of if when where why how what who "
        "which there their its our your my his her these those this that they we you he she it i one two "
        "three several many most some all both each every another other nothing something spend spending "
        "sales revenue customers campaign campaigns results performance"
    )
)
_COURTESY = re.compile(
    r"\b(?:thank you|thanks)(?: for [a-z]+ing)?(?: us)?\b|\b(?:of course|sure|certainly|happy to help)\b"
    r"|\bplease (?:note|let me know|feel free)\b|\b(?:i )?hope (?:this|that) helps\b|\b(?:hi|hello|dear)(?= [a-z])"
)
_GERMAN = frozenset(spaced("der die das und ist nicht ein eine mit auf fur"))
_CLAUSE = re.compile(r"[,;:]\s|\s(?:and|but|while|whereas|although|und|aber)\s")
_TOKEN = re.compile(r"\w+(?:['.]\w+)*")


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """Support of one output. `score` is None where there is no context or nothing to check."""

    score: float | None
    ungrounded_spans: tuple[str, ...] = ()
    numeric_conflicts: tuple[str, ...] = ()
    sentence_support: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """A context, parsed once and reused for every output that was given it."""

    vocabulary: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    passages: tuple[frozenset[str], ...]
    """Content words of each sentence and the one after it."""
    numbers: tuple[tuple[Number, ...], ...]
    days: tuple[Day, ...]
    moves: tuple[tuple[frozenset[str], frozenset[str]], ...]


def ground(output: str | None, context: str | None, prompt: str | None = None) -> Grounding:
    """Support of an output in its context.

    Parameters
    ----------
    output : what the model answered
    context : what it was given as facts; without one the score is None
    prompt : what it was asked; names, dates and periods may be repeated from it, quantities may not
    """
    if not output or not output.strip() or not context or not context.strip():
        return Grounding(score=None)
    evidence = _parse(context)
    asked = _parse(prompt or "")
    german = sum(token in _GERMAN for token in _tokens(fold(output))) >= 3
    spans: list[str] = []
    conflicts: list[str] = []
    supports: list[float] = []
    weights: list[int] = []
    for sentence in sentences(output):
        folded = fold(sentence)
        words = _content(folded)
        if not words:
            continue
        verified, wrong = _check_numbers(folded, evidence, asked)
        support = _lexical_support(words, evidence, verified=verified, wrong=len(wrong))
        numeric = [*wrong, *_direction_conflicts(folded, evidence)]
        facts = FACT_WEIGHT * verified, FACT_WEIGHT * (verified + len(wrong))
        strangers = [] if german else _strange_names(sentence, words, evidence, asked, facts)
        if support < SUPPORT_THRESHOLD:
            spans.append(sentence)
        spans += [name for name in strangers if support >= SUPPORT_THRESHOLD]
        conflicts += numeric
        supports.append(0.0 if numeric or strangers else support)
        weights.append(len(words))
    if not weights:
        return Grounding(score=None)
    score = sum(s * w for s, w in zip(supports, weights, strict=True)) / sum(weights)
    return Grounding(
        score=score,
        ungrounded_spans=tuple(spans),
        numeric_conflicts=tuple(conflicts),
        sentence_support=tuple(supports),
    )


@lru_cache(maxsize=2048)
def _parse(context: str) -> _Evidence:
    vocabulary: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    passages, numbers, moves = [], [], []
    days: list[Day] = []
    for sentence in sentences(context):
        folded = fold(sentence)
        found, rest = find_dates(folded)
        days += found
        numbers.append(tuple(find_numbers(rest)))
        content = _content(folded)
        vocabulary.update(_stem(token) for token in _tokens(folded))
        pairs.update(itertools.pairwise(content))
        passages.append(frozenset(content))
        for clause in _clauses(folded):
            moved = directions(_tokens(clause))
            if moved:
                moves.append((_subject(clause), frozenset(moved)))
    return _Evidence(
        vocabulary=frozenset(vocabulary),
        pairs=frozenset(pairs),
        passages=tuple(a | b for a, b in zip(passages, [*passages, frozenset()][1:], strict=True)),
        numbers=tuple(numbers),
        days=tuple(days),
        moves=tuple(moves),
    )


def _lexical_support(words: list[str], evidence: _Evidence, *, verified: int, wrong: int) -> float:
    """Mean of three containments: words anywhere, neighbouring words, and the best two-sentence passage.

    A number or date that agrees with the context counts as `FACT_WEIGHT` words found, one that does not as missed.
    """
    facts, stated = FACT_WEIGHT * verified, FACT_WEIGHT * (verified + wrong)
    single = (sum(word in evidence.vocabulary for word in words) + facts) / (len(words) + stated)
    following = list(itertools.pairwise(words))
    double = sum(pair in evidence.pairs for pair in following) / len(following) if following else 0.0
    distinct = set(words)
    overlap = max((len(distinct & passage) for passage in evidence.passages), default=0)
    best = (overlap + facts) / (len(distinct) + stated)
    # Reordering a fact breaks its word pairs but not its support, so pairs can only help a well-covered sentence.
    return (single + max(double, best) + best) / 3


def _check_numbers(folded: str, evidence: _Evidence, asked: _Evidence) -> tuple[int, list[str]]:
    """How many numbers and dates agree with the context, and what is wrong with those that do not."""
    verified, wrong = 0, []
    claimed_days, rest = find_dates(folded)
    for day in claimed_days:
        if any(same_day(day, given) for given in (*evidence.days, *asked.days)):
            verified += 1
        else:
            wrong.append(f"date {day.text} is not in the context")
    given = [number for sentence in evidence.numbers for number in sentence]
    for claim in find_numbers(rest):
        if any(same_number(claim, number) for number in given):
            verified += 0 if claim.spelled and claim.value == 1 else 1
        elif not _excused(claim, given, asked):
            if _derivable(claim, evidence):
                verified += 1
            else:
                wrong.append(_explain_number(claim, given))
    return verified, wrong


def _excused(claim: Number, given: list[Number], asked: _Evidence) -> bool:
    """Counts that enumerate rather than state a fact, and counts and periods repeated from the prompt."""
    if claim.spelled and claim.value == 1:
        return True
    if not (_is_small_count(claim) or claim.unit in PERIODS):
        return False
    if any(same_number(claim, number) for sentence in asked.numbers for number in sentence):
        return True
    return _is_small_count(claim) and not any(number.follows == claim.follows != "" for number in given)


def _derivable(claim: Number, evidence: _Evidence) -> bool:
    return any(
        derived_from(claim, first, second)
        for sentence in evidence.numbers
        for i, first in enumerate(sentence)
        for second in sentence[i + 1 :]
    )


def _is_small_count(claim: Number) -> bool:
    return claim.unit is None and claim.value <= SMALL_COUNT and claim.value == int(claim.value) and claim.step == 1


def _explain_number(claim: Number, given: list[Number]) -> str:
    same_unit = [number for number in given if number.unit == claim.unit]
    other_unit = [number for number in given if number.value == claim.value]
    if other_unit:
        return f"{claim.text}: the context has {other_unit[0].text}"
    if not same_unit:
        return f"{claim.text} is not in the context"
    nearest = min(same_unit, key=lambda number: abs(number.value - claim.value))
    return f"{claim.text} is not in the context (closest: {nearest.text})"


def _direction_conflicts(folded: str, evidence: _Evidence) -> Iterator[str]:
    """A clause says rose (fell) where the clauses of the context about the same thing all say the opposite."""
    for clause in _clauses(folded):
        stated = directions(_tokens(clause))
        subject = _subject(clause)
        if len(stated) != 1 or not subject:
            continue
        overlaps = [(len(subject & about) / len(subject), moved) for about, moved in evidence.moves]
        best = max((overlap for overlap, _ in overlaps), default=0.0)
        if best < SUBJECT_OVERLAP:
            continue
        said: set[str] = set().union(*(moved for overlap, moved in overlaps if overlap == best))
        if said.isdisjoint(stated):
            yield f'"{clause.strip()}": the context says {" and ".join(sorted(said))}'


def _strange_names(
    sentence: str, words: list[str], evidence: _Evidence, asked: _Evidence, facts: tuple[int, int]
) -> list[str]:
    """Names in a sentence that stand neither in the context nor in the prompt; `facts` agree of those stated."""
    known = evidence.vocabulary | asked.vocabulary
    strange = []
    for name, opens in find_entities(sentence):
        parts = entity_words(name)
        if opens and parts and " " not in name and name[1:].islower():
            # A sentence's first word is capitalised anyway: it is a name only if all else is well supported.
            rest = [word for word in words if word != _stem(parts[0])]
            covered = (sum(word in known for word in rest) + facts[0]) / max(1, len(rest) + facts[1])
            if (
                parts[0] in _OPENERS
                or parts[0] in _STOP
                or covered < OPENING_COVER
                or parts[0].endswith(("ly", "ing", "ed"))
            ):
                continue
        elif opens and parts and (parts[0] in _OPENERS or parts[0] in _STOP):
            parts = parts[1:]
        if any(_stem(part) not in known for part in parts):
            strange.append(name)
    return strange


def _clauses(folded: str) -> list[str]:
    return [clause for clause in _CLAUSE.split(folded) if clause and clause.strip()]


def _subject(clause: str) -> frozenset[str]:
    """What a clause is about: its content words without numbers and words of direction."""
    moves = UP | DOWN
    return frozenset(
        _stem(token)
        for token in _tokens(clause)
        if token not in _STOP and token not in moves and token not in NUMBER_WORDS and not token[0].isdigit()
    )


def _tokens(folded: str) -> list[str]:
    return _TOKEN.findall(folded)


def _content(folded: str) -> list[str]:
    """Content words in order, stemmed; numbers are left to the typed checks, courtesies claim nothing."""
    return [
        _stem(t)
        for t in _tokens(_COURTESY.sub(" ", folded))
        if t not in _NO_CONTENT and t not in _STOP and not t[0].isdigit() and len(t) > 1
    ]


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    """Plural, possessive and regular verb endings off: two forms of one word become equal more often than not."""
    word = word.removesuffix("'s")
    for ending, keep in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            stem = word.removesuffix(ending) + keep
            return stem.removesuffix("e") if len(stem) > 3 else stem
    return word.removesuffix("e") if len(word) > 3 else word
