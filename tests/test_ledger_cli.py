"""`liftos ledger`: verified live and offline, exported, proven, signed by new keys; wrong input named."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from liftos_pipelines.assets.agentic_audit import ledger_audit
from liftos_pipelines.checks import agentic_audit as checks
from liftos_pipelines.cli import app
from liftos_pipelines.resources.lake import LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.ledger_guards import disarm


def liftos(*words: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


@pytest.fixture
def spine(home: Path) -> Spine:
    for client in ("acme", "globex"):
        (home / "clients" / client).mkdir()
        (home / "clients" / client / "client.yaml").write_text(f"client: {client}\n")
    opened = open_spine()
    for number in range(5):
        kind = ("agent_decision", "agent_action")[number % 2]
        opened.append_ledger("acme", kind, "x", {"action_id": f"a{number // 2}"}, idempotency_key=str(number))
    return opened


def test_a_ledger_is_exported_and_verified_without_home_or_database(
    spine: Spine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, part = tmp_path / "audit", tmp_path / "part.jsonl"
    assert liftos("export", "acme", "--to", folder, "--csv").exit_code == 0
    assert liftos("export", "acme", "--to", part, "--kinds", "agent_action").exit_code == 0
    assert liftos("prove", "acme", 0, 3, "--to", tmp_path / "proof.jsonl").exit_code == 0
    witness = tmp_path / "witness" / "acme.jsonl"
    assert liftos("prove", "acme", "--since", witness, "--to", tmp_path / "since.jsonl").exit_code == 0
    assert "RFC 6962" in (folder / "README.md").read_text()
    assert "{" not in (folder / "README.md").read_text()
    assert len((folder / "ledger.csv").read_text().splitlines()) == 6
    (key,) = (folder / "keys").iterdir()
    elsewhere = tmp_path_factory.mktemp("auditor")
    monkeypatch.setenv("LIFTOS_HOME", str(elsewhere))
    for file in (folder, part, tmp_path / "proof.jsonl", tmp_path / "since.jsonl"):
        told = liftos("verify", "acme", "--file", file, "--public-key", key, "--witness", witness)
        assert (told.exit_code, "holds" in told.output) == (0, True), told.output
    assert not any(elsewhere.iterdir())
    file = folder / "ledger.jsonl"
    file.write_text(file.read_text().replace('"actor":"x"', '"actor":"y"', 1))
    told = liftos("verify", "acme", "--file", file, "--public-key", key)
    assert told.exit_code == 1
    assert "broken at entry 0" in told.output


def test_a_broken_ledger_says_where_and_since_when(spine: Spine) -> None:
    assert "signed to the last" in liftos("verify", "acme").output
    with spine.engine.begin() as connection:
        disarm(connection)
        connection.exec_driver_sql("UPDATE ledger SET body = '{}' WHERE position = 3")
    told = liftos("verify", "acme")
    assert told.exit_code == 1
    assert "broken at entry 3" in told.output
    assert "Last known good: entry 2 by the checkpoint of" in told.output
    assert json.loads(liftos("verify", "acme", "--json").output)["last_good_position"] == 2


def test_a_copy_of_the_database_where_no_key_is_leaves_signatures_unknown(
    spine: Spine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIFTOS_KEYS", str(tmp_path / "nothing"))
    told = liftos("verify", "acme")
    assert (told.exit_code, "signatures unknown" in told.output) == (0, True)
    assert not json.loads(liftos("verify", "acme", "--json").output)["signed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "acme", "--file", "nowhere.jsonl"), "no such file"),
        (("verify", "acme", "--witness", "nowhere.jsonl"), "no such file"),
        (("verify", "acme", "--public-key", "nowhere.pem"), "no public key"),
        (("export", "globex", "--to", "x.jsonl"), "empty"),
        (("checkpoint", "globex"), "empty"),
        (("prove", "acme", "--to", "x.jsonl"), "say what to prove"),
        (("prove", "acme", 77, "--to", "x.jsonl"), "not there"),
        (("retire", "acme", "--before", "soon"), "no ISO date"),
        (("retire", "acme", "--before", "2999-01-01"), "kept for 183 days"),
        (("list", "nobody"), "no client"),
    ],
)
def test_wrong_input_is_named(
    spine: Spine, words: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = liftos(*words)
    assert told.exit_code == 1  # `main` turns it into one line and exit code 2
    assert said in str(told.exception)


def test_keys_are_listed_handed_over_and_exported(spine: Spine, tmp_path: Path) -> None:
    assert "signs: acme" in liftos("keys", "list").output
    assert "signs from now on: acme" in liftos("keys", "rotate", "--by", "eve", "--reason", "yearly").output
    assert liftos("verify", "acme").exit_code == 0
    assert liftos("keys", "export", "--to", tmp_path / "public").exit_code == 0
    assert len(list((tmp_path / "public").iterdir())) == 2
    assert "ledger_key_endorsed by eve" in liftos("show", "acme").output
    assert "nothing to retire" in liftos("retire", "acme", "--before", "2020-01-01").output


def test_the_audit_signs_tells_what_decisions_lack_and_says_why_it_could_not_sign(
    spine: Spine, instance: dg.DagsterInstance, home: Path
) -> None:
    if not instance.get_dynamic_partitions("clients"):
        instance.add_dynamic_partitions("clients", ["acme"])

    def run() -> dict[str, dg.AssetCheckEvaluation]:
        defs = dg.Definitions(
            assets=[ledger_audit],
            asset_checks=[checks.ledger_verified, checks.ledger_signed, checks.decisions_accountable],
            resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource()},
        )
        job = defs.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(instance=instance, partition_key="acme", raise_on_error=False)
        return {each.check_name: each for each in done.get_asset_check_evaluations()}

    found = run()
    assert {name: each.passed for name, each in found.items()} == {
        "ledger_verified": True, "ledger_signed": True, "decisions_accountable": False,
    }  # fmt: skip
    assert "0:agent_decision lacks inputs" in str(found["decisions_accountable"].metadata["lacking"].value)
    for file in (home / "keys").glob("*.pem"):
        if not file.name.endswith(".pub.pem"):
            file.unlink()
    spine.append_ledger("acme", "agent_action", "x", {}, idempotency_key="more")
    found = run()
    assert found["ledger_verified"].passed
    assert not found["ledger_signed"].passed
    assert "Put it back from a backup" in str(found["ledger_signed"].metadata["why_not"].value)


def test_an_entry_is_one_line_with_a_hash_to_explain_and_a_misspelt_kind_is_named(spine: Spine) -> None:
    told = liftos("list", "acme")
    lines = told.stdout.splitlines()
    assert told.exit_code == 0
    assert len(lines) == len(spine.ledger("acme"))
    assert all(
        entry.entry_hash[:12] in line and len(line) < 260
        for entry, line in zip(spine.ledger("acme"), lines, strict=True)
    )
    whole = json.loads(liftos("list", "acme", "--json", "--limit", 1).stdout)
    newest = spine.ledger("acme")[-1]
    assert (whole["entry_hash"], whole["body"]) == (newest.entry_hash, newest.content)
    for words in (("list", "acme"), ("export", "acme", "--to", "x.jsonl")):
        assert "no entry has the kind agent_decison; there are " in str(
            liftos(*words, "--kinds", "agent_decison").exception
        )
