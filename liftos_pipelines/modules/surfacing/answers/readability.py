"""Whether an answer is text at all, and undoing the commonest damage: UTF-8 that was read as Windows-1252."""

from __future__ import annotations

import re

LIMIT = 1_000_000
"""Characters of an answer that are read; longer ones are a crawl or a dump, not an answer."""
_SAMPLE = 20_000
_GARBAGE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ud800-\udfff]")
MAX_GARBAGE = 0.05
"""Share of control and replacement characters above which a text is no text."""
MIN_GARBAGE = 5
_MISREAD = re.compile(r"[\u00c2\u00c3][\u0080-\u00bf\u0152-\u0178\u02c6-\u02dc\u2013-\u2122]|\u00e2\u20ac")


def unreadable(text: str | None) -> str | None:
    """Why a text cannot be read: nothing there, not text, no words; None where it can."""
    if text is None or not text.strip():
        return "no text"
    sample = text[:_SAMPLE]
    if len(_GARBAGE.findall(sample)) > max(MIN_GARBAGE - 1, MAX_GARBAGE * len(sample)):
        return "not text (control or replacement characters)"
    if not re.search(r"[^\W\d_]", text):
        return "no words"
    return None


def repaired(text: str) -> str:
    """The text; where it is UTF-8 misread as Windows-1252 throughout, read again as what it was."""
    if not _MISREAD.search(text):
        return text
    try:
        return _as_bytes(text).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text


def _as_bytes(text: str) -> bytes:
    """The bytes of a text read as Windows-1252, its five unassigned bytes taken as they are."""
    out = bytearray()
    for char in text:
        out += bytes([ord(char)]) if ord(char) < 0xA0 else char.encode("cp1252")
    return bytes(out)
