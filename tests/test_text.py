"""Finding names in text: boundaries, folding, and scripts without word spaces."""

from __future__ import annotations

import pytest

from liftos_pipelines.text import Name, NameFinder, fold, read_json


def found(text: str, *names: Name) -> list[str]:
    return [hit.name for hit in NameFinder(list(names)).find(text)]


ACME = Name(name="Acme", aliases=("ACME Corp", "Acmé"))


@pytest.mark.parametrize(
    "text", ["Acme is fine", "I like ACME.", "acme's shoes", "(Acmé)", "ＡＣＭＥ", "the Acmes' fans"]
)
def test_spellings_of_a_name_are_found(text: str) -> None:
    assert found(text, ACME) == ["Acme"]


@pytest.mark.parametrize("text", ["Acmeology", "Placme", "acme2000", "the acmes", "", "something else"])
def test_a_longer_word_that_contains_the_name_is_not_the_name(text: str) -> None:
    assert found(text, ACME) == []


def test_the_longest_alias_wins_and_counts_once() -> None:
    hits = NameFinder([ACME]).find("ACME Corp sells")
    assert [(hit.name, hit.start, hit.end) for hit in hits] == [("Acme", 0, 9)]


@pytest.mark.parametrize("text", ["Coca-Cola", "coca cola", "Coca\u2011Cola", "COCA – COLA"])
def test_spaces_and_hyphens_within_a_name_are_interchangeable(text: str) -> None:
    assert found(text, Name(name="Coca-Cola")) == ["Coca-Cola"]
    assert found(text, Name(name="Drink", aliases=("coca cola",))) == ["Drink"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("我喜欢资生堂的产品", "资生堂"), ("ソニーは良い", "ソニー"), ("삼성은 좋다", "삼성"), ("ชอบซิงห์มาก", "ซิงห์")],
)
def test_names_in_unspaced_scripts_need_no_boundary(text: str, name: str) -> None:
    assert found(text, Name(name=name)) == [name]


def test_a_korean_name_inside_another_word_is_not_found() -> None:
    assert found("대삼성", Name(name="삼성")) == []


def test_latin_and_unspaced_names_are_found_together_in_reading_order() -> None:
    names = [Name(name="Sony"), Name(name="资生堂")]
    assert found("Sony 和资生堂, Sonya", *names) == ["Sony", "资生堂"]


def test_no_names_find_nothing() -> None:
    assert found("Acme") == []
    assert found("Acme", Name(name="")) == []


def test_folding_ascii_equals_folding_by_the_long_way() -> None:
    import unicodedata

    text = 'Hello WORLD\'s "A-Z" 0-9 ~`'
    assert fold(text) == unicodedata.normalize("NFKD", text).casefold()


def test_half_a_character_in_json_becomes_one_that_can_be_written() -> None:
    told = read_json(r'{"a": "\ud83d", "b": ["\ud83d\ude00", "\\ud83d", 1.5, null], "\udc00": {}}')
    assert told == {"a": "\ufffd", "b": ["\U0001f600", "\\ud83d", 1.5, None], "\ufffd": {}}
    with pytest.raises(ValueError, match="Expecting"):
        read_json("{")
