"""`liftos prompt` on a real registry and ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from liftos_pipelines import settings
from liftos_pipelines.prompt_cli import prompt_app
from liftos_pipelines.resources.prompt_registry import PromptRegistry
from liftos_pipelines.resources.spine import open_spine

WHO = ["--by", "kim", "--reason", "fewer errors"]


@pytest.fixture
def acme(home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> PromptRegistry:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text("client: acme\n")
    monkeypatch.setenv("LIFTOS_MLFLOW_URI", f"sqlite:///{home / 'mlflow.db'}")
    registry = PromptRegistry(settings.mlflow_uri(), "acme")
    registry.register("ad copy", "Write an ad.\nBe honest.", label="v1")
    registry.register("ad copy", "Write an ad.\nBe brief.", label="v2")
    return registry


def liftos(*arguments: str) -> Result:
    return CliRunner().invoke(prompt_app, list(arguments))


def test_a_prompt_is_listed_compared_promoted_and_rolled_back_and_the_ledger_knows(acme: PromptRegistry) -> None:
    assert "ad copy" in liftos("list", "acme").output
    compared = liftos("diff", "acme", "ad copy", "v1", "2").output
    assert "-Be honest." in compared
    assert "+Be brief." in compared
    assert "production nothing -> 1" in liftos("promote", "acme", "ad copy", "v1", *WHO).output
    nothing = liftos("rollback", "acme", "ad copy", *WHO)
    assert (nothing.exit_code, "nothing to roll back to" in nothing.output) == (1, True)
    assert "production 1 -> 2" in liftos("promote", "acme", "ad copy", "v2", *WHO).output
    assert "names version 2 already" in liftos("promote", "acme", "ad copy", "2", *WHO).output
    shown = liftos("show", "acme", "ad copy").output
    assert "version 2 (label v2) [production]" in shown
    assert "Be brief." in shown
    assert "production 2 -> 1" in liftos("rollback", "acme", "ad copy", *WHO).output
    moves = [entry for entry in open_spine().ledger("acme") if entry.kind == "prompt_alias_moved"]
    assert [(entry.content["from_version"], entry.content["to_version"]) for entry in moves] == [
        (None, 1),
        (1, 2),
        (2, 1),
    ]
    assert {(entry.actor, entry.content["reason"]) for entry in moves} == {("kim", "fewer errors")}
    # A ledger entry that a crash kept back is written when the command is repeated.
    acme.set_alias("ad copy", "candidate", 2, by="kim", reason="try")
    assert "already" in liftos("promote", "acme", "ad copy", "2", "--alias", "candidate", *WHO).output
    assert open_spine().ledger("acme")[-1].content["alias"] == "candidate"
    for arguments, said in (
        (("show", "acme", "add copy"), 'Did you mean "ad copy"?'),
        (("promote", "acme", "ad copy", "v7", *WHO), "there is 1 (v1), 2 (v2)"),
    ):
        refused = liftos(*arguments)
        assert (refused.exit_code, said in refused.output) == (1, True)
