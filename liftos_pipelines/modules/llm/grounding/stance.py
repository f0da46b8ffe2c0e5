"""How a text stands to what it says: denied, left open (planned, possible, claimed by somebody) or stated as a fact.

A summary may leave the words of a reservation out only together with what was reserved. English only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from liftos_pipelines.modules.llm.grounding.words import IRREGULAR, NEGATIONS, stem
from liftos_pipelines.modules.llm.lexicon import spaced

DENIED, OPEN = 1, 2
_REACH = {DENIED: 6, OPEN: 7}
"""Tokens after such a word that it bears on, within its clause."""
_REACH_TO = 2
_DENY = NEGATIONS | frozenset(
    spaced(
        "nobody nothing nowhere hardly barely reject rejects rejected refuse refuses refused deny denies denied "
        "decline declined declines fail fails failed failing unable unlikely excluded ruled lack lacks lacked "
        "avoid avoided prevent prevented unclear undecided"
    )
)
_OPEN = frozenset(
    spaced(
        "may might could would should will shall if whether unless plan plans planned planning expect expects "
        "expected likely consider considers considering considered hope hopes hoped want wants wanted intend intends "
        "intended offer offers offered promise promised promises propose proposed proposes threaten threatened seek "
        "seeks sought aim aims due allege alleges alleged allegedly accuse accused accuses suspect suspects suspected "
        "believe believes believed claim claims claimed reportedly apparently possibly probably perhaps seem seems "
        "seemed appear appears appeared argue argues argued suggest suggests suggested think thinks thought demand "
        "demands demanded ask asked urge urged must try tries tried until meant potentially potential possible fear "
        "fears feared estimate estimated"
    )
)
_NEW_CLAUSE = frozenset(("but", "while", "although", "though", "whereas", "and", "because", "who", "which", "whose"))
_NOTHING = frozenset(("no", "nothing", "nobody", "none", "neither"))
"""Deny the verb before them as well."""
_BEFORE_VERBS = frozenset(
    spaced(
        "be been being is are was were has have had will would can could may might must should to did does do not get "
        "gets got"
    )
)
SWEEPING = frozenset(
    stem(word)
    for word in spaced(
        "all every everyone everybody always never none entire entirely whole unanimous unanimously completely fully "
        "anyone biggest largest best worst highest lowest confirmed shown definitely certainly"
    )
)
"""Words that claim more than most sentences do."""


def stances(words: Sequence[str], breaks: Iterable[int], first: int, last: int) -> dict[int, int]:
    """`DENIED` and `OPEN`, added up, of the tokens of a sentence that are either; what is missing is stated.

    `breaks` are tokens before which a clause ends.
    """
    starts = set(breaks)
    found: dict[int, int] = {}
    denied = opened = -1
    for i in range(first, last):
        word = words[i]
        if word in _NEW_CLAUSE or i in starts:
            denied = opened = -1
        if i <= denied or i <= opened:
            found[i] = (DENIED if i <= denied else 0) | (OPEN if i <= opened else 0)
        if word in _OPEN:
            opened = i + _REACH[OPEN]
        elif word == "to":
            opened = max(opened, i + _REACH_TO)
        elif word in _DENY or word.endswith("n't"):
            denied = i + _REACH[DENIED]
            if word in _NOTHING and i > first:
                found[i - 1] = found.get(i - 1, 0) | DENIED
    return found


def is_verb(words: Sequence[str], token: int, first: int) -> bool:
    """Whether a word is likely said of something: by its ending, its form, or an auxiliary shortly before it."""
    word = words[token]
    return (
        word.endswith(("ed", "ing", "en"))
        or word in IRREGULAR
        or not _BEFORE_VERBS.isdisjoint(words[max(first, token - 2) : token])
    )


def changed_stances(
    words: Sequence[str],
    tokens: Iterable[int],
    first: int,
    mine: Mapping[int, int],
    theirs: Mapping[int, int],
    places: Callable[[int], Sequence[int]],
) -> Iterator[tuple[int, int]]:
    """Verbs of a sentence that the context denies or leaves open where the sentence does not, and the reverse.

    Yields token and `DENIED` or `OPEN`. `places` are the tokens of the context at which the word stands in the
    sentences about the same thing; only where they all differ from the output is something changed.
    """
    for token in tokens:
        here = mine.get(token, 0)
        if not is_verb(words, token, first):
            continue
        there = [theirs.get(place, 0) for place in places(token)]
        if not there:
            continue
        if all((given ^ here) & DENIED for given in there):
            yield token, DENIED
        elif not here and all(given & OPEN for given in there):
            yield token, OPEN
