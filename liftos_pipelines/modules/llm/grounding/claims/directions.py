"""Rose or fell, and other words that say the opposite of one another."""

from __future__ import annotations

from collections.abc import Sequence

from liftos_pipelines.modules.llm.grounding.words import stem
from liftos_pipelines.modules.llm.lexicon import spaced

UP = frozenset(
    spaced(
        "rose rise rises risen rising increase increased increases increasing grew grow grows grown growing "
        "growth up climbed climb climbs gained gain gains improved improve improves improving higher jumped "
        "surged soared stieg stiegen gestiegen erhoht wuchs"
    )
)
DOWN = frozenset(
    spaced(
        "fell fall falls fallen falling decrease decreased decreases decreasing shrank shrink shrinks decline "
        "declined declines declining down dropped drop drops lost loss lower worsened worsen slipped slumped "
        "reduced plunged sank sanken gesunken fiel fielen gefallen"
    )
)
_OPPOSITES = (
    "win/lose victory/defeat buy/sell accept/reject,refuse approve/reject support/oppose allow/ban,forbid,prevent "
    "before/after first/last more/less,fewer most/least best/worst better/worse high/low higher/lower "
    "larger/smaller big/small old/young older/younger early/late earlier/later open/close arrive/leave,depart "
    "north/south east/west northern/southern eastern/western male/female man/woman boy/girl father/mother "
    "son/daughter brother/sister husband/wife above/below inside/outside left/right hot/cold strong/weak "
    "guilty/innocent alive/dead legal/illegal success/failure succeed/fail pass/fail confirm/deny admit/deny "
    "agree/disagree begin/end start/end,finish,stop join/leave include/exclude always/never public/private "
    "increase/decrease,reduce rise/fall grow/shrink gain/lose improve/worsen up/down maximum/minimum "
    "majority/minority positive/negative safe/dangerous cheap/expensive fast/slow hire/fire love/hate "
    "import/export borrow/lend teacher/student parent/child home/away day/night morning/evening "
    "possible/impossible likely/unlikely able/unable happy/unhappy common/rare easy/difficult,hard"
)
OPPOSITES: dict[str, frozenset[str]] = {}
for _pair in spaced(_OPPOSITES):
    _left, _right = _pair.split("/")
    for _a, _bs in [(_left, _right.split(",")), *((b, [_left]) for b in _right.split(","))]:
        OPPOSITES[stem(_a)] = OPPOSITES.get(stem(_a), frozenset()) | {stem(b) for b in _bs}


def directions(tokens: Sequence[str]) -> set[str]:
    """`up` and/or `down`, as far as the words say so."""
    return {name for name, words in (("up", UP), ("down", DOWN)) if not words.isdisjoint(tokens)}
