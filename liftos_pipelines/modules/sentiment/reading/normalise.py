"""Text as the classifier sees it: markup, links, users, laughter and stretched letters reduced to one spelling.

Also says when a text cannot be scored at all, and why: an unscorable text never becomes a silent "neutral".
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

MAX_CHARACTERS = 5_000
"""Longer texts are scored on their first characters: a mention is a post or review, not a book."""

LAUGHTER = "~laugh"
LINK = "~link"
USER = "@user"

Unscorable = Literal["empty", "not text", "no letters"]

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_TAG = re.compile(r"<(?:script|style)\b.*?(?:</(?:script|style)>|$)|<!--.*?(?:-->|$)|</?[a-zA-Z][^<>]*>", re.S)
_LINK = re.compile(r"(?:https?://|www\.)\S+|\bhttps?\b|https?$")
_USER = re.compile(r"(?<!\w)@\w+")
_RETWEET = re.compile(r"^rt\s+(?=@)")
# Laughter as it is written in the languages covered: haha, jaja, hehe, kkkk, rsrs, lol, ههه.
_LAUGH = re.compile(
    r"\b(?:a?(?:(?:ha|ah|ja|aj){2,}h?j?a?)|(?:he|eh|je){2,}h?|(?:hi|ih|ji){2,}h?|k{3,}|(?:rs){2,}s?|lo+l(?:ol)*|lmf?ao+|mdr+|x+d+)\b"
    r"|ه{3,}|خ{4,}"
)
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_REPEATED = re.compile(r"([\W_])\1{2,}")
_EMOJI_CLASS = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_EMOJI = re.compile(f"[{_EMOJI_CLASS}]")
_EMOTICON = re.compile(r"[:;=8x]['\-o]?[)\](\[dp/\\|*o3]+|<3+|\^[_.]*\^|t[_.]+t|-[_.]+-")
# Faces that letters and signs make, by what they say; each becomes one word.
_FACES = {
    "~smile": r"[:;=][\-o']?[)\]d3*]+|\([:;=]|\^[_.]*\^|[:;=]-?p\b",
    "~frown": r"[:;=][\-o']?[(\[/\\|]+|\)[:;=]|t[_.]+t|-[_.]+-|>[_.]+<",
    "~heart": r"<3+",
}
_FACE = re.compile("|".join(f"(?P<f{k}>(?<!\\w){pattern})" for k, pattern in enumerate(_FACES.values())))
_HASHTAG = re.compile(r"#(\w+)")
_CAMEL = re.compile(r"[A-Z]?[a-z\u00df-\u00ff]+|[A-Z]+(?![a-z])|\d+")
# Variation selectors, joiners, skin tones, direction marks and private-use signs: how a sign looks, not what it says.
_INVISIBLE = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u00ad\ue000-\uf8ff\U0001f3fb-\U0001f3ff]"
)
_ARABIC_MARKS = re.compile("[\u064b-\u0652\u0640]")
_PIECE = re.compile(rf"[~@#]?\w+(?:'\w+)*|[{_EMOJI_CLASS}]|[^\w\s]+", re.S)


def strip_markup(text: str) -> str:
    """Plain text: HTML tags removed, entities and literal `\\uXXXX` escapes decoded, invisible signs removed."""
    text = text[: 4 * MAX_CHARACTERS]
    if "\\u" in text:
        text = _ESCAPED.sub(_decode, text)
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return _INVISIBLE.sub("", text)[:MAX_CHARACTERS]


def unscorable(text: str | None) -> Unscorable | None:
    """Why a text cannot be scored, or None when it can.

    `empty`: nothing after markup and white space; `not text`: more than a tenth control or replacement
    characters (binary content read as text); `no letters`: neither a letter nor an emoji nor an emoticon.
    """
    if text is None:
        return "empty"
    plain = strip_markup(text)
    visible = "".join(plain.split())
    if not visible:
        return "empty"
    if not visible.isprintable():
        # Cn: not assigned, Cs: half of a pair; U+FFFD is what undecodable bytes become.
        odd = sum(1 for char in visible if unicodedata.category(char) in ("Cc", "Cs", "Cn") or char == "\ufffd")
        if odd > 0.1 * len(visible):
            return "not text"
    if visible.count("\ufffd") > 0.1 * len(visible):
        return "not text"
    rest = _USER.sub("", _LINK.sub("", plain.lower()))
    if not any(char.isalpha() for char in rest) and not _EMOJI.search(rest) and not _EMOTICON.search(rest):
        return "no letters"
    return None


def emoji_only(text: str) -> bool:
    """Whether a scorable text holds no letter: emoji and emoticons alone."""
    rest = _USER.sub("", _LINK.sub("", strip_markup(text).lower()))
    return not any(char.isalpha() for char in _EMOTICON.sub("", rest))


def normalise(text: str) -> str:
    """One spelling for what is said in many: folded, links and users replaced, pieces parted by one space.

    Stretched letters are cut to two and marked (`~long`), laughter becomes `~laugh`, every emoji stands alone.
    """
    text = unicodedata.normalize("NFKC", strip_markup(text)).replace("\u2019", "'")
    if "#" in text:
        text = _HASHTAG.sub(_with_words, text)
    text = text.lower()
    text = _LINK.sub(f" {LINK} ", text)
    text = _RETWEET.sub("", text)
    text = _USER.sub(USER, text)
    text = _ARABIC_MARKS.sub("", text)
    text = _LAUGH.sub(f" {LAUGHTER} ", text)
    text = _FACE.sub(_named, text)
    text = _REPEATED.sub(r"\1\1", text)
    text, stretched = _STRETCHED.subn(r"\1\1", text)
    pieces = _PIECE.findall(text)
    if stretched:
        pieces.append("~long")
    return " ".join(pieces)


def _with_words(match: re.Match[str]) -> str:
    """A hashtag, and the words of it where capitals part them: `#SoHappy` says "so happy" too."""
    words = _CAMEL.findall(match[1])
    return f"#{match[1]} {' '.join(words)}" if len(words) > 1 and not match[1].islower() else match[0]


def _named(match: re.Match[str]) -> str:
    return f" {list(_FACES)[int(match.lastgroup[1:])]} " if match.lastgroup else " "


def _decode(match: re.Match[str]) -> str:
    code = int(match.group(1), 16)
    return " " if 0xD800 <= code <= 0xDFFF else chr(code)
