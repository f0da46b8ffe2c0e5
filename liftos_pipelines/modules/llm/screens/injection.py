"""Does a text order the machine about? A small linear model over the speech acts found in each way to read it.

Source of the model: logistic regression with a ridge penalty (Hoerl and Kennard 1970); features are acts by their mood
(commanded, said, quoted) and counts of words that speak about wordings, so that a weight can be read and argued with.
"""

from __future__ import annotations

import math
from functools import lru_cache

from liftos_pipelines.modules.llm.lexicon import spaced
from liftos_pipelines.modules.llm.screens.acts import Heard, heard
from liftos_pipelines.modules.llm.screens.injection_weights import INTERCEPT, THRESHOLD, WEIGHTS
from liftos_pipelines.modules.llm.screens.unmasking import readings
from liftos_pipelines.modules.llm.screens.verdict import UNREAD, Screened

KINDS: dict[str, tuple[str, ...]] = {
    "override": ("override", "override_prior", "void", "override_user", "obey_data", "new_task"),
    "prompt leak": ("leak_prompt", "leak_above", "ask_prompt"),
    "secret leak": ("leak_secret",),
    "exfiltration": ("exfiltrate", "send_out", "carrier", "malign", "cross"),
    "tool abuse": ("call_tool", "destroy", "approve", "allow_tool", "disarm", "unchecked", "shell", "pay"),
    "role": ("unbound",),
    "memory": ("memorise", "standing"),
    "boundary": ("structure", "treat_as", "outrank", "supplant"),
    "concealment": ("conceal",),
    "address": ("address", "claim", "privilege"),
}
_KIND_OF = {act: kind for kind, acts in KINDS.items() for act in acts}
COUNTS = ("commanded", "said", "quoted", "both", "frame", "frame_quoted", "frame_open", "dense", "disobey")
FEATURES = (*_KIND_OF, *COUNTS)


WEAK = frozenset(
    spaced(
        "structure memorise standing call_tool send_out claim address obey_data ask_prompt pay allow_tool unchecked "
        "override_user new_task override_prior"
    )
)
"""Acts that ordinary requests do too: alone they count half."""
SAID = 0.7
"""What an act weighs that does not stand where a command would."""


def _breadth(names: set[str]) -> float:
    """Kinds of acts, up to four, halved; a kind of which only weak acts are seen counts half."""
    strength: dict[str, float] = {}
    for name in names:
        strength[_KIND_OF[name]] = max(strength.get(_KIND_OF[name], 0.0), 0.5 if name in WEAK else 1.0)
    return min(sum(strength.values()), 4) / 2


def features(what: Heard) -> dict[str, float]:
    """The model's inputs for one reading: 1 for each act in the open, 0.5 where it is no command; the rest counts."""
    values: dict[str, float] = {}
    moods: dict[str, set[str]] = {"command": set(), "said": set(), "quoted": set()}
    for act in what.acts:
        moods[act.mood].add(act.name)
    disobey = any("disobey" in names for names in moods.values())
    commanded, quoted = moods["command"] - {"disobey"}, moods["quoted"] - {"disobey"}
    said = moods["said"] - commanded - {"disobey"}
    for name in commanded:
        values[name] = 1.0
    for name in said:
        values[name] = SAID
    frame = min(what.frame, 4) / 4
    open_kinds = {_KIND_OF[name] for name in commanded | said}
    values |= {
        "commanded": _breadth(commanded),
        "said": _breadth(said),
        "quoted": float(bool(quoted)),
        "both": float(len(open_kinds) > 1),
        "frame": frame,
        "frame_quoted": frame * bool(quoted),
        "frame_open": frame * bool(open_kinds),
        "dense": max(0, min(what.dense, 6) - 1) / 3,
        "disobey": float(disobey),
    }
    return values


def injection(text: str | None) -> Screened:
    """Whether a text tries to direct the model or agent that reads it, by the reading that most does.

    None where there is no text. Languages beyond English are read by their commonest words only.
    """
    if not text or not text.strip():
        return UNREAD
    best = (-math.inf, Heard(acts=(), frame=0, dense=0))
    for reading in readings(text):
        what = heard(reading.text)
        score = INTERCEPT + sum(WEIGHTS.get(name, 0.0) * value for name, value in features(what).items())
        best = max(best, (score, what), key=lambda pair: pair[0])
    probability = 1 / (1 + math.exp(-best[0]))
    flagged = probability >= THRESHOLD
    if not flagged:
        return Screened(flagged=False, probability=probability)
    ranked = sorted(
        (act for act in best[1].acts if act.mood != "quoted" and act.name in _KIND_OF),
        key=lambda act: -WEIGHTS.get(act.name, 0.0) * (1.0 if act.mood == "command" else SAID),
    )
    spans = tuple(dict.fromkeys(act.text for act in ranked))
    return Screened(
        flagged=True, probability=probability, spans=spans, kind=_KIND_OF[ranked[0].name] if ranked else "mixed"
    )


@lru_cache(maxsize=1)
def keyword_patterns() -> tuple[str, ...]:
    """The phrases of the baseline: a list that any simple filter would have."""
    return (
        "ignore previous instructions", "ignore all previous instructions", "disregard", "system prompt", "jailbreak",
        "developer mode", "you are now", "do anything now", "reveal your", "override", "bypass",
    )  # fmt: skip


def by_keywords(text: str) -> bool:
    """The baseline: any listed phrase in the text as it stands."""
    folded = text.lower()
    return any(phrase in folded for phrase in keyword_patterns())
