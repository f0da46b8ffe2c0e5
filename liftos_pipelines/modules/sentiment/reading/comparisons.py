"""Who is said to be better than whom: "Acme is worse than Globex" praises one name and blames the other.

Patterns in the eight languages covered, on folded text (`liftos_pipelines.text.fold`). A clause that negates its
comparison ("not better than") states none. A relation is a reading of the sentence, not a probability.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from liftos_pipelines.text import Hit

Relation = Literal["better", "worse"]

_NAME = "\ue000(\\d+)\ue001"
_NEAR, _CLOSE = r"[^.!?;\n\ue000]{0,40}?", r"[^.!?;,\n\ue000]{0,14}?"
_NEGATED = re.compile(
    r"\b(?:not|never|no|nicht|kein\w*|pas|non|nao|nunca|nahi|nahin)\b|n't\b|(?<!\w)(?:ليس|ليست|مش|مو)(?!\w)"
)

_BETTER = (
    r"better|nicer|cheaper|faster|friendlier|easier|superior|besser|schneller|gunstiger|freundlicher|schoner"
    r"|meilleure?s?|mieux|mejor(?:es)?|meglio|miglior\w*|melhor(?:es)?|behtar|افضل|احسن"
)
_WORSE = (
    r"worse|slower|pricier|ruder|inferior|more expensive|schlechter|schlimmer|langsamer|teurer|pires?|plus chere?s?"
    r"|peor(?:es)?|mas car[oa]s?|peggior\w*|peggio|pior(?:es)?|mais car[oa]s?|اسوا"
)
_THAN = r"(?:than|to|als|que|qu'|di|del|della|do que|da|che|من)"
_WRITTEN: tuple[tuple[str, Relation], ...] = (
    (rf"{_NAME}(?P<between>{_NEAR})(?<!\w)(?:{_BETTER})(?!\w){_CLOSE}(?<!\w){_THAN}\b{_CLOSE}{_NAME}", "better"),
    (rf"{_NAME}(?P<between>{_NEAR})(?<!\w)(?:{_WORSE})(?!\w){_CLOSE}(?<!\w){_THAN}\b{_CLOSE}{_NAME}", "worse"),
    # Romanised Hindi puts the name compared with first: "Acme Globex se better hai".
    (rf"{_NAME}(?P<between>{_CLOSE}){_NAME} se (?:\w+ )?(?:better|ac{{1,2}}h+[aie]+|behtar|badhiya)\b", "better"),
    (rf"{_NAME}(?P<between>{_CLOSE}){_NAME} se (?:\w+ )?(?:worse|bur[aie]|kharab|ghatiya|bekar)\b", "worse"),
    (
        r"\b(?P<between>)(?:prefer(?:red|s)?|prefere(?:s)?|prefier[oea]s?|preferisc[oe]|prefir[oa]|prefere)\b"
        rf"{_CLOSE}{_NAME}{_CLOSE}\b(?:to|over|than|a|au|que|rispetto)\b{_CLOSE}{_NAME}",
        "better",
    ),
    (rf"{_NAME}(?P<between>{_CLOSE})\blieber(?: \w+)? als\b{_CLOSE}{_NAME}", "better"),
    (
        rf"{_NAME}(?P<between>{_CLOSE})\b(?:beats?|outperforms?|outclasses|trumps|schlagt|ubertrifft|bat|surpasse"
        rf"|supera|batte|vence|ganha d[eoa])\b{_CLOSE}{_NAME}",
        "better",
    ),
    # Whoever changes from one to another says which one was left.
    (
        r"\b(?P<between>)(?:switch(?:ed|ing)?|mov(?:ed|ing)|chang(?:ed|ing)|went)"
        rf"{_CLOSE}\bfrom\b{_CLOSE}{_NAME}{_CLOSE}\bto\b{_CLOSE}{_NAME}",
        "worse",
    ),
    (
        rf"\bvon(?P<between>){_CLOSE}{_NAME}{_CLOSE}\bzu[rm]?\b{_CLOSE}{_NAME}(?={_NEAR}(?:wechsel|umgestiegen))",
        "worse",
    ),
    (
        r"\b(?P<between>)(?:passee? de|quitte|change de|cambi\w+ de|pas[eo] de|passat\w da|cambiat\w da"
        rf"|mudei d[eoa]|troquei (?:d?[eoa]))\b{_CLOSE}{_NAME}{_CLOSE}\b(?:a|pour|chez|al|para|por|pel[oa])\b"
        rf"{_CLOSE}{_NAME}",
        "worse",
    ),
)
_PATTERNS = tuple((re.compile(pattern), relation) for pattern, relation in _WRITTEN)


def comparisons(folded: str, hits: Sequence[Hit]) -> dict[str, Relation]:
    """What each compared name is said to be; names without a comparison are absent.

    Parameters
    ----------
    folded : a folded text
    hits : the names found in it, in reading order, with offsets into it

    A name that is compared both ways is left out.
    """
    if len({hit.name for hit in hits}) < 2:
        return {}
    parts, at = [], 0
    for number, hit in enumerate(hits):
        parts += [folded[at : hit.start], f"\ue000{number}\ue001"]
        at = hit.end
    marked = "".join([*parts, folded[at:]])
    said: dict[str, set[Relation]] = {}
    for pattern, relation in _PATTERNS:
        for match in pattern.finditer(marked):
            first, second = (hits[int(number)].name for number in match.groups() if number and number.isdigit())
            before = marked[max(0, match.start() - 12) : match.start()].rsplit("\ue001", 1)[-1]
            if first == second or _NEGATED.search(match["between"]) or _NEGATED.search(before):
                continue
            said.setdefault(first, set()).add(relation)
            said.setdefault(second, set()).add("worse" if relation == "better" else "better")
    return {name: relations.copy().pop() for name, relations in said.items() if len(relations) == 1}
