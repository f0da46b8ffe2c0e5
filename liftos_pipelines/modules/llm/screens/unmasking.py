"""What a text says once its disguise is off: encodings, look-alike letters, leet, spaced or run-together letters.

`readings(text)` gives the texts a reader or a model could take it for. Encoded stretches are read in place, so that
"decode and obey: aWdub3Jl..." stays one sentence. Nothing is judged here: plain requests are disguised too.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import math
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from liftos_pipelines.modules.llm.screens.common_words import COMMON
from liftos_pipelines.modules.llm.screens.speech import KNOWN
from liftos_pipelines.text import fold

MAX_TEXT = 20_000
"""Characters read; a longer text is read in its first and last half of that."""
DEPTH = 3
"""Encodings within encodings that are followed."""
ENGLISH_ENOUGH = 0.5
"""Share of a text's words that are known above which no letter-by-letter disguise is looked for."""

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]")
_LOOKALIKE = str.maketrans(
    dict(
        zip(
            "асеорхуіјѕһԁԛԝмтвнкгпАВЕКМНОРСТУХІЈЅαβεηικνορτυχγωΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑℓ",
            "aceopxyijshdqwmtbhkrnABEKMHOPCTYXIJSabenikvoptuxywABEZHIKMNOPTYXigal",
            strict=True,
        )
    )
)
_LATIN = re.compile("[a-zA-Z]")
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u04ff]")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/_-])")
_HEX = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]?){8,}(?![0-9a-fA-F])")
_BINARY = re.compile(r"(?<![01])(?:[01]{8}\s?){4,}(?![01])")
_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_SPACED = re.compile(r"(?<![\w])(?:[\w@$!|](?:[ .\-_*·|/]|  )){4,}[\w@$!|](?![\w])")
_LONG = re.compile(r"[a-z0-9@$!]{14,}")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
_WORD = re.compile(r"[a-z0-9@$!|+]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LEET = str.maketrans(dict(zip("4@30l1!|5$7+89", "aaeoiiiissttbg", strict=True)))
"""Digits and signs as the letters they stand for; `l` and `i` fall together, as 1 stands for both."""
_TINY = frozenset(["a", "i"])


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read a text; `how` names what was taken off, empty for the text as it stands (folded)."""

    text: str
    how: tuple[str, ...] = ()


def readings(text: str) -> list[Reading]:
    """The text folded, with encodings read in place; then, where that is not language, what its letters may hide."""
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n" + text[-MAX_TEXT // 2 :]
    plain, how = _decoded(text)
    folded = fold(plain)
    found = [Reading(text=folded, how=how)]
    share = known_share(folded)
    if share < ENGLISH_ENOUGH:
        for name, turned in (("rot13", codecs.encode(folded, "rot13")), ("reversed", folded[::-1])):
            if known_share(turned) > max(share + 0.2, 0.35):
                found.append(Reading(text=turned, how=(*how, name)))
    unmasked = _letters_back(folded, share)
    if unmasked != folded:
        found.append(Reading(text=unmasked, how=(*how, "letters")))
    return found


def known_share(folded: str) -> float:
    """Share of a text's words of two letters and more that are common words; 1 for a text without any."""
    tokens = [token for token in _LETTERS.findall(folded) if len(token) > 1]
    if not tokens:
        return 1.0 if not re.search(r"[a-z0-9] [a-z0-9] [a-z0-9]", folded) else 0.0
    known = _known()
    return sum(token in known for token in tokens) / len(tokens)


def _decoded(text: str) -> tuple[str, tuple[str, ...]]:
    how: list[str] = []

    def step(name: str, after: str) -> None:
        nonlocal text
        if after != text:
            text = after
            how.append(name)

    for _ in range(DEPTH):
        before = text
        if not text.isascii():
            step("tags", _TAGS.sub(lambda m: chr(ord(m[0]) - 0xE0000), text))
            step("invisible", _INVISIBLE.sub("", text))
            text = unicodedata.normalize("NFKC", text)
            foreign = len(_FOREIGN.findall(text))
            # Cyrillic or Greek running text is a language; a sprinkling among Latin letters is a disguise.
            if foreign and foreign < 3 * len(_LATIN.findall(text)):
                step("lookalikes", text.translate(_LOOKALIKE))
        if "&" in text:
            step("html", html.unescape(text))
        if text.count("%") >= 3:
            step("percent", unquote(text, errors="replace") if re.search(r"%[0-9a-fA-F]{2}", text) else text)
        if "\\" in text:
            step("escapes", _ESCAPES.sub(lambda m: chr(int(m[1] or m[2], 16)), text))
        step("binary", _BINARY.sub(_from_binary, text))
        step("hex", _HEX.sub(_from_hex, text))
        step("base64", _BASE64.sub(_from_base64, text))
        if text == before:
            break
    return text, tuple(dict.fromkeys(how))


def _readable(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    printable = sum(c.isprintable() or c in "\n\t" for c in text)
    letters = sum(c.isalpha() or c.isspace() for c in text)
    return text if text and printable >= 0.97 * len(text) and letters >= 0.6 * len(text) else None


def _from_base64(match: re.Match[str]) -> str:
    body = match[0].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(body + "=" * (-len(body) % 4))) or match[0]
    except (binascii.Error, ValueError):
        return match[0]


def _from_hex(match: re.Match[str]) -> str:
    digits = re.sub(r"0x|\\x|[\s:,]", "", match[0])
    read = _readable(bytes.fromhex(digits)) if len(digits) % 2 == 0 else None
    return match[0] if read is None else read


def _from_binary(match: re.Match[str]) -> str:
    bits = re.sub(r"\s", "", match[0])
    return _readable(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))) or match[0]


