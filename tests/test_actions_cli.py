"""`liftos actions` on a real ledger: shown, seen beforehand, taken back once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from liftos_pipelines.cli import app
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.database import LedgerNote

CLIENT, SHIFT, ASK = "acme", "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def ledger(home: Path) -> None:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    arguments = {"from_channel": "tv", "to_channel": "search", "amount": 50.0, "currency": "EUR"}
    notes = []
    for action_id, decision in ((SHIFT, "allow"), (ASK, "needs_approval")):
        body = {
            "action_id": action_id,
            "event_id": "e1",
            "agent_id": "pacer",
            "proposed_at": datetime(2025, 9, 20, tzinfo=UTC).isoformat(),
            "action": "shift_budget",
            "arguments": json.dumps(arguments),
            "context": "c",
            "decision": decision,
            "policy": "small",
            "reason": "r",
            "policy_version": "v",
        }
        notes.append(LedgerNote("agent_decision", "pacer", body, f"{action_id}:decision"))
    done = {"action_id": SHIFT, "action": "shift_budget", "status": "executed", "outcome": "written"}
    notes.append(LedgerNote("agent_action", "pacer", done, f"{SHIFT}:executed"))
    open_spine().append_ledger_many(CLIENT, notes)


def liftos(*words: str) -> Result:
    return CliRunner().invoke(app, ["actions", *words])


def undo(action: str) -> Result:
    return liftos("undo", CLIENT, action, "--by", "eve", "--reason", "booked twice")


def plans(home: Path) -> list[str]:
    return sorted(file.name for file in home.rglob("plans/*.json"))


def test_actions_are_listed_with_where_they_stand() -> None:
    lines = liftos("list", CLIENT).output.splitlines()
    assert len(lines) == 2
    assert "shift_budget by pacer: allow by small" in next(line for line in lines if SHIFT[:12] in line)
    assert [
        ASK[:12] in line for line in liftos("list", CLIENT, "--status", "awaiting_approval").output.splitlines()
    ] == [True]
    assert liftos("list", CLIENT, "--status", "failed").output.strip() == "no action is failed"


def test_a_dry_run_says_what_would_happen_and_writes_nothing(home: Path) -> None:
    assert liftos("dry-run", CLIENT, ASK[:6]).output.strip() == "write a plan that moves 50.00 EUR from tv to search"
    assert plans(home) == []


def test_an_executed_action_is_taken_back_once_and_the_ledger_knows_by_whom(home: Path) -> None:
    assert undo(SHIFT).exit_code == 0
    assert "was taken back before" in undo(SHIFT).output
    assert plans(home) == [f"{SHIFT}-withdrawn.json"]
    (entry,) = [entry for entry in open_spine().ledger(CLIENT) if entry.content.get("status") == "taken_back"]
    assert (entry.actor, entry.content["reason"]) == ("eve", "booked twice")
    assert open_spine().verify_ledger(CLIENT).verified


def test_what_was_not_done_cannot_be_taken_back(home: Path) -> None:
    told = undo(ASK)
    assert told.exit_code == 1
    assert "is awaiting_approval: there is nothing to take back" in told.output
    assert plans(home) == []


def test_an_id_that_names_no_action_or_several_is_refused() -> None:
    for action in ("zz", ""):
        assert isinstance(liftos("dry-run", CLIENT, action).exception, ValueError)
