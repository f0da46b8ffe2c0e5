"""Prompts in a real MLflow registry: versions by content, aliases, and what a rollback goes back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftos_pipelines.resources.prompt_registry import (
    AliasMove,
    PromptError,
    PromptRegistry,
    previous_version,
    registered_name,
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> None:
    """Artefacts of these tests stay in their own home."""


def test_a_template_is_registered_once_and_a_changed_one_is_a_new_version(uri: str) -> None:
    registry = PromptRegistry(uri, "acme")
    assert [registry.register("ad", text, label=label) for text, label in (("a {{x}}", "v1"), ("b", "v2"))] == [1, 2]
    assert registry.register("ad", "a {{x}}", label="v1") == 1
    assert [(each.version, each.label, each.template) for each in registry.versions("ad")] == [
        (1, "v1", "a {{x}}"),
        (2, "v2", "b"),
    ]
    with pytest.raises(PromptError, match="not blank"):
        registry.register("ad", "  ")


def test_no_client_sees_anothers_prompts_even_where_names_look_alike(uri: str) -> None:
    PromptRegistry(uri, "a_b").register("offer", "mine", label="1")
    other = PromptRegistry(uri, "axb")
    other.register("offer / spring", "theirs", label="1")
    assert PromptRegistry(uri, "a_b").names() == ["offer"]  # `_` stands for any character in a search
    assert other.names() == ["offer / spring"]
    assert registered_name("axb", "offer / spring") != registered_name("axb", "offer _ spring")
    assert other.versions("offer") == []


def test_a_rollback_goes_back_step_by_step_and_says_when_nothing_is_left(uri: str) -> None:
    registry = PromptRegistry(uri, "acme")
    for text in ("one", "two", "three"):
        registry.register("chat", text, label=text)
    assert registry.alias("chat", "production") is None
    with pytest.raises(PromptError, match="production is not set"):
        registry.rollback("chat", by="kim", reason="worse")
    for version in (1, 2, 3):
        assert registry.set_alias("chat", "production", version, by="kim", reason="better").moved
    again = registry.set_alias("chat", "production", 3, by="kim", reason="better")
    assert (again.moved, again.number, again.from_version) == (False, 3, 3)
    assert [registry.rollback("chat", by="kim", reason="worse").to_version for _ in range(2)] == [2, 1]
    with pytest.raises(PromptError, match="nothing to roll back to: production has named version 1 only"):
        registry.rollback("chat", by="kim", reason="worse")
    assert [move.to_version for move in registry.history("chat", "production")] == [1, 2, 3, 2, 1]
    assert {each.version: each.aliases for each in registry.versions("chat")}[1] == ("production",)
    with pytest.raises(PromptError, match=r"version 9 is not registered \(it has 1, 2, 3\)"):
        registry.set_alias("chat", "production", 9, by="kim", reason="x")
    with pytest.raises(PromptError, match="who moves it and why"):
        registry.set_alias("chat", "production", 2, by="", reason="x")


def moves(*steps: tuple[int | None, int]) -> list[AliasMove]:
    return [AliasMove(name="p", alias="production", from_version=a, to_version=b) for a, b in steps]


@pytest.mark.parametrize(
    ("steps", "current", "before"),
    [
        ([(None, 1), (1, 2)], 2, 1),
        ([(None, 1), (1, 2), (2, 3)], 2, 1),  # the last move was noted and, after a crash, never made
        ([(None, 1), (1, 2)], 5, 2),  # moved by hand to 5, without a note
        ([(None, 1), (1, 2), (5, 3)], 3, 5),  # by hand to 5 in between
        ([(4, 1)], 1, 4),  # it named 4 before the first note
        ([(None, 1)], 1, None),
        ([], 3, None),
        ([(None, 1), (1, 2)], None, None),
    ],
)
def test_what_served_before_is_known_after_a_crash_and_after_a_move_by_hand(
    steps: list[tuple[int | None, int]], current: int | None, before: int | None
) -> None:
    assert previous_version(moves(*steps), current) == before