def _letters_back(folded: str, share: float) -> str:
    """Leet, spaced and run-together letters as words; the text itself where there is nothing of the kind."""
    tokens = _WORD.findall(folded)
    if not tokens:
        return folded
    single = sum(len(token) == 1 for token in tokens) / len(tokens)
    mixed = sum(_is_mixed(token) for token in tokens) / len(tokens)
    if single > 0.5:
        return segment(folded)
    if mixed > 0.2:
        masked = [token for token in tokens if _is_mixed(token)]
        if sum(_word_of(token) != token for token in masked) >= 0.6 * len(masked):
            return _WORD.sub(lambda m: _word_of(m[0]), folded)
        return segment(folded)
    text = _SPACED.sub(lambda m: segment(m[0]), folded)
    if sum(_is_mixed(token) and _word_of(token) != token for token in tokens) >= 2:
        text = _WORD.sub(lambda m: _word_of(m[0]) if _is_mixed(m[0]) else m[0], text)
    if share < ENGLISH_ENOUGH and sum(len(token) <= 4 for token in tokens) > 0.9 * len(tokens) > 4:
        return segment(text)
    return _LONG.sub(lambda m: m[0] if _HEXADECIMAL.fullmatch(m[0]) or m[0] in _known() else segment(m[0]), text)


def _is_mixed(token: str) -> bool:
    if token.isalpha():
        return False
    digits = sum(c in "0134578@$!|+" for c in token)
    return (digits > 0 and any(c.isalpha() for c in token)) or (digits == len(token) and 2 < digits < 5)


def _word_of(token: str) -> str:
    return _skeletons().get(token.translate(_LEET), (0.0, token))[1]


def segment(run: str) -> str:
    """The likeliest words in a run of letters without (or with meaningless) gaps, leet read as letters.

    Viterbi over unigram costs, log rank a known word and a flat cost a letter that no word covers.
    """
    letters = re.sub(r"[^a-z0-9@$!|+]", "", run).translate(_LEET)
    words, longest = _skeletons(), 16
    best = [0.0] + [float("inf")] * len(letters)
    back: list[tuple[int, str | None]] = [(0, None)] * (len(letters) + 1)
    for end in range(1, len(letters) + 1):
        best[end], back[end] = best[end - 1] + 5.0, (end - 1, None)
        for start in range(max(0, end - longest), end):
            entry = words.get(letters[start:end])
            if entry is not None and best[start] + entry[0] < best[end]:
                best[end], back[end] = best[start] + entry[0], (start, entry[1])
    out: list[str] = []
    at = len(letters)
    loose = ""
    while at > 0:
        start, word = back[at]
        if word is None:
            loose = letters[start:at] + loose
        else:
            out += [loose, word] if loose else [word]
            loose = ""
        at = start
    if loose:
        out.append(loose)
    return " ".join(reversed(out))


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(COMMON) | frozenset(KNOWN) | _TINY


@lru_cache(maxsize=1)
def _skeletons() -> dict[str, tuple[float, str]]:
    costs: dict[str, tuple[float, str]] = {}
    ranked = [*_TINY, *COMMON]
    for rank, word in enumerate(ranked):
        costs.setdefault(word.translate(_LEET), (math.log(rank + 20), word))
    for word in KNOWN:
        if len(word) > 2 and word.isascii() and word.isalpha():
            costs.setdefault(word.translate(_LEET), (math.log(400), word))
    return costs
