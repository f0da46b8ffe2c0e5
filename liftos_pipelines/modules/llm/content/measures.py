"""What can be measured of a generated text, one small function a measure; None says that it cannot be told.

Sources: Flesch (1948), A new readability yardstick (reading ease; syllables by vowel groups, so within a few points).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from liftos_pipelines.modules.llm.content.parts import Parts
from liftos_pipelines.modules.llm.lexicon import spaced
from liftos_pipelines.text import fold, words

_ENGLISH = frozenset(spaced("the and is are to of in you it for that with this on your we our a be have"))
_STOP = frozenset(
    spaced(
        "a an the and or but if of to in on at by for from with without as is are was were be been it its this that "
        "these those he she they we you i his her their our your my do does did has have had will would can could "
        "should what when where who why how which about me please tell der die das und ist ein eine zu mit von den"
    )
)
_ACTION = re.compile(
    r"\b(?:buy|shop|order|get|try|start|join|book|call|sign up|learn more|find out|discover|download|subscribe|claim|"
    r"save|explore|see|visit|click|register|request|reserve|compare|contact us|read more|jetzt|kaufen|bestellen|"
    r"entdecken|anmelden|mehr erfahren)\b(?=[^.!?\n]{0,60}(?:[.!?\n]|$))"
)
_SUPERLATIVE = re.compile(
    r"(?<!\w)(?:(?:the )?(?:world'?s )?(?:best|cheapest|fastest|greatest|lowest|highest|leading|safest|strongest)\b"
    r"|no\. ?1\b|#1\b|number one\b|unbeatable\b|guaranteed\b|100 ?% (?:safe|free|guaranteed)\b|unmatched\b)"
)
_PLACEHOLDER = re.compile(
    r"\{\{[^{}]+\}\}|\{[A-Za-z_ ]{2,30}\}|\[(?:your |insert |the )?[A-Za-z][A-Za-z _/-]{1,30}\](?!\()"
    r"|<[A-Z][A-Z _]{2,30}>|\bXX+\b|\blorem ipsum\b|\bTODO\b",
)
_UNSUBSCRIBE = re.compile(r"\b(?:unsubscribe|opt[ -]?out|manage (?:your )?preferences|abmelden|abbestellen)\b")
_SPAM = re.compile(
    r"\b(?:act now|limited time|once in a lifetime|risk[ -]free|no obligation|winner|congratulations|cash bonus|"
    r"free money|urgent|click here|buy now|order now|double your|earn extra|guaranteed|no catch|cheap)\b"
)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't) (?:help|assist|answer|provide|do)|"
    r"as an ai|i do(?:n't| not) have (?:access|information|that))\b"
)
_NUMBERED_WORD = re.compile(r"[A-Z]{4,}")


@dataclass(frozen=True, kw_only=True)
class Written:
    """One generated text with what it was made from; `brand` are spellings of the brand's name, folded."""

    parts: Parts
    prompt: str = ""
    context: str = ""
    brand: Sequence[str] = ()
    given: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured elsewhere: groundedness, latency_ms."""


Measure = Callable[[Written], float | None]


def _longest(name: str) -> Measure:
    def measure(text: Written) -> float | None:
        found = text.parts.of(name)
        return float(max(map(len, found))) if found else None

    return measure


def _given(name: str) -> Measure:
    return lambda text: text.given.get(name)


def _hits(pattern: re.Pattern[str]) -> Measure:
    return lambda text: float(len(pattern.findall(text.parts.folded)))


def words_per_sentence(text: Written) -> float | None:
    counted = [len(words(sentence)) for sentence in text.parts.sentences]
    counted = [count for count in counted if count]
    return sum(counted) / len(counted) if counted else None


def reading_ease(text: Written) -> float | None:
    """Flesch reading ease; None for a text that is not English or shorter than a hundred words."""
    found = text.parts.words
    if len(found) < 100 or sum(word in _ENGLISH for word in found) * 12 < len(found):
        return None
    per_sentence = words_per_sentence(text)
    assert per_sentence is not None
    return 206.835 - 1.015 * per_sentence - 84.6 * sum(map(_syllables, found)) / len(found)


def brand_mentions(text: Written) -> float | None:
    if not text.brand:
        return None
    return float(sum(len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", text.parts.folded)) for name in text.brand))


def shouted_words(text: Written) -> float:
    """Words in capitals that are neither the brand's nor in what the text was made from (acronyms of the matter)."""
    known = fold(f"{text.prompt} {text.context} {' '.join(text.brand)}")
    return float(sum(fold(word) not in known for word in _NUMBERED_WORD.findall(text.parts.text)))


