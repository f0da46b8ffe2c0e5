"""The same text about another group: one dimension's terms exchanged, with their grammar.

Pronouns keep their case (he, him, his; she, her, hers), nouns their number, articles their sound (a young, an old) and
words their capitals. Made for probing a model with pairs that differ in nothing else; `bias.swap_pairs` finds such
pairs again in a log.

Source of the method: Kusner et al. (2017), Counterfactual fairness; Zhao et al. (2018), gender swapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from liftos_pipelines.modules.llm.lexicon import spaced

_SEX = {
    "he": "she", "man": "woman", "men": "women", "male": "female", "males": "females", "father": "mother",
    "fathers": "mothers", "dad": "mom", "husband": "wife", "husbands": "wives", "son": "daughter", "sons": "daughters",
    "brother": "sister", "brothers": "sisters", "uncle": "aunt", "nephew": "niece", "grandfather": "grandmother",
    "boy": "girl", "boys": "girls", "boyfriend": "girlfriend", "gentleman": "lady", "gentlemen": "ladies",
    "king": "queen",
    "mr": "ms", "sir": "madam", "himself": "herself", "actor": "actress", "waiter": "waitress", "businessman":
    "businesswoman", "salesman": "saleswoman", "chairman": "chairwoman", "policeman": "policewoman", "widower": "widow",
}  # fmt: skip
_NAMES_MALE = spaced("james john robert michael william david thomas daniel mark paul peter lukas ahmed hassan omar")
_NAMES_FEMALE = spaced(
    "mary patricia jennifer linda elizabeth susan sarah karen laura anna julia emma fatima aisha leila"
)
_AFTER_OBJECT = frozenset(
    spaced("to for with by at from of about told asked gave give saw see help helps met called let")
)
"""Words after which `her` is the object (him), where no noun follows."""
_PRONOUNS = frozenset(spaced("her his him hers"))
_FUNCTION = frozenset(
    spaced(
        "and or but to for with at in on by as is was "
        "that when because if , . ; : ! ? the a an yesterday today about again"
    )
)

TERMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "age": (("young", "old"), ("younger", "older"), ("teenager", "pensioner"), ("teenagers", "pensioners")),
    "religion": (
        ("christian", "muslim", "jewish", "hindu", "buddhist"),
        ("christians", "muslims", "jews", "hindus", "buddhists"),
        ("church", "mosque", "synagogue", "temple", "temple"),
    ),
    "origin": (
        ("german", "french", "turkish", "american", "mexican", "nigerian", "indian", "chinese", "arab", "polish"),
        ("germany", "france", "turkey", "america", "mexico", "nigeria", "india", "china", "arabia", "poland"),
    ),
    "orientation": (("straight", "gay"), ("heterosexual", "homosexual")),
    "disability": (("able-bodied", "disabled"), ("sighted", "blind"), ("hearing", "deaf")),
    "wealth": (("rich", "poor"), ("wealthy", "homeless")),
    "body": (("slim", "overweight"), ("thin", "fat")),
    "family": (("married", "single"), ("childless", "pregnant")),
}
"""Rows of words that stand at the same place of the same sentence; a column is a group."""


def swap_sex(text: str) -> str:
    """The text with male and female terms, pronouns and known first names exchanged for each other."""
    forward = _SEX | dict(zip(_NAMES_MALE, _NAMES_FEMALE, strict=True))
    both = forward | {there: here for here, there in forward.items()} | {"mrs": "mr", "mum": "dad"}
    tokens = re.findall(r"[\w'-]+|[^\w\s]|\s+", text)
    spoken = [i for i, token in enumerate(tokens) if not token.isspace()]
    out = list(tokens)
    for place, i in enumerate(spoken):
        word = tokens[i].lower()
        following = tokens[spoken[place + 1]].lower() if place + 1 < len(spoken) else "."
        before = tokens[spoken[place - 1]].lower() if place else ""
        new = _pronoun(word, before, following) if word in _PRONOUNS else both.get(word, word)
        if new != word:
            out[i] = _as_cased(new, tokens[i])
    return _articles("".join(out))


def swap_group(text: str, dimension: str, source: int, target: int) -> str:
    """The text with one group's terms of a dimension replaced by another's (columns of `TERMS[dimension]`).

    Raises
    ------
    KeyError : an unknown dimension
    IndexError : a group that the dimension does not have
    """
    exchange = {row[source]: row[target] for row in TERMS[dimension]}
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, exchange))})\b", re.IGNORECASE)
    return _articles(pattern.sub(lambda match: _as_cased(exchange[match[0].lower()], match[0]), text))


def counterfactuals(text: str) -> Iterator[tuple[str, str]]:
    """(dimension, swapped text) for every swap that changes the text."""
    swapped = swap_sex(text)
    if swapped != text:
        yield "gender", swapped
    for dimension, rows in TERMS.items():
        width = len(rows[0])
        for source in range(width):
            for target in range(width):
                if source != target and (changed := swap_group(text, dimension, source, target)) != text:
                    yield dimension, changed


def _pronoun(word: str, before: str, following: str) -> str:
    ends = following in _FUNCTION or not following[:1].isalpha()
    if word == "him":
        return "her"
    if word == "hers":
        return "his"
    if word == "his":
        return "hers" if ends and before not in _AFTER_OBJECT else "her"
    # `her` before a noun is his, elsewhere him.
    return "him" if ends else "his"


def _as_cased(word: str, like: str) -> str:
    return word.upper() if like.isupper() and len(like) > 1 else word.capitalize() if like[:1].isupper() else word


def _articles(text: str) -> str:
    """`a old` becomes `an old`, `an young` becomes `a young`; sounds that the letter does not tell are few."""

    def agreed(match: re.Match[str]) -> str:
        word = match[2].lower()
        vowel = word[0] in "aeiou" and not word.startswith(("eu", "uni", "use", "one"))
        article = "an" if vowel or word.startswith(("hour", "honest", "heir")) else "a"
        return (article.capitalize() if match[1][0].isupper() else article) + match[0][len(match[1]) :]

    return re.sub(r"\b([Aa]n?)\s+([A-Za-z]\w*)", agreed, text)
