"""Names and codes in a text, and whether the context knows them."""

from __future__ import annotations

from liftos_pipelines.modules.llm.grounding.claims.dates import MONTHS, WEEKDAYS
from liftos_pipelines.modules.llm.grounding.claims.numbers import NUMBER_WORDS, UNIT_WORDS
from liftos_pipelines.modules.llm.grounding.evidence import Evidence
from liftos_pipelines.modules.llm.grounding.parse import Document, Named
from liftos_pipelines.modules.llm.grounding.words import STOP
from liftos_pipelines.modules.llm.lexicon import spaced

OPENING_COVER = 0.7
"""Share of the rest of a sentence the context must cover before its unknown first word is taken for a name."""
_GENERIC = frozenset(
    spaced(
        "corp inc ltd gmbh co company group the a an and of i week day month year q1 q2 q3 q4 mr mrs ms dr st sir "
        "lord lady president minister professor captain"
    )
)
NOT_NAMES = frozenset(MONTHS) | WEEKDAYS | _GENERIC | frozenset(NUMBER_WORDS) | UNIT_WORDS
OPENERS = frozenset(
    spaced(
        "however therefore moreover overall additionally furthermore meanwhile finally first second third "
        "next then thus because although while since after before during according based given yes no please "
        "note here sure certainly unfortunately hello hi dear thanks thank sorry regards best summary answer "
        "today yesterday tomorrow currently recently approximately roughly nearly almost about around "
        "compared combined together total in on at by for from with as to of if when where why how what who "
        "which there their its our your my his her these those this that they we you he she it i one two "
        "three several many most some all both each every another other nothing something spend spending "
        "sales revenue customers campaign campaigns results performance reports "
        "report create use employ build make keep get receive help add set check consider choose include ensure "
        "reduce try take give find"
    )
)
_DEMONYMS = {
    "french": "france", "dutch": "netherlands", "spanish": "spain", "welsh": "wales", "swiss": "switzerland",
    "danish": "denmark", "greek": "greece", "british": "britain", "american": "us", "english": "england",
    "scottish": "scotland", "irish": "ireland", "polish": "poland", "turkish": "turkey", "finnish": "finland",
    "swedish": "sweden", "norwegian": "norway", "thai": "thailand", "uk": "britain", "usa": "us", "u.s.": "us",
    "u.k.": "uk",
}  # fmt: skip
_PEOPLE = ("an", "ans", "ese", "ish", "ia", "y", "al")
"""Endings of peoples and countries: German, Germany."""
_DEMONYMS |= {base: form for form, base in _DEMONYMS.items()}


def telling_words(doc: Document, name: Named) -> list[int]:
    """Tokens of a name that tell it from others."""
    return [
        i
        for i in range(name.first, name.last)
        if doc.words[i] not in NOT_NAMES and not doc.words[i].isdigit() and len(doc.words[i]) > 1
    ]


def names_of(doc: Document, sentence: int, covered: float) -> list[tuple[Named, list[int]]]:
    """The names of a sentence with their telling tokens.

    A sentence's first word is capitalised anyway: it is a name only where it cannot be an ordinary word and all else
    is well supported (`covered`: share of the other content words that the context has).
    """
    found = []
    for name in doc.names[sentence]:
        parts = telling_words(doc, name)
        if name.opens and parts:
            word = doc.words[parts[0]]
            raw = doc.written(parts[0], parts[0] + 1)
            if len(parts) == 1 and raw[1:].islower():
                ordinary = word in OPENERS or word in STOP or word.endswith(("ly", "ing", "ed"))
                if ordinary or covered < OPENING_COVER:
                    continue
            elif word in OPENERS or word in STOP:
                parts = parts[1:]
        parts = [i for i in parts if doc.words[i] not in STOP]
        if parts:
            found.append((name, parts))
    return found


def known_word(word: str, stem: str, evidence: Evidence, asked: Evidence | None) -> bool:
    """Whether a word of a name stands in the context or prompt: itself, as acronym, or as people of a country."""
    for source in (evidence, asked):
        if source is None:
            continue
        if source.knows(stem) or word.replace(".", "").removesuffix("'s") in source.acronyms:
            return True
        other = _DEMONYMS.get(word)
        if other is not None and source.knows(other.removesuffix("e")):
            return True
        if len(word) > 5 and word.endswith(_PEOPLE) and stem[:5] in source.prefixes:
            return True
    return "-" in word and all(evidence.knows(source_known) for source_known in word.split("-"))
