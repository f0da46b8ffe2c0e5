"""Which language a text is in: the model's own head for the eight it knows, a second identifier for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.lexicon import Lexicon
from liftos_pipelines.modules.sentiment.reading.model import LANGUAGES
from liftos_pipelines.modules.sentiment.reading.normalise import normalise

Array = NDArray[np.float64]
Fallback = Callable[[str], tuple[str, float]]
"""From a text to an ISO 639-1 code and a probability over all languages it knows (py3langid in production)."""

UNKNOWN = "unknown"
SURE = 0.9
"""From this probability on, the model's own head is believed without asking the second identifier."""
FALLBACK_SURE = 0.75
LIKELY = 0.6
MAJORITY = 0.4
WEAK = 0.4
"""A second identifier less sure than this has no opinion: romanised Hindi gets such answers."""

_DIALECTS = {"ary": "ar", "arz": "ar"}
"""Moroccan and Egyptian Arabic, which the second identifier tells apart and the classifier does not."""

_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f]")
# Letters that Persian and Urdu have and Arabic has not.
_NOT_ARABIC = re.compile(r"[\u067e\u0686\u0698\u06a9\u06af\u06cc\u06d2\u0679\u0688\u0691]")
_LETTER = re.compile(r"[^\W\d_]")
_NOISE = re.compile(r"(?:https?://|www\.)\S+|[@#]\w+|\bhttps?\b|\brt\b", re.I)
_NAMES = {
    "arabic": "ar", "english": "en", "french": "fr", "german": "de",
    "hindi": "hi", "italian": "it", "portuguese": "pt", "spanish": "es",
}  # fmt: skip


def language_code(given: str | None) -> str | None:
    """ISO 639-1 code of what a client wrote (`en`, `en-US`, `English`); None when nothing usable was given."""
    cleaned = (given or "").strip().lower()
    if cleaned in _NAMES:
        return _NAMES[cleaned]
    code = re.split(r"[-_]", cleaned)[0]
    return code if re.fullmatch(r"[a-z]{2,3}", code) and code != "und" else None


def script(text: str) -> str:
    """`latin`, `arabic`, `other` (most letters are neither), or `none` without a letter."""
    letters = len(_LETTER.findall(text))
    if not letters:
        return "none"
    if len(_ARABIC.findall(text)) > letters / 2:
        return "arabic"
    return "latin" if len(_LATIN.findall(text)) >= letters / 2 else "other"


def covered(language: str, text: str) -> bool:
    """Whether the classifier was trained on this language in this script.

    Hindi was seen in Latin letters only; a text of `unknown` language counts when its letters were seen.
    """
    if language != UNKNOWN and language not in LANGUAGES:
        return False
    written = script(text)
    if written == "none":
        return True
    return written == ("arabic" if language == "ar" else "latin") or (language == UNKNOWN and written != "other")


def code_mixed(texts: Sequence[str], lexicon: Lexicon) -> NDArray[np.bool_]:
    """Whether two languages each carry a real share of a text: (n,).

    Counted in small words that only one language has ("the", "und", "hai"): two languages need two of them each, and
    the lesser one a fifth of all; or Arabic and Latin letters in turn, each a quarter of them and three words long. A
    loan word or a hashtag does not mix a text.
    """
    return np.asarray([_mixed(text, lexicon) for text in texts], dtype=bool)


def _mixed(text: str, lexicon: Lexicon) -> bool:
    plain = _NOISE.sub(" ", text)
    if _ARABIC.search(plain) and _LATIN.search(plain):
        words = plain.split()
        arabic = sum(1 for word in words if _ARABIC.search(word))
        latin = sum(1 for word in words if _LATIN.search(word))
        return min(arabic, latin) >= 3 and min(arabic, latin) >= (arabic + latin) / 4
    counts = sorted(lexicon.telling_words(normalise(plain)).values(), reverse=True)
    return len(counts) > 1 and counts[1] >= 2 and counts[1] >= sum(counts) / 5


def identify(texts: Sequence[str], probabilities: Array, fallback: Fallback | None = None) -> list[str]:
    """Language code of each text, or `unknown`.

    Parameters
    ----------
    texts : (n,) raw
    probabilities : (n, 8), the model's language head, columns in the order of `LANGUAGES`

    The model is believed when it is sure and the script fits. Otherwise the second identifier is asked: when both
    agree, or one of them is confident, that is the answer; a text of fewer than three letters stays `unknown`.
    """
    best = probabilities.argmax(axis=1) if len(texts) else np.empty(0, dtype=int)
    found = []
    for text, row, position in zip(texts, probabilities, best, strict=True):
        plain = _NOISE.sub(" ", text)
        written = script(plain)
        if written == "none" or len(_LETTER.findall(plain)) < 3:
            found.append(UNKNOWN)
            continue
        own, sure = LANGUAGES[position], float(row[position])
        fits = written != "other" and (own == "ar") == (written == "arabic") and len(_NOT_ARABIC.findall(plain)) < 2
        if fits and sure >= SURE and written == "latin":
            found.append(own)
        elif fallback is None:
            found.append(own if fits and sure >= LIKELY else UNKNOWN)
        else:
            found.append(_second_opinion(plain, own if fits else None, sure, fallback))
    return found


def _second_opinion(text: str, own: str | None, sure: float, fallback: Fallback) -> str:
    other, other_sure = fallback(text)
    other = _DIALECTS.get(other, other)
    if other == own and own is not None:
        return own
    # Between languages that the model knows its own majority decides: no public identifier knows romanised Hindi.
    if own is not None and other in LANGUAGES and sure >= MAJORITY:
        return own
    if other_sure >= FALLBACK_SURE:
        return other
    if own is not None and (sure >= LIKELY or (sure >= MAJORITY and other_sure < WEAK)):
        return own
    # A weak guess is enough between languages that the classifier knows: a wrong one only changes the calibration.
    return other if other in LANGUAGES and other_sure >= LIKELY else UNKNOWN
