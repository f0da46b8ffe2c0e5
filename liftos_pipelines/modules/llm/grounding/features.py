"""From a parsed output and its context to a few interpretable features, a sentence at a time and for the whole.

Every feature is larger where support is weaker, so each weight of the calibration has a sign that is known.

Sources: Lin (2004), ROUGE; Grusky et al. (2018), Newsroom; Laban et al. (2022), SummaC (worst and mean sentence).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from operator import mul

from liftos_pipelines.modules.llm.grounding.align import fragments, nearest_sentences
from liftos_pipelines.modules.llm.grounding.check import (
    Sentence,
    check_directions,
    check_names,
    check_numbers,
    check_polarity,
    check_swaps,
    span,
)
from liftos_pipelines.modules.llm.grounding.evidence import Evidence
from liftos_pipelines.modules.llm.grounding.kinds import TELLING, kinds_of
from liftos_pipelines.modules.llm.grounding.parse import Document, Named
from liftos_pipelines.modules.llm.grounding.spans import Span
from liftos_pipelines.modules.llm.grounding.stance import DENIED, OPEN, SWEEPING, changed_stances, stances

FACT_WEIGHT = 2
"""Words that a checked number or date counts for: it is the part of a sentence that can be wrong."""
NEARBY = 5
"""Tokens on each side of a name or number that say what is said of it."""

WORST_OF = 1.5
"""The worst sentence counts half in up to three sentences, and ever less in more."""
_CLAUSE_STARTS = frozenset(("and", "but", "while", "he", "she", "it", "they", "who", "which", "that", "i", "we", "as"))
_CUTS = frozenset((", ", "; ", ": "))
_CUT_WORDS = frozenset(("and", "but", "while", "whereas", "und", "aber"))
OPENING_NEW = 0.5
"""Share of new word pairs up to which the first word of a sentence may be a name for its capital alone."""
REWRITTEN = 0.6
"""Share of new word pairs from which an output is written in words of its own."""


@dataclass(frozen=True, slots=True)
class SentenceFeatures:
    """One sentence against the context. Shares in [0, 1]; counts are counts. `length` in content words."""

    number: int
    length: int
    tokens: int
    support: float
    unknown_words: float
    new_pairs: float
    new_fours: float
    scattered: float
    broken: float
    jumps: int
    grafts: int
    loose_names: float
    loose_numbers: float
    names: int
    changed: int
    opened: int
    sweeping: int
    kinds: int
    strange: tuple[Span, ...] = ()
    numeric: tuple[Span, ...] = ()
    directions: tuple[Span, ...] = ()
    swaps: tuple[Span, ...] = ()
    polarity: tuple[Span, ...] = ()
    roles: tuple[Span, ...] = ()

    @property
    def conflicts(self) -> tuple[Span, ...]:
        """Everything that is said against the context, or that the context lacks."""
        return (*self.strange, *self.numeric, *self.directions, *self.swaps, *self.polarity, *self.roles)


def sentence_features(
    doc: Document, number: int, evidence: Evidence, asked: Evidence | None
) -> SentenceFeatures | None:
    """Features of one sentence; None where it has no content word, number or date."""
    first, last = doc.sentences[number]
    content = [i for i in range(first, last) if doc.content[i]]
    facts = len(doc.numbers[number]) + len(doc.days[number])
    if not content and not facts:
        return None
    stems = doc.stems
    distinct = {stems[i] for i in content}
    copied = fragments(doc, first, last, evidence)
    nearest = nearest_sentences(distinct, evidence)
    sentence = Sentence(doc, number, first, last, copied, nearest)
    verified, numeric = check_numbers(sentence, evidence, asked)
    total = unknown = 0.0
    for i in content:
        weight = evidence.weights.get(stems[i])
        total += weight or 1.0
        if weight is None and not evidence.knows(stems[i]):
            unknown += 0.5 if evidence.resembles(stems[i]) else 1.0
    covered = _covered(doc, number, content, evidence, asked, verified, len(numeric))
    new_pairs = _novel(map(hash, itertools.pairwise(stems[first:last])), evidence.first_pair)
    known, strange = ([], []) if doc.german else check_names(sentence, evidence, asked, covered)
    # "Subject: ..." names what follows.
    strange = [name for name in strange if doc.text[name.end : name.end + 1] != ":"]
    if new_pairs > OPENING_NEW:
        # In a sentence of new words an unknown first word is likely one more of them, not a name.
        word = doc.starts[first], doc.ends[first]
        strange = [name for name in strange if (name.start, name.end) != word or not name.text[1:].islower()]
    support = _support(stems, content, distinct, evidence, nearest, verified, len(numeric))
    jumps, grafts = _jumps(sentence, evidence)
    changed, opened = _changed(sentence, content, distinct, evidence)
    return SentenceFeatures(
        number=number,
        length=len(content),
        tokens=last - first,
        support=support,
        unknown_words=unknown / total if total else 0.0,
        new_pairs=new_pairs,
        new_fours=_novel(
            map(hash, zip(*(stems[first + shift : last] for shift in range(4)), strict=False)), evidence.fours
        ),
        scattered=1 - nearest[0][0] if nearest else 1.0,
        broken=1 - math.sqrt(sum(f.size**2 for f in copied)) / (last - first),
        jumps=jumps,
        grafts=grafts,
        loose_names=_loose(doc, first, last, [part for _, parts in known for part in parts[-1:]], evidence),
        loose_numbers=_loose_numbers(doc, number, first, last, evidence),
        names=len(known) + len(strange),
        changed=changed,
        opened=opened,
        sweeping=_sweeping(doc, first, last, nearest, evidence),
        kinds=_strange_kinds(doc, content, last, evidence, asked),
        strange=tuple(strange),
        numeric=tuple(numeric),
        directions=tuple(check_directions(sentence, evidence)),
        swaps=tuple(check_swaps(sentence, evidence)),
        polarity=tuple(check_polarity(sentence, evidence)),
        roles=tuple(_role_swaps(doc, known, nearest, evidence)),
    )


def _novel(sequences: Iterable[int], known: Container[int]) -> float:
    """Share of word sequences that the context has nowhere; 0 where there are none."""
    missing = [sequence not in known for sequence in sequences]
    return sum(missing) / len(missing) if missing else 0.0


def _covered(
    doc: Document,
    number: int,
    content: list[int],
    evidence: Evidence,
    asked: Evidence | None,
    verified: int,
    wrong: int,
) -> float:
    """Share of what the sentence says besides its first word that context or prompt have."""
    first = doc.sentences[number][0]
    rest = [i for i in content if i != first]
    known = sum(evidence.knows(doc.stems[i]) or (asked is not None and asked.knows(doc.stems[i])) for i in rest)
    return (known + FACT_WEIGHT * verified) / max(1, len(rest) + FACT_WEIGHT * (verified + wrong))


def _support(
    stems: Sequence[str],
    content: list[int],
    distinct: set[str],
    evidence: Evidence,
    nearest: list[tuple[float, int]],
    verified: int,
    wrong: int,
) -> float:
    """Mean of three containments: words anywhere, neighbouring words, and the best two-sentence passage.

    A number or date that agrees with the context counts as `FACT_WEIGHT` words found, one that does not as missed.
    """
    facts, stated = FACT_WEIGHT * verified, FACT_WEIGHT * (verified + wrong)
    single = (sum(evidence.knows(stems[i]) for i in content) + facts) / max(1, len(content) + stated)
    passages = evidence.passages
    overlap = 0
    for _, place in nearest:
        for low in (place - 1, place):
            both = [*passages[max(0, low) : low + 2]]
            overlap = max(overlap, len(distinct & frozenset().union(*both)))
    best = (overlap + facts) / max(1, len(distinct) + stated)
    following = list(itertools.pairwise(content))
    adjacent = (
        sum(hash((stems[i], stems[j])) in evidence.first_pair for i, j in following) / len(following)
        if following
        else 0.0
    )
    # Reordering a fact breaks its word pairs but not its support, so pairs can only help a well-covered sentence.
    return (single + max(adjacent, best) + best) / 3


def _jumps(sentence: Sentence, evidence: Evidence) -> tuple[int, int]:
    """How often the sentence goes on elsewhere in the context, and how often without that place's subject.

    Two facts may be joined; what is said of one thing may not be put to another. A jump into the middle of a context
    sentence whose beginning, up to there, shares no word with the output's sentence leaves its subject behind.
    """
    doc, given = sentence.doc, evidence.doc
    sentence_of = given.sentence_of
    ours = set(doc.stems[sentence.first : sentence.last])
    runs = [f for f in sentence.fragments if f.size >= 3 or (f.size == 2 and all(doc.content[f.here : f.here + 2]))]
    jumps = grafts = 0
    for before, after in itertools.pairwise(runs):
        other = sentence_of[before.there] != sentence_of[after.there]
        if not other and after.there > before.there:
            continue
        jumps += 1
        start = given.sentences[sentence_of[after.there]][0]
        lead = [given.stems[i] for i in range(start, after.there) if given.content[i]]
        gap = after.here - before.here - before.size
        if (
            other
            and gap <= 2
            and lead
            and ours.isdisjoint(lead)
            and not _is_subject(doc, after.here - 1, sentence.first)
        ):
            grafts += 1
    return jumps, grafts


def _changed(sentence: Sentence, content: list[int], distinct: set[str], evidence: Evidence) -> tuple[int, int]:
    """How many verbs are denied only on one side, and how many are stated here but left open in the context."""
    doc, given = sentence.doc, evidence.doc
    if doc.german:
        return 0, 0
    mine = stances(doc.words, doc.breaks(sentence.first, sentence.last), sentence.first, sentence.last)
    shared: dict[int, int] = {}

    def about(place: int) -> int:
        number = given.sentence_of[place]
        if number not in shared:
            shared[number] = len(distinct & evidence.passages[number])
        return shared[number]

    def places(token: int) -> list[int]:
        found = list(evidence.places(doc.stems[token]))
        most = max(map(about, found))
        return [place for place in found if about(place) == most] if most > 1 else []

    tokens = [
        i
        for i in content
        if evidence.knows(doc.stems[i])
        and (i in mine or any(place in evidence.stance for place in evidence.places(doc.stems[i])))
    ]
    kinds = [kind for _, kind in changed_stances(doc.words, tokens, sentence.first, mine, evidence.stance, places)]
    return kinds.count(DENIED), kinds.count(OPEN)


def _sweeping(doc: Document, first: int, last: int, nearest: list[tuple[float, int]], evidence: Evidence) -> int:
    """Words that claim much (all, never, largest) and that the two nearest sentences lack."""
    swept = [i for i in range(first, last) if doc.stems[i] in SWEEPING]
    if not swept:
        return 0
    near: set[str] = set()
    for _, number in nearest[:2]:
        low, high = evidence.doc.sentences[number]
        near.update(evidence.doc.stems[low:high])
    return sum(doc.stems[i] not in near for i in swept)


def _strange_kinds(doc: Document, content: list[int], last: int, evidence: Evidence, asked: Evidence | None) -> int:
    """Events and roles of which neither context nor prompt has the kind."""
    return sum(
        doc.words[i] in TELLING
        and not evidence.resembles(doc.stems[i])
        and evidence.kinds.isdisjoint(kinds := kinds_of(doc.stems, i, last))
        and (asked is None or asked.kinds.isdisjoint(kinds))
        for i in content
    )


def _is_subject(doc: Document, token: int, first: int) -> bool:
    """Whether a new clause begins before the next token: after a joining word, a pronoun or a mark."""
    return token >= first and doc.words[token] in _CLAUSE_STARTS


def _around(doc: Document, token: int, first: int, last: int) -> range:
    """Tokens near one within its clause: what another clause says is said of something else."""
    low = high = token
    while low > first and token - low < NEARBY and doc.text[doc.ends[low - 1] : doc.starts[low]] not in _CUTS:
        if doc.words[low - 1] in _CUT_WORDS:
            break
        low -= 1
    while high + 1 < last and high - token < NEARBY and doc.text[doc.ends[high] : doc.starts[high + 1]] not in _CUTS:
        if doc.words[high + 1] in _CUT_WORDS:
            break
        high += 1
    return range(low, high + 1)


def _loose(doc: Document, first: int, last: int, parts: list[int], evidence: Evidence) -> float:
    """Largest share of what stands beside a name that the context never says near that name."""
    worst = 0.0
    for part in parts:
        stem = doc.stems[part]
        if not evidence.knows(stem):
            continue
        near = {
            doc.stems[i]
            for i in _around(doc, part, first, last)
            if doc.content[i] and i != part and evidence.knows(doc.stems[i])
        }
        total = sum(evidence.weight(word) for word in near)
        if total:
            said = evidence.words_near(stem)
            worst = max(worst, sum(evidence.weight(word) for word in near if word not in said) / total)
    return worst


def _loose_numbers(doc: Document, number: int, first: int, last: int, evidence: Evidence) -> float:
    """Largest share of what stands beside a number that the context does not say in a sentence with that number."""
    worst = 0.0
    for claim in doc.numbers[number]:
        if claim.spelled and claim.value == 1:
            continue
        near = {
            doc.stems[i]
            for i in _around(doc, claim.token, first, last)
            if doc.content[i] and evidence.knows(doc.stems[i])
        }
        places = evidence.value_in.get(claim.value, ())
        total = sum(evidence.weight(word) for word in near)
        if total and places:
            fit = max(
                sum(evidence.weight(word) for word in near & evidence.passages[place]) / total for place in places
            )
            worst = max(worst, 1 - fit)
    return worst


def _role_swaps(
    doc: Document, known: list[tuple[Named, list[int]]], nearest: list[tuple[float, int]], evidence: Evidence
) -> list[Span]:
    """Neighbouring names that the nearest sentence has in the other order only (who did it to whom)."""
    if len(known) < 2 or not nearest:
        return []
    first, last = evidence.doc.sentences[nearest[0][1]]
    stems = evidence.doc.stems
    found = []
    for (left, left_parts), (right, right_parts) in itertools.pairwise(known):
        between = doc.words[left.last : right.first]
        if not 0 < len(between) <= 8 or "and" in between or all(word not in doc.words for word in between):
            continue
        places = [
            [i for i in range(first, last) if stems[i] == doc.stems[parts[-1]]] for parts in (left_parts, right_parts)
        ]
        if places[0] and places[1] and min(places[0]) > max(places[1]):
            passive_here = "by" in between
            passive_there = "by" in evidence.doc.words[max(places[1]) : min(places[0])]
            gap = max(places[1]), min(places[0])
            if (
                passive_here == passive_there
                and gap[1] - gap[0] <= 10
                and "and" not in evidence.doc.words[gap[0] : gap[1]]
            ):
                reason = "the context has them the other way round"
                found.append(span(doc, left.first, right.last, "roles", reason))
    return found


@dataclass(frozen=True, slots=True)
class OutputFeatures:
    """A whole output: its sentences, and the features that the calibration reads."""

    sentences: tuple[SentenceFeatures, ...]
    rewriting: float
    """Share of neighbouring words that the context has nowhere: 0 copied, 1 wholly in other words."""
    values: dict[str, float] = field(default_factory=dict)


def output_features(doc: Document, evidence: Evidence, asked: Evidence | None) -> OutputFeatures | None:
    """All features of an output; None where nothing in it can be checked."""
    each = tuple(
        found
        for number in range(len(doc.sentences))
        if (found := sentence_features(doc, number, evidence, asked)) is not None
    )
    if not each:
        return None
    sizes = [s.tokens for s in each]
    total = sum(sizes)
    worst_counts = min(0.5, WORST_OF / len(each))

    def level(column: Sequence[float]) -> float:
        """Between the mean and the worst sentence: one wrong sentence makes an output wrong, but the worst of many
        is bad by chance."""
        average = sum(map(mul, column, sizes)) / total
        return average + (max(column) - average) * worst_counts

    def share(name: str, most: float) -> float:
        """A number of conflicts, a few of which are as bad as many."""
        return min(1.0, sum(len(getattr(s, name)) for s in each) / max(most, len(each) / WORST_OF / 2))

    def count(column: Sequence[int]) -> float:
        """The same for what is counted only: two in a short output, or in every third sentence, are the most."""
        return min(1.0, sum(column) / max(2.0, len(each) / WORST_OF / 2))

    new_pairs = [s.new_pairs for s in each]
    rewriting = sum(map(mul, new_pairs, sizes)) / total
    # What stands beside what can only be compared where the output is near the context's wording.
    near = 1 - 0.85 * min(1.0, rewriting / REWRITTEN)
    told = 1 - evidence.listed
    near *= told
    values = {
        "unknown_words": level([s.unknown_words for s in each]),
        "inserted_words": near * level([s.unknown_words for s in each]),
        "new_pairs": told * level(new_pairs),
        "new_fours": told * level([s.new_fours for s in each]),
        "scattered": told * level([s.scattered for s in each]),
        "broken": told * level([s.broken for s in each]),
        "jumps": near * min(1.0, sum(s.jumps for s in each) / (2 * len(each))),
        "grafts": near * min(1.0, sum(s.grafts for s in each) / max(1.0, len(each) / WORST_OF / 2)),
        "loose_names": near * level([s.loose_names for s in each]),
        "loose_numbers": near * level([s.loose_numbers for s in each]),
        "strange_names": share("strange", 1.5),
        "wrong_numbers": share("numeric", 1),
        "directions": share("directions", 1),
        "swaps": near * share("swaps", 1),
        "polarity": share("polarity", 1),
        "strange_kinds": count([s.kinds for s in each]),
        "denied": count([s.changed for s in each]),
        "opened": count([s.opened for s in each]),
        "sweeping": count([s.sweeping for s in each]),
        "roles": near * float(any(s.roles for s in each)),
    }
    return OutputFeatures(sentences=each, rewriting=rewriting, values=values)
