"""Messages with personal data planted at known places, in six countries' forms, and others that only look so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Message:
    """A text and what is planted in it: (kind, the words planted)."""

    text: str
    planted: tuple[tuple[str, str], ...]


def _digits(rng: Rng, n: int) -> str:
    return "".join(map(str, rng.integers(0, 10, n)))


def _pick(rng: Rng, *options: str) -> str:
    return options[int(rng.integers(len(options)))]


def _iban(rng: Rng) -> str:
    country, body = _pick(rng, "DE:18", "NL:ABNA10", "FR:23", "ES:20", "AT:16", "BE:12", "PL:24").split(":")
    account = body[:4] + _digits(rng, int(body[4:])) if body[0].isalpha() else _digits(rng, int(body))
    value = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    written = f"{country}{98 - value % 97:02d}{account}"
    if rng.random() < 0.6:
        written = " ".join(written[i : i + 4] for i in range(0, len(written), 4))
    return written


def _card(rng: Rng) -> str:
    body = _pick(rng, "4", "51", "55", "6011") + _digits(rng, 15)
    body = body[:15]
    total = sum(sum(divmod(int(d) * (1 + (i % 2 == 0)), 10)) for i, d in enumerate(body))
    number = body + str(-total % 10)
    gap = _pick(rng, " ", "-", "")
    return gap.join(number[i : i + 4] for i in range(0, 16, 4))


def _spanish(rng: Rng) -> str:
    number = int(rng.integers(10_000_000, 99_999_999))
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def _french(rng: Rng) -> str:
    body = f"{rng.integers(1, 3)}{rng.integers(40, 99):02d}{rng.integers(1, 13):02d}{rng.integers(10, 95):02d}{_digits(rng, 6)}"
    key = 97 - int(body) % 97
    return f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key:02d}"


def _brazilian(rng: Rng) -> str:
    d = [int(v) for v in rng.integers(0, 10, 9)]
    for _ in range(2):
        d.append(sum(v * w for v, w in zip(d, range(len(d) + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    s = "".join(map(str, d))
    return f"{s[:3]}.{s[3:6]}.{s[6:9]}-{s[9:]}"


def _american(rng: Rng) -> str:
    return f"{rng.integers(101, 660)}-{rng.integers(10, 99)}-{rng.integers(1000, 9999)}"


def _british(rng: Rng) -> str:
    letters = _pick(rng, "AB", "CE", "JR", "PX", "WM")
    d = _digits(rng, 6)
    return f"{letters} {d[:2]} {d[2:4]} {d[4:]} {_pick(rng, *'ABCD')}"


def _email(rng: Rng) -> str:
    name = _pick(rng, "anna.weber", "j_smith", "o.brien+news", "marie-claire", "info2024", "L.Rossi")
    return f"{name}@{_pick(rng, 'example.com', 'mail.example.de', 'firma-nord.example', 'ejemplo.es')}"


def _phone(rng: Rng) -> str:
    d = _digits(rng, 10)
    return _pick(
        rng,
        f"+49 30 {d[:8]}", f"+49 (0)171 {d[:7]}", f"+1 212-{rng.integers(200, 999)}-{d[:4]}", f"(415) 555-{d[:4]}",
        f"+33 6 {d[:2]} {d[2:4]} {d[4:6]} {d[6:8]}", f"+34 6{d[:2]} {d[2:5]} {d[5:8]}", f"0171 {d[:7]}",
        f"030/{d[:7]}", f"+44 20 7{d[:3]} {d[3:7]}", f"+39 02 {d[:8]}", f"06 {d[:2]} {d[2:4]} {d[4:6]} {d[6:8]}",
    )  # fmt: skip


def _address(rng: Rng) -> str:
    n = rng.integers(1, 200)
    return _pick(
        rng,
        f"{n} Maple Street", f"{n} Old Mill Road", f"Gartenstraße {n}", f"Am Lindenweg {n}".removeprefix("Am "),
        f"Hauptstr. {n}", f"{n} rue de la Paix", f"{n}, avenue Victor Hugo", f"Calle Mayor {n}", f"Via Roma {n}",
        f"{n} King Avenue", f"Plaza de España, {n}",
    )  # fmt: skip


def _person(rng: Rng) -> str:
    return _pick(rng, "Weber", "Anna Schmidt", "O'Neill", "Rossi", "García", "van der Berg".title(), "Lefèvre")


def _ip(rng: Rng) -> str:
    a = rng.integers(1, 224, 4)
    return _pick(rng, f"{a[0]}.{a[1]}.{a[2]}.{a[3]}", f"2001:db8:{a[0]:x}::{a[1]:x}")


PLANTS: dict[str, tuple[Callable[[Rng], str], tuple[str, ...]]] = {
    "email": (_email, ("Write to {x} please.", "Kontakt: {x}", "my address is {x}, thanks")),
    "phone": (_phone, ("Call me at {x}.", "Meine Nummer ist {x}", "Mon téléphone : {x}", "reach us on {x} after 5")),
    "iban": (_iban, ("Transfer it to {x} today.", "IBAN {x}", "Mein Konto ist {x}.")),
    "card": (_card, ("My card {x} was charged twice.", "Kartennummer {x}", "tarjeta {x}")),
    "spanish id": (_spanish, ("Mi DNI es {x}.", "DNI: {x}")),
    "french insurance number": (_french, ("Numéro de sécurité sociale {x}.",)),
    "brazilian id": (_brazilian, ("Meu CPF é {x}.",)),
    "american insurance number": (_american, ("My SSN is {x}.", "Social: {x}")),
    "british insurance number": (_british, ("NI number {x}", "My National Insurance number is {x}.")),
    "address": (_address, ("I live at {x} since May.", "Ship it to {x}, second floor.", "Adresse: {x}")),
    "person": (_person, ("Please ask Mrs {x} about it.", "Herr {x} hat angerufen.", "Mme {x} est absente.", "Dr. {x} said so.")),
    "ip address": (_ip, ("The login came from {x}.", "client {x} timed out")),
}  # fmt: skip


def _decoy(rng: Rng) -> str:
    number, a = _digits(rng, 16), rng.integers(1, 28, 4)
    wrong_card = _card(rng)
    wrong_card = wrong_card[:-1] + str((int(wrong_card[-1]) + int(rng.integers(1, 10))) % 10)
    wrong_iban = _iban(rng)
    wrong_iban = wrong_iban[:-1] + str((int(wrong_iban[-1]) + int(rng.integers(1, 10))) % 10)
    return _pick(
        rng,
        f"Order {number[:8]} shipped on 2025-{a[0] % 12 + 1:02d}-{a[1]:02d}.", f"Ticket 4{number[:9]} is closed.",
        f"Revenue rose to {a[0]},{number[:3]},{number[3:6]} EUR.", f"Release {a[0]}.{a[1]}.{a[2]} is out.",
        f"The test card {wrong_card} is rejected.", f"IBAN {wrong_iban} has a typo.",
        f"Meeting on {a[0]:02d}.{a[1] % 12 + 1:02d}.2025 at 10:30 in room {a[2]}.", f"Commit {rng.bytes(8).hex()} broke it.",
        f"The range is {a[0]}-{a[1]} and the ratio {a[2]}:{a[3]}.", f"Chapter {a[0]}, pages {number[:3]}-{number[3:6]}.",
        "The street was closed and the way back was long.", f"Between {number[:4]} and {number[4:8]} visitors came.",
        f"EAN 40{number[:11]} is out of stock.", f"SKU AB-{number[:6]}-C, batch {number[6:12]}.",
        "The doctor said that the lady in front of the house called.", f"Growth of {a[0]}.{a[1]} % over {a[2]} weeks.",
        f"Size {a[0]} x {a[1]} x {a[2]} cm, {number[:4]} grams.", f"utm_id=12{number[:10]} and session {rng.bytes(6).hex()}",
    )  # fmt: skip


def personal_messages(*, n: int, seed: int) -> list[Message]:
    """`n` messages: two thirds hold one planted piece beside a decoy, a third decoys alone."""
    rng = np.random.default_rng(seed)
    kinds = list(PLANTS)
    messages = []
    for i in range(n):
        sentences, planted = [_decoy(rng)], []
        if i % 3:
            kind = kinds[int(rng.integers(len(kinds)))]
            make, frames = PLANTS[kind]
            value = make(rng)
            sentences.insert(int(rng.integers(2)), _pick(rng, *frames).format(x=value))
            planted.append((kind, value))
        messages.append(Message(text=" ".join(sentences), planted=tuple(planted)))
    return messages
