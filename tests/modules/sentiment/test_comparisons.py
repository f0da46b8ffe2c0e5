"""Who is better than whom, read from sentences of our own; and no relation where none is stated."""

from __future__ import annotations

import pytest
from target_sentences import COMPARISONS, CONTRASTS, TOGETHER

from liftos_pipelines.modules.sentiment.reading.comparisons import comparisons
from liftos_pipelines.text import Name, NameFinder, fold

FINDER = NameFinder([Name(name="Acme"), Name(name="Globex"), Name(name="Initech")])


def said(text: str) -> dict[str, str]:
    return dict(comparisons(fold(text), FINDER.find(text)))


@pytest.mark.parametrize(("language", "text", "expected"), COMPARISONS)
def test_a_comparison_names_the_better_and_the_worse(language: str, text: str, expected: dict[str, str]) -> None:
    assert said(text) == {name: "better" if sign == "+" else "worse" for name, sign in expected.items()}


@pytest.mark.parametrize("text", [row[1] for row in (*CONTRASTS, *TOGETHER)])
def test_sentences_that_compare_nobody_give_no_relation(text: str) -> None:
    assert said(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "Acme is not better than Globex",
        "Acme isn't any worse than Globex",
        "Nothing beats Acme",
        "Is it better to go? Acme asked. More than once. Globex said so.",
        "Acme is better. Globex is bigger than Initech.",
        "Acme better, Acme than Acme",
        "Acme n'est pas meilleur que Globex",
        "Acme non è meglio di Globex",
        "Acme ist nicht besser als Globex",
    ],
)
def test_negated_and_unrelated_comparatives_state_nothing(text: str) -> None:
    assert said(text) == {}


def test_a_name_compared_both_ways_is_left_out() -> None:
    assert said("Acme is better than Globex. Initech is better than Acme.") == {"Globex": "worse", "Initech": "better"}
