"""`liftos policy`: in words, checked, explained, back-tested, with exit codes that a pipeline can use."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines import settings
from liftos_pipelines.cli import app
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.tables import table

CLIENT = "acme"
START = datetime(2025, 3, 3, 9, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIFTOS_HOME", str(tmp_path))
    folder = tmp_path / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\nbrand: {{name: Acme, domains: [acme.example]}}\n")
    agent = {
        "agent_id": "a", "type": "budget_allocator", "owner": "o", "purpose": "p", "version": "1", "stage": "live", "capabilities": [],
    }  # fmt: skip
    calls = [("shift_budget", {"amount": 500}), ("read_customer", {}), ("send_mail", {"to": "x@vendor.example"})]
    rows = [
        {"run_id": "r1", "agent_id": "a", "step": i, "at": START + timedelta(minutes=i), "kind": "tool_call", "tool": tool,
         "arguments": json.dumps(arguments)}
        for i, (tool, arguments) in enumerate(calls, start=1)
    ]  # fmt: skip
    lake = Lake(settings.lake_uri())
    for name, found in (("sources/agents", [agent]), ("sources/agent_steps", rows)):
        columns = table(name).columns
        full = [{column: row.get(column) for column in columns} for row in found]
        lake.write(CLIENT, name, pl.DataFrame(full, schema=columns, orient="row"))
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["policy", *words], catch_exceptions=False)
    return found.exit_code, found.output


def changed(home: Path, text: str) -> str:
    file = home / "new.yaml"
    file.write_text(text)
    return str(file)


def test_show_says_it_in_words(home: Path) -> None:
    code, said = run("show", CLIENT)
    assert code == 0
    assert "argument to not at acme.example" in said
    assert "What no rule decides needs one person's approval." in said


def test_check_names_every_problem_and_warnings_fail_when_asked(home: Path) -> None:
    code, said = run("check", changed(home, "extends: default\nrules:\n- {name: r, decision: deni, when: {tol: x}}\n"))
    assert code == 2
    assert said.count("error: ") == 2
    assert 'closest: "tool"' in said
    rules = "- {name: weak, decision: allow, when: {tool: notify}}\n- {name: strong, decision: deny, when: {tool: 'not*'}}\n"
    file = changed(home, f"extends: default\nrules:\n{rules}")
    assert run("check", file)[0] == 0
    code, said = run("check", file, "--strict")
    assert code == 1
    assert "never decides" in said
    assert run("check", CLIENT)[0] == 0


def test_check_of_a_client_knows_its_agents(home: Path) -> None:
    folder = home / "clients" / CLIENT
    (folder / "client.yaml").write_text(f"client: {CLIENT}\npolicies: policies.yaml\n")
    (folder / "policies.yaml").write_text(
        "extends: default\nrules:\n- {name: r, decision: deny, when: {agent: aa, tool: notify}}\n"
    )
    code, said = run("check", CLIENT)
    assert code == 2
    assert 'agent "aa" is not in the registry' in said


def test_explain_says_which_rule_and_what_kept_the_others_off(home: Path) -> None:
    code, said = run("explain", CLIENT, "r1", "3")
    assert code == 0
    assert "deny by personal_data_stays_inside" in said
    assert "reversible_and_small: it can be undone" in said
    assert run("explain", CLIENT, "r1", "7")[0] == 1


def test_test_shows_what_would_change_and_fails_when_asked(home: Path) -> None:
    tighter = changed(
        home, "extends: default\nrules:\n- {name: t, decision: needs_approval, when: {amount: {above: 100}}}\n"
    )
    code, said = run("test", CLIENT, tighter)
    assert code == 0
    assert "1 of 3 decisions change" in said
    assert run("test", CLIENT, tighter, "--fail-on-change", "any")[0] == 1
    assert run("test", CLIENT, tighter, "--fail-on-change", "looser")[0] == 0
    assert "0 of 0 decisions change" in run("test", CLIENT, tighter, "--since", "2026-01-01")[1]
    looser = changed(home, "tools: {shift_budget: {}}\nrules:\n- {name: all, decision: allow, when: {tool: '*'}}\n")
    code, said = run("test", CLIENT, looser, "--format", "json", "--fail-on-change", "looser")
    told = json.loads(said)
    assert code == 0, "read_customer and send_mail are no longer declared, which is stricter"
    assert {row["rule"] for row in told["by_rule"]} == {"unknown_tool"}
    open_all = changed(
        home,
        "extends: default\nrules:\n- {name: ads, decision: allow, when: {tool: send_mail}}\ncapabilities: ignore\n",
    )
    assert run("test", CLIENT, open_all, "--fail-on-change", "looser")[0] == 0, "the deny is stronger"
