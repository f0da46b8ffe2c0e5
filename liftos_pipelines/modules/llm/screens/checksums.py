"""Check digits of account, card and identity numbers, as their issuers publish them.

A number that fails its check is not one of its kind: that keeps order numbers out. Sources: ISO 13616 (IBAN), ISO/IEC
7812-1 (cards, Luhn 1960), and the public descriptions of each country's identity number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IS": 26, "IT": 27, "LI": 21,
    "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SA": 24,
    "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip


def iban(text: str) -> bool:
    """An IBAN of a listed country, of its length, whose remainder by 97 is 1; spaces allowed."""
    compact = re.sub(r"\s", "", text).upper()
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def card(text: str) -> bool:
    """A payment card: 14 to 19 digits of a known network's first digits that pass Luhn's test."""
    digits = re.sub(r"[ -]", "", text)
    return bool(re.fullmatch(r"(?:3[0-9]|4\d|5[0-9]|6[0-9]|2[2-7])\d{12,17}", digits)) and luhn(digits)


def luhn(digits: str) -> bool:
    """Luhn's test (1960): every second digit from the right doubled, the sum divisible by ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def german_tax_id(text: str) -> bool:
    """Steuer-Identifikationsnummer: eleven digits, ISO 7064 mod 11,10, one digit repeated in the first ten."""
    digits = re.sub(r"[ /]", "", text)
    if not re.fullmatch(r"[1-9]\d{10}", digits) or len(set(digits[:10])) not in (8, 9):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def spanish_id(text: str) -> bool:
    """DNI or NIE: the letter is the number's remainder by 23."""
    compact = re.sub(r"[ .-]", "", text).upper()
    match = re.fullmatch(r"([XYZ]?\d{7,8})([A-Z])", compact)
    if match is None or len(compact) != 9:
        return False
    number = int(match[1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == match[2]


def french_insurance_number(text: str) -> bool:
    """Numéro de sécurité sociale: 13 digits (2A and 2B for Corsica) and a key, 97 less the remainder by 97."""
    compact = re.sub(r"\s", "", text).upper()
    match = re.fullmatch(r"([12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2A|2B)\d{6})(\d{2})", compact)
    if match is None:
        return False
    number = int(match[1].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(match[2])


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
            10, 22, 25, 24, 23,
        ),
        strict=True,
    )
)  # fmt: skip


def italian_tax_code(text: str) -> bool:
    """Codice fiscale: sixteen signs, the last a letter from the sum of the others."""
    compact = text.upper()
    if not re.fullmatch(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", compact):
        return False
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in compact[1:15:2])
    return chr(65 + (sum(_ODD[c] for c in compact[0:15:2]) + even) % 26) == compact[15]


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=False))


def dutch_citizen_number(text: str) -> bool:
    """BSN: nine digits that pass the eleven test."""
    return bool(re.fullmatch(r"\d{9}", text)) and _weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def polish_id(text: str) -> bool:
    """PESEL: eleven digits, weights 1 3 7 9, and a month that exists."""
    if not re.fullmatch(r"\d{11}", text) or not 1 <= int(text[2:4]) % 20 <= 12 or not 1 <= int(text[4:6]) <= 31:
        return False
    return (10 - _weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(text[10])


def brazilian_id(text: str) -> bool:
    """CPF: eleven digits with two check digits, not all the same."""
    digits = re.sub(r"[.-]", "", text)
    if not re.fullmatch(r"\d{11}", digits) or len(set(digits)) == 1:
        return False
    first = _weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def american_insurance_number(text: str) -> bool:
    """SSN: three groups, none of them zero, no area 666 or from 900. It has no check digit."""
    match = re.fullmatch(r"(\d{3})[- ](\d{2})[- ](\d{4})", text)
    return bool(match) and match is not None and match[1] not in ("000", "666") and match[1] < "900" and (
        match[2] != "00" and match[3] != "0000"
    )  # fmt: skip


def british_insurance_number(text: str) -> bool:
    """National Insurance number: two letters that are issued, six digits, A to D. It has no check digit."""
    compact = re.sub(r"\s", "", text).upper()
    issued = re.fullmatch(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", compact)
    return issued is not None


CHECKS: dict[str, Callable[[str], bool]] = {
    "iban": iban,
    "card": card,
    "german tax id": german_tax_id,
    "spanish id": spanish_id,
    "french insurance number": french_insurance_number,
    "italian tax code": italian_tax_code,
    "dutch citizen number": dutch_citizen_number,
    "polish id": polish_id,
    "brazilian id": brazilian_id,
    "american insurance number": american_insurance_number,
    "british insurance number": british_insurance_number,
}