def unsupported_superlatives(text: Written) -> float:
    """Superlatives and guarantees that what the text was made from does not hold."""
    basis = fold(text.context)
    return float(sum(found not in basis for found in _SUPERLATIVE.findall(text.parts.folded)))


def unfilled_placeholders(text: Written) -> float:
    return float(len(_PLACEHOLDER.findall(text.parts.text)))


def keyword_coverage(text: Written) -> float | None:
    """Share of the keywords named in the prompt that the text uses; None where the prompt names none."""
    asked = keywords(text.prompt)
    if not asked:
        return None
    return sum(_uses(text, keyword) > 0 for keyword in asked) / len(asked)


def keyword_density(text: Written) -> float | None:
    """Words of the text that belong to the most used keyword, as a share of all."""
    asked, n = keywords(text.prompt), len(text.parts.words)
    if not asked or not n:
        return None
    return max(_uses(text, keyword) * len(words(keyword)) for keyword in asked) / n


def repeated_phrases(text: Written) -> float | None:
    """Share of the three-word runs that stood in the text before; None below ten words."""
    found = text.parts.words
    if len(found) < 10:
        return None
    runs = Counter(zip(found, found[1:], found[2:], strict=False))
    return 1 - len(runs) / sum(runs.values())


def question_overlap(text: Written) -> float | None:
    """Share of the question's content words, by their first five letters, that the answer takes up."""
    asked = {word[:5] for word in words(text.prompt) if word not in _STOP and len(word) > 2}
    if not asked:
        return None
    said = {word[:5] for word in text.parts.words}
    return len(asked & said) / len(asked)


MEASURES: Mapping[str, Measure] = {
    "headline_characters": _longest("headline"),
    "description_characters": _longest("description"),
    "title_characters": _longest("title"),
    "meta_description_characters": _longest("meta_description"),
    "subject_characters": _longest("subject"),
    "preheader_characters": _longest("preheader"),
    "words": lambda text: float(len(text.parts.words)),
    "words_per_sentence": words_per_sentence,
    "reading_ease": reading_ease,
    "headings": lambda text: float(len(text.parts.headings)),
    "calls_to_action": lambda text: float(
        max(len(text.parts.of("call_to_action")), len(set(_ACTION.findall(text.parts.folded))))
    ),
    "brand_mentions": brand_mentions,
    "exclamation_marks": lambda text: float(text.parts.text.count("!")),
    "shouted_words": shouted_words,
    "unsupported_superlatives": unsupported_superlatives,
    "unfilled_placeholders": unfilled_placeholders,
    "keyword_coverage": keyword_coverage,
    "keyword_density": keyword_density,
    "repeated_phrases": repeated_phrases,
    "question_overlap": question_overlap,
    "unsubscribe": _hits(_UNSUBSCRIBE),
    "spam_words": _hits(_SPAM),
    "refused": lambda text: float(_REFUSAL.search(text.parts.folded) is not None),
    "groundedness": _given("groundedness"),
    "latency_ms": _given("latency_ms"),
}


def keywords(prompt: str) -> list[str]:
    """What a prompt names as keywords, in a line such as `Keywords: running shoes, trail`."""
    found = re.search(r"(?im)\bkey ?words?\s*:\s*(.+)$", prompt)
    if not found:
        return []
    return [fold(part).strip(" .\"'") for part in re.split(r"[,;|]", found[1]) if part.strip(" .\"'")]


def _uses(text: Written, keyword: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(keyword)}(?!\w)", text.parts.folded))


def _syllables(word: str) -> int:
    groups = len(re.findall(r"[aeiouy]+", word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(1, groups - silent)
