"""Personal data in a text: found by form and check digits, located, and removed on request.

Names are found only behind a title ("Mrs Weber"), addresses by street and number; a bare name is not found. Identity
numbers without a check digit need their usual grouping, and those that any number could be need their name beside them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from liftos_pipelines.modules.llm.screens.checksums import CHECKS
from liftos_pipelines.modules.llm.screens.verdict import UNREAD, Screened

CUE_REACH = 40
"""Characters before a number in which the word that says what it is may stand."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One piece of personal data: its kind, and where in the text as given."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class _Rule:
    kind: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] | None = None
    cue: re.Pattern[str] | None = None
    group: int = 0


def _ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_reserved)


def _phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


_CAPITALISED = r"[A-ZÀ-ÖØ-Þ][\w'’-]+"
_STREET = (
    r"\d{1,5}[a-zA-Z]?\s+(?:[A-Z][\w'-]+\s+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|"
    r"Square|Terrace|Place|Way)\b\.?"
    r"|\b[A-ZÄÖÜ][\wäöüß.-]*(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|[Ww]eg|[Pp]latz|[Aa]llee|[Gg]asse|[Rr]ing|[Dd]amm|[Uu]fer)\s+\d{1,4}\s?[a-z]?\b"
    r"|\b\d{1,4}(?:\s?bis)?,?\s+(?:rue|avenue|boulevard|place|chemin|impasse|quai|allée)\s+(?:de\s+|du\s+|des\s+|la\s+|l['’]|d['’]|"
    rf"le\s+|les\s+)*{_CAPITALISED}(?:\s+{_CAPITALISED})*"
    rf"|\b(?:[Cc]alle|[Aa]venida|[Pp]laza|[Pp]aseo|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Rr]ua|[Aa]venida)\s+(?:de\s+|del\s+|della\s+|"
    rf"la\s+|da\s+|do\s+|dei\s+)*{_CAPITALISED}(?:\s+{_CAPITALISED})*,?\s+(?:n[.ºo°]*\s*)?\d{{1,4}}\b"
)  # fmt: skip
_TITLED = (
    r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Herrn|Frau|Monsieur|Madame|Mme|Mlle|Señora?|Sra?|Signora?|Sig|Senhora?|Dott|"
    rf"Mevrouw|Meneer|Dhr|Mevr)\b\.?(?:\s+(?:Dr|Prof)\.?)*\s+({_CAPITALISED}(?:\s+(?:(?:von|van|de|der|di|da|del|la)\s+)*"
    rf"{_CAPITALISED}){{0,2}})"
)
_RULES = (
    _Rule(kind="email", pattern=re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[\w-]+\.)+[A-Za-z]{2,24}(?![\w-])")),
    _Rule(
        kind="iban", pattern=re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{2,4}){3,8}\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b")
    ),
    _Rule(
        kind="french insurance number",
        pattern=re.compile(r"\b[12]\s?\d{2}\s?\d{2}\s?\d[\dAB]\s?\d{3}\s?\d{3}\s?\d{2}\b"),
    ),
    _Rule(
        kind="card",
        pattern=re.compile(
            r"(?<![\w.,-])(?<!\w\d )(?:(?:\d{4}[ -]?){3}\d{2,7}|3\d{3}[ -]?\d{6}[ -]?\d{4,5})(?![ -]?\w?\d)"
        ),
    ),
    _Rule(kind="italian tax code", pattern=re.compile(r"\b[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]\b")),
    _Rule(kind="brazilian id", pattern=re.compile(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b")),
    _Rule(kind="spanish id", pattern=re.compile(r"\b(?:[XYZxyz]-?\d{7}|\d{2}\.?\d{3}\.?\d{3})[ -]?[A-Za-z]\b")),
    _Rule(kind="british insurance number", pattern=re.compile(r"\b[A-Z]{2}\s?\d{2}\s?\d{2}\s?\d{2}\s?[A-D]\b")),
    _Rule(kind="american insurance number", pattern=re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    _Rule(
        kind="german tax id",
        pattern=re.compile(r"\b\d{2}[ /]?\d{3}[ /]?\d{3}[ /]?\d{3}\b"),
        cue=re.compile(r"steuer|tax|idnr|identifikation|\btin\b", re.I),
    ),
    _Rule(kind="polish id", pattern=re.compile(r"\b\d{11}\b"), cue=re.compile(r"pesel", re.I)),
    _Rule(
        kind="dutch citizen number",
        pattern=re.compile(r"\b\d{9}\b"),
        cue=re.compile(r"\bbsn\b|burgerservice", re.I),
    ),
    _Rule(
        kind="ip address",
        pattern=re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4})(?![\w.:]*\w)"),
        valid=_ip,
    ),
    _Rule(
        kind="birth date",
        pattern=re.compile(r"\b(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d{2}|(?:19|20)\d{2}-\d{2}-\d{2})\b"),
        cue=re.compile(
            r"\bborn\b|birth|\bdob\b|geboren|geburts|n[ée]e? le|naissance|nacid|nacimiento|nat[oa] il|nascit", re.I
        ),
    ),
    _Rule(
        kind="phone",
        pattern=re.compile(
            r"(?<![\w.,+-])(?<!\w\d )(?<!\d\d )(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?(?:\(\d{1,5}\)|\d{1,5})){2,6}(?!\w)"
            r"|(?<![\w.,+-])\(\d{3}\) ?\d{3}[ .-]\d{4}(?!\w)|(?<![\w.,+-])\d{3}[.-]\d{3}[.-]\d{4}(?![\w-])"
            r"|(?<![\w.,+-])(?<!\d )(?<!\d[A-Z] )(?<!\b[A-Z]{4} )"
            r"\(?0\d{1,5}\)?[ /-]\d{2,8}(?:[ /-]\d{2,6}){0,4}(?![\w/-])(?! \d)"
        ),
        valid=_phone,
    ),
    _Rule(
        kind="phone",
        pattern=re.compile(r"(?<![\w.,+-])\d[\d ]{6,13}\d(?![\w.,-])"),
        valid=_phone,
        cue=re.compile(
            r"\b(?:tel|telefon\w*|tél\w*|phone|mobile?|handy|cell|móvil|cellulare|call|ruf\w*|fax)\b[\w\s.:]{0,15}$",
            re.I,
        ),
    ),
    _Rule(kind="address", pattern=re.compile(_STREET)),
    _Rule(kind="person", pattern=re.compile(_TITLED), group=1),
)  # fmt: skip


