"""What surrounds an answer and what its rendering destroyed: engine furniture off, run-together text apart.

Answers copied from a page lose their line breaks: list entries, prices and ratings stand glued to each other
("...for most users.Acme Runner:Light and fast" and "Acme Runner$99.994.7(2k+)Globex Trail$89.99"). `readable`
puts the breaks back where the glue shows; text that came with its line breaks is left as it is.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

CARD = "\ue002"
"""Ends a line that is a product card (a name with its price or rating), not a sentence of the answer."""

_SKIPPED_ELEMENT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_BREAKING_TAG = re.compile(r"<\s*/?\s*(?:br|p|div|li|tr|h[1-6]|ul|ol|table|details|summary)\b[^<>]*>", re.IGNORECASE)
_SUPERSCRIPT_TAG = re.compile(r"<sup\b[^<>]*>\s*(?:<a\b[^<>]*>)?\s*\[?(\d{1,3})\]?\s*(?:</a>)?\s*</sup>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
# NUL, other controls, and the private-use characters that carry our own marks through the parser.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ue000-\ue0ff\u200b\u2060\ufeff]")
_TRADE_MARKS = re.compile(r"[\u00ae\u2122\u2120\u00a9](?!\s*\d{4})")

# Notices that engines print below or inside their answers. They stand at the end, so only there are they cut.
_TAIL = 700
_NOTICES = re.compile(
    r"(?:AI responses may include mistakes|AI-generated (?:content|answers?) may be (?:incorrect|inaccurate)"
    r"|Generative AI is experimental|This is for informational purposes only\. For (?:medical|financial|legal)"
    r"|(?:ChatGPT|Gemini|Copilot|Claude|Perplexity|Grok|Le Chat)(?: \w+)? can (?:also )?make mistakes"
    r"|Gemini may display inaccurate info|Map data ©\s?\d{4}).*\Z",
    re.DOTALL,
)

_GLUE = re.compile(r"[a-z0-9)%][.!?:](?=[A-Z][a-z])|[.!?:)]\u00a0(?=[A-Z])|\d\.\d\([\d.,]+k?\+?\)(?=\S)")
MIN_GLUE = 3
_MONEY = r"[$€£]\d[\d,]*(?:\.\d{2})?(?:\([$€£][\d,.]+\))?(?:/mo(?:\s?x\s?\d{1,2}(?=\d\.\d\())?)?"
_RATING = r"\d\.\d\([\d.,]+k?\+?\)"
_CARD = re.compile(rf"(?<=[\w)\"”'’+*])((?:{_MONEY})(?:{_MONEY})?(?:{_RATING})?|{_RATING})(?=\S|\n|\s*$)")
_SEE_MORE = re.compile(r"(?:(?<=[)\d])|\b)See more(?=[A-Z\d]|\s*$)")
_AFTER_STOP = re.compile(r"(?<=[a-z0-9)\]%\"”'’+*])([.!?])(?=[A-Z\"“]|\d-in-\d)")
_AFTER_COLON = re.compile(r"(?<=[\w)\]%\"”'’+*]):(?=[A-Z\"“])")
_AFTER_BRACKET = re.compile(r"(?<=\))(?=[A-Z][a-z])")
_BLOCK_SPACE = re.compile(r"(?<=[.!?:)\]])[ ]?\u00a0+(?=\S)")
_INLINE_NUMBER = re.compile(r"(?<=[.!?:])[ \u00a0]+(?=\d{1,2}\. [A-Z])")


@dataclass(frozen=True, kw_only=True)
class Readable:
    """An answer's own text, and whether its line breaks had been lost."""

    text: str
    glued: bool


def readable(text: str) -> Readable:
    """The answer without markup tags, engine notices and trade-mark signs, its lost line breaks put back."""
    text = _without_html(text)
    notice = _NOTICES.search(text, max(0, len(text) - _TAIL))
    if notice is not None:
        text = text[: notice.start()]
    text = _TRADE_MARKS.sub("", text)
    glued = _is_glued(text)
    return Readable(text=_unglued(text) if glued else text.replace("\u00a0", " "), glued=glued)


def _without_html(text: str) -> str:
    if "<" in text:
        text = _SKIPPED_ELEMENT.sub(" ", text)
        text = _SUPERSCRIPT_TAG.sub(r"[\1]", text)
        text = _TAG.sub(" ", _BREAKING_TAG.sub("\n", text))
    return _UNPRINTABLE.sub("", html.unescape(text) if "&" in text else text)


def _is_glued(text: str) -> bool:
    """Several places without the break that belongs there, and hardly any line breaks."""
    if text.count("\n") > len(text) / 200:
        return False
    return sum(1 for _, _ in zip(range(MIN_GLUE), _GLUE.finditer(text), strict=False)) >= MIN_GLUE


def _unglued(text: str) -> str:
    text = _SEE_MORE.sub("\n", text)
    text = _CARD.sub(rf" \1{CARD}\n", text)
    text = _INLINE_NUMBER.sub("\n", text)
    text = _BLOCK_SPACE.sub("\n", text).replace("\u00a0", " ")
    text = _AFTER_STOP.sub(r"\1\n", text)
    text = _AFTER_COLON.sub(": ", text)
    return _AFTER_BRACKET.sub("\n", text)
