"""Where the words of a sentence come from: copied fragments, the jumps between them, and the sentence they are nearest.

Source: Grusky et al. (2018), Newsroom (greedy extractive fragments, coverage, density).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from liftos_pipelines.modules.llm.grounding.evidence import Evidence
from liftos_pipelines.modules.llm.grounding.parse import Document


@dataclass(frozen=True, slots=True)
class Fragment:
    """`size` tokens from `here` in the output that stand at `there` in the context."""

    here: int
    there: int
    size: int


def fragments(doc: Document, first: int, last: int, evidence: Evidence) -> list[Fragment]:
    """Longest copied runs of tokens, greedily from left to right; single function words are none.

    Of equally long ones the one that goes on where the last ended is taken.
    """
    stems, given, sentence_of = doc.stems, evidence.doc.stems, evidence.doc.sentence_of
    found: list[Fragment] = []
    expected, i, n = 0, first, len(given)
    while i < last:
        best = _longest(stems, i, last, evidence, given, n, expected)
        size, there = best
        if size < 2 and not doc.content[i] and not stems[i][0].isdigit():
            i += 1
            continue
        if size == 0:
            i += 1
            continue
        # A run over an end of sentence is two fragments: what follows may have another subject.
        end = there
        while end < there + size and sentence_of[end] == sentence_of[there]:
            end += 1
        size = end - there
        found.append(Fragment(i, there, size))
        expected = there + size
        i += size
    return found


def _longest(
    stems: Sequence[str], i: int, last: int, evidence: Evidence, given: Sequence[str], n: int, expected: int
) -> tuple[int, int]:
    best, place, distance = 0, 0, 0
    if i + 1 < last:
        for there in evidence.pair_places((stems[i], stems[i + 1])):
            size = 2
            while i + size < last and there + size < n and stems[i + size] == given[there + size]:
                size += 1
            away = abs(there - expected)
            if size > best or (size == best and away < distance):
                best, place, distance = size, there, away
    if not best:
        for there in evidence.places(stems[i]):
            away = abs(there - expected)
            if not best or away < distance:
                best, place, distance = 1, there, away
    return best, place


def nearest_sentences(stems: set[str], evidence: Evidence) -> list[tuple[float, int]]:
    """Sentences of the context by the share of the stems' weight that they hold, best first, at most three."""
    weights = evidence.weights
    total = 0.0
    held: dict[int, float] = defaultdict(float)
    sentence_of = evidence.doc.sentence_of
    for stem in stems:
        weight = weights.get(stem, 1.0)
        total += weight
        before = -1
        for place in evidence.places(stem):
            if sentence_of[place] != before:
                before = sentence_of[place]
                held[before] += weight
    if not total:
        return []
    ranked = sorted(((weight / total, -sentence) for sentence, weight in held.items()), reverse=True)[:3]
    return [(share, -sentence) for share, sentence in ranked]
