"""Topics by keywords: found in eight languages, false friends between languages told apart, fast, never raising."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.sentiment.reading.topics import topics_of
from liftos_pipelines.templates.loader import load_template

RETAIL = load_template("retail").topics


def one(text: str, topics: Mapping[str, tuple[str, ...]] = RETAIL) -> list[str]:
    return topics_of([text], topics)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The price was fair but shipping took three weeks.", ["price", "delivery"]),
        ("Customer support never answered my refund request", ["service", "returns"]),
        ("Der Preis stimmt, aber die Expresslieferung kam nie an.", ["price", "delivery"]),
        ("Zu TEUER und der Kundendienst ist unfreundlich", ["price", "service"]),
        ("Die Rücksendung war einfach, Geld zurück nach zwei Tagen", ["returns"]),
        ("La livraison est rapide mais le service client ne répond pas", ["service", "delivery"]),
        ("Toujours en rupture de stock, et trop cher", ["price", "stock"]),
        ("El envío llegó tarde y la atención al cliente fatal", ["service", "delivery"]),
        ("Me pidieron la contraseña dos veces, es una estafa", ["app_website", "trust"]),
        ("La consegna è in ritardo e il prezzo è aumentato", ["price", "delivery"]),
        ("Ho chiesto il rimborso, il sito non funziona", ["app_website", "returns"]),
        ("O frete é caro demais e o atendimento péssimo", ["price", "service", "delivery"]),
        ("A devolução demorou, produto com defeito", ["quality", "returns"]),
        ("والسعر غالي جدا", ["price"]),
        ("خدمتهم سيئة والتوصيل متأخر", ["service", "delivery"]),
        ("الجودة ممتازة", ["quality"]),
        ("Bahut mehnga hai aur quality bhi kharab", ["price", "quality"]),
        ("paise wapas nahi mile, dhokha hai", ["trust", "returns"]),
        ("Recycled plastic packaging, I love it", ["sustainability"]),
        ("Just a nice day at the lake", []),
        ("", []),
    ],
)
def test_a_topic_is_found_in_each_language(text: str, expected: list[str]) -> None:
    assert one(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "La sala era piena di sale da cucina",  # it sale: salt
        "Eine gute Reise, das Bad war fast leer",  # de bad: bath, fast: almost
        "Fuimos a la costa a las once",  # es costa: coast, once: eleven
        "Tenho medo de baratas e a mala é bonita",  # pt baratas: cockroaches, mala: suitcase
        "Mon chat lit un livre, le pain est bon",  # fr livre: book, lit: bed
        "Buenas tardes a todos",  # es tarde: afternoon
        "Lewis gagne le Grand Prix de Monaco",  # not a price
        "L'articolo sul Corriere della Sera",  # a newspaper, not a courier
        "le développement durant l'été",
        "app kaise ho bhai, app log aao",  # hi app (aap): you
        "Sie hat Anzeige erstattet",
        "a precious moment with a demoralised team",  # precio, demora
    ],
)
def test_a_false_friend_is_no_topic(text: str) -> None:
    assert one(text) == []
    assert one("hum khana khate hain aur baat karte rehte hain", load_template("finance").topics) == []


def test_the_longest_keyword_wins() -> None:
    topics = {"lending": ("credit",), "payments": ("credit card",), "app": ("*konto", "kontonummer*")}
    assert one("my credit card", topics) == ["payments"]
    assert one("my credit, my credit card", topics) == ["lending", "payments"]
    assert one("Das Girokonto", topics) == ["app"]


def test_a_keyword_matches_words_not_parts_of_them() -> None:
    topics = {"price": ("cost", "cheap*")}
    assert one("Costa Rica, accosted", topics) == []
    assert one("the cheapest cost-free offer", topics) == ["price"]
    assert one("#cost_control", topics) == ["price"]


def test_a_keyword_without_a_word_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r'topic "price": keyword "!"'):
        topics_of(["x"], {"price": ("!",)})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=400)), max_size=5))
def test_no_text_raises(texts: list[str | None]) -> None:
    found = topics_of(texts, RETAIL)
    assert len(found) == len(texts)
    assert all(set(topics) <= set(RETAIL) for topics in found)


def test_twenty_thousand_texts_a_second() -> None:
    texts = [f"Order {i}: the delivery to Lyon took {i % 9} days, prix correct, Qualität gut" for i in range(20_000)]
    topics_of(texts[:100], RETAIL)
    start = time.process_time()
    topics_of(texts, RETAIL)
    assert 20_000 / (time.process_time() - start) > 20_000
