"""Words as the checks compare them: folded without changing offsets, stemmed lightly, told from function words."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from liftos_pipelines.modules.llm.lexicon import spaced

STOP = frozenset(
    spaced(
        "a an the and or but if then of to in on at by for from with without as is are was were be been being "
        "it its this that these those there here he she they we you i his her him them us me our their your my not "
        "no yes do does did done has have had having will would can could should may might must about into over "
        "under between during per than so such also which who whom whose what when where how why all any both each "
        "more most other some only own same too very just up down out off again because while although since until "
        "through after before against s t der die das und ist ein eine zu mit von den im auf fur le la les et un une "
        "des du de en el los las y que"
    )
)
NEGATIONS = frozenset(
    spaced(
        "not no never none neither nor without cannot can't won't don't doesn't didn't isn't aren't wasn't weren't "
        "hasn't haven't hadn't wouldn't couldn't shouldn't n't nicht kein keine keinen nie"
    )
)
PRONOUNS = {"he": "m", "him": "m", "his": "m", "himself": "m", "she": "f", "her": "f", "hers": "f", "herself": "f"}
GERMAN = frozenset(spaced("der die das und ist nicht ein eine mit auf fur"))
IRREGULAR = {
    form: base
    for line in (
        "say said", "go went gone", "make made", "take took taken", "get got gotten", "give gave given", "win won",
        "find found", "tell told", "become became", "leave left", "keep kept", "begin began begun", "buy bought",
        "sell sold", "pay paid", "meet met", "lead led", "lose lost", "hold held", "bring brought", "think thought",
        "know knew known", "see saw seen", "come came", "run ran", "write wrote written", "speak spoke spoken",
        "break broke broken", "choose chose chosen", "drive drove driven", "fall fell fallen", "rise rose risen",
        "grow grew grown", "show shown", "send sent", "spend spent", "build built", "feel felt", "hear heard",
        "stand stood", "catch caught", "teach taught", "fight fought", "seek sought", "strike struck", "shoot shot",
        "steal stole stolen", "throw threw thrown", "wear wore worn", "fly flew flown", "draw drew drawn", "die dead",
        "man men", "woman women", "child children", "person people", "foot feet", "life lives", "wife wives",
    )
    for base, *forms in [line.split()]
    for form in forms
}  # fmt: skip


class _OneToOne(dict[int, str]):
    """Folds a character to exactly one character, so that offsets into folded and written text are the same."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = unicodedata.normalize("NFKD", character)
        base = plain[0] if plain and all(unicodedata.combining(mark) for mark in plain[1:]) else character
        folded = base.casefold() if len(base.casefold()) == 1 else base.lower() if len(base.lower()) == 1 else base
        self[code] = folded
        return folded


_FOLDS = _OneToOne({ord("\u2019"): "'", ord("\u2018"): "'", ord("\u00a0"): " ", ord("\u202f"): " "})


def fold_in_place(text: str) -> str:
    """Case, width and accent folding that keeps the text's length; `liftos_pipelines.text.fold` may change it."""
    return text.lower() if text.isascii() else text.translate(_FOLDS)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Possessive, plural and regular verb endings off, common irregular verbs to their base.

    Two forms of one word become equal more often than not; no dictionary is used (compare Harman 1991, s-stemmer).
    """
    if word.endswith("s") and word[-3:-1].endswith("'"):
        word = word[:-2].rstrip()
    word = word.rstrip("'").replace(" ", "")
    if word in IRREGULAR:
        return IRREGULAR[word].removesuffix("e")
    for ending, keep in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            base = word.removesuffix(ending) + keep
            if ending in {"ing", "ed"} and len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz":
                base = base[:-1]  # stopped, planning
            return base.removesuffix("e") if len(base) > 3 else base
    return word.removesuffix("e") if len(word) > 3 else word