def find_pii(text: str) -> tuple[Finding, ...]:
    """Every piece of personal data, in order, none overlapping; an earlier rule wins over a later one."""
    taken: list[Finding] = []
    for rule in _RULES:
        check = rule.valid or CHECKS.get(rule.kind)
        for match in rule.pattern.finditer(text):
            start, end = match.span(rule.group)
            found = match[rule.group]
            if rule.kind == "iban":
                found, end = _longest_iban(text, start, end)
            if not found or (check is not None and not check(found)):
                continue
            if rule.cue is not None and not rule.cue.search(text[max(0, start - CUE_REACH) : start]):
                continue
            if not any(start < other.end and other.start < end for other in taken):
                taken.append(Finding(kind=rule.kind, start=start, end=end, text=found))
    return tuple(sorted(taken, key=lambda finding: finding.start))


def pii(text: str | None) -> Screened:
    """Personal data in a text; `kind` names what kinds, `spans` quotes them. None where there is no text."""
    if not text or not text.strip():
        return UNREAD
    found = find_pii(text)
    if not found:
        return Screened(flagged=False)
    return Screened(
        flagged=True,
        spans=tuple(finding.text for finding in found),
        kind=", ".join(dict.fromkeys(finding.kind for finding in found)),
    )


def redact(text: str) -> str:
    """The text with every finding replaced by its kind in brackets; what is not found stays."""
    parts, at = [], 0
    for finding in find_pii(text):
        parts += [text[at : finding.start], f"[{finding.kind}]"]
        at = finding.end
    return "".join([*parts, text[at:]])


def _longest_iban(text: str, start: int, end: int) -> tuple[str, int]:
    """The longest beginning of a match that is an IBAN: a following word in capitals may have been caught with it."""
    for stop in range(end, start + 14, -1):
        if text[stop - 1].isalnum() and CHECKS["iban"](text[start:stop]):
            return text[start:stop], stop
    return "", end
