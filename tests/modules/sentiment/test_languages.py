"""Which language, whether two are mixed, and languages that the model does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liftos_pipelines.modules.sentiment.reading.languages import UNKNOWN, code_mixed, covered, identify
from liftos_pipelines.modules.sentiment.reading.model import LANGUAGES
from liftos_pipelines.resources.sentiment_model import labelled_validation, packaged_model, second_identifier

OTHERS = {
    "nl": ["De jas is erg mooi maar de levering duurde veel te lang", "Wat een leuke dag vandaag, lekker weer ook"],
    "pl": ["Kurtka jest bardzo dobra, ale dostawa trwała za długo", "Nie polecam tego sklepu nikomu"],
    "tr": ["Ceket çok güzel ama teslimat çok uzun sürdü", "Bu mağazadan hiç memnun değilim"],
    "sv": ["Jag tycker att den nya jackan är väldigt bra", "Varför svarar ingen i telefonen"],
    "fi": ["Takki on todella hyvä mutta toimitus kesti liian kauan", "Miksi kukaan ei vastaa puhelimeen"],
    "cs": ["Bunda je velmi dobrá, ale doručení trvalo příliš dlouho", "Proč nikdo nezvedá telefon"],
    "hu": ["A kabát nagyon jó, de a szállítás túl sokáig tartott", "Miért nem veszi fel senki a telefont"],
    "ja": ["この店は最悪でした、二度と買いません"],
    "ru": ["Куртка хорошая, но доставка слишком долгая"],
    "fa": ["کیفیت محصول عالی بود ممنون", "این فروشگاه خیلی بد است و دیگر نمی‌خرم"],
}


def found(*texts: str) -> list[str]:
    return identify(texts, packaged_model().language_probabilities(texts), second_identifier())


def test_romanised_hindi_is_told_from_english() -> None:
    hindi = [
        "yaar ye phone bahut achha hai",
        "mujhe ye service bilkul pasand nahi aayi",
        "kal delivery aayegi kya bhai",
        "paisa vasool product, maza aa gaya",
        "bakwas app hai, time waste mat karo",
    ]
    english = ["my phone is really good", "i did not like this service", "will the parcel come tomorrow, mate"]
    assert found(*hindi) == ["hi"] * 5
    assert found(*english) == ["en"] * 3
    # The identifier without romanised Hindi knows none of them.
    assert "hi" not in [second_identifier()(text)[0] for text in hindi]


def test_a_language_the_model_does_not_know_is_not_called_one_of_the_eight() -> None:
    texts = [text for several in OTHERS.values() for text in several]
    wrong = [(text, code) for text, code in zip(texts, found(*texts), strict=True) if code in LANGUAGES]
    assert len(wrong) <= 1, wrong
    # The model's own head alone must choose one of its eight, always.
    alone = np.asarray(LANGUAGES)[packaged_model().language_probabilities(texts).argmax(axis=1)]
    assert len(alone) == len(texts)


@pytest.mark.parametrize("text", ["", "ok", "123", "😡😡", "@a http://b.example"])
def test_too_little_text_stays_unknown(text: str) -> None:
    assert found(text) == [UNKNOWN]


def test_hindi_in_its_own_script_is_hindi_but_not_covered() -> None:
    text = "यह बहुत खराब सेवा है मुझे पसंद नहीं"
    assert found(text)[0] in ("hi", UNKNOWN)
    assert not covered("hi", text)
    assert covered("hi", "yeh bahut kharab seva hai")


MIXED = [
    "bhai mujhe ye phone nahi chahiye because it was not what they told me yesterday",
    "hoy estoy muy cansado pero then she said that we should go back with them",
    "ich weiß nicht warum aber je ne sais pas pourquoi ils ont fait ça",
    "اليوم رحت الى المطعم الجديد and the food was really very bad",
]
PLAIN = [
    "they told me yesterday that it was not what we should have bought",
    "hoy estoy muy cansado pero mañana voy a trabajar con ellos otra vez",
    "love diese neue Jacke, die ist echt nice und sie passt mir auch",
    "bhai ye offer mast hai, sab dosto ko batao aur jaldi se lelo",
    "اليوم رحت الى المطعم الجديد في دبي مول iphone",
]


def test_a_mixed_text_has_two_languages_and_a_loan_word_does_not_mix_it() -> None:
    lexicon = packaged_model().lexicon
    assert code_mixed(MIXED, lexicon).all()
    assert not code_mixed(PLAIN, lexicon).any()
    assert code_mixed([], lexicon).shape == (0,)


def test_few_published_texts_are_called_mixed(shared_data: Path) -> None:
    held = labelled_validation(shared_data)
    mixed = code_mixed(held.texts, packaged_model().lexicon)
    codes = np.asarray(held.languages)
    assert mixed[codes != "hi"].mean() < 0.02
    halves = [
        " ".join([*a.split()[:10], *b.split()[:10]])
        for a, b, one, other in zip(held.texts, held.texts[700:], codes, codes[700:], strict=False)
        if one != other and len(a.split()) > 9 < len(b.split())
    ]
    assert code_mixed(halves, packaged_model().lexicon).mean() > 0.3


def test_languages_of_the_published_sets_are_found(shared_data: Path) -> None:
    held = labelled_validation(shared_data)
    codes = np.asarray(held.languages)
    right = np.asarray(found(*held.texts)) == codes
    assert right.mean() >= 0.965
    assert right[codes == "hi"].mean() >= 0.80
    assert right[codes != "hi"].mean() >= 0.98
