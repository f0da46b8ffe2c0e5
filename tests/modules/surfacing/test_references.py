"""Citations in the forms that assistants write them."""

from __future__ import annotations

import pytest

from liftos_pipelines.modules.surfacing.answers.answer import Answer, parse_answer

TWO = ["https://acme.example/1", "https://globex.example/2"]


def cited(answer: Answer) -> list[tuple[int, ...]]:
    return [sentence.citations for sentence in answer.sentences]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme is good [1].", [(1,)]),
        ("Acme is good [1][2].", [(1, 2)]),
        ("Acme is good.[1][2] It lasts.", [(1, 2), ()]),
        ("Acme is good [1, 2].", [(1, 2)]),
        ("Acme is good [1-2].", [(1, 2)]),
        ("Acme is good [^1].", [(1,)]),
        ("Acme is good [^1^].", [(1,)]),
        ("Acme is good 【1†source】.", [(1,)]),
        ("Acme is good 【1†L3-L9】【2†source】.", [(1, 2)]),
        ("Acme is good.¹ It lasts.²", [(1,), (2,)]),
        ("Acme is good<sup>1</sup>.", [(1,)]),
        ("Acme is good ([Some Magazine][1]).", [(1,)]),
        ("Acme is good ([Some Magazine][1], [Other][2]).", [(1, 2)]),
        ("Acme is good ([source](https://acme.example/1)).", [(1,)]),
        ("Acme is good [[1]](https://acme.example/1).", [(1,)]),
        ("Acme is good [acme.example](https://acme.example/1).", [(1,)]),
        ("Acme is good https://globex.example/2", [(2,)]),
        ("Acme is good. :contentReference[oaicite:0]{index=0}", [(1,)]),
        ("Acme is good.\n[1]", [(1,)]),
    ],
)
def test_a_reference_points_to_its_source(text: str, expected: list[tuple[int, ...]]) -> None:
    answer = parse_answer(text, TWO)
    assert cited(answer) == expected
    assert answer.hallucinated == 0
    assert len(answer.cited_pages) == 2
    assert answer.sentences[0].text.startswith("Acme is good")
    assert "[" not in answer.sentences[0].text


@pytest.mark.parametrize(
    "text",
    [
        'Acme is good [1].\n\n[1]: https://acme.example/1 "Acme"',
        "Acme is good [1].\n\n[1] https://acme.example/1",
        "Acme is good [1].\n\n[1] The title - https://acme.example/1",
        "Acme is good[^1].\n\n[^1]: https://acme.example/1",
        "Acme is good [1].\n\nSources:\n1. Globex Review – https://acme.example/1",
        "Acme is good [1].\n\n### References\n1. [Globex Review](https://acme.example/1)",
        "Acme is good [1].\n\n**Quellen**\n- https://acme.example/1",
    ],
)
def test_a_source_list_in_the_text_defines_the_numbers_and_is_no_prose(text: str) -> None:
    answer = parse_answer(text, None)
    assert list(answer.cited_pages) == ["acme.example/1"]
    assert cited(answer) == [(1,)]
    assert answer.hallucinated == 0


def test_zero_and_numbers_beyond_the_list_are_hallucinated() -> None:
    answer = parse_answer("Good [0]. Better [3]. Best.⁷ Fine [1-3].", TWO)
    assert answer.hallucinated == 4


def test_units_and_powers_are_no_references() -> None:
    answer = parse_answer("It covers 50 m² and 20 ft³.", TWO)
    assert cited(answer) == [()]
    assert answer.hallucinated == 0


def test_names_in_labels_and_addresses_are_not_read_as_prose() -> None:
    text = "It is good ([Globex Magazine][1]). See https://initech.example/hooli (Source: Umbrella Post)."
    assert all(
        name not in sentence.text
        for sentence in parse_answer(text, TWO).sentences
        for name in ("Globex", "initech", "hooli", "Umbrella")
    )
    assert "Best Buy" in parse_answer("Buy it at [Best Buy](https://bestbuy.example/x).", TWO).sentences[0].text
