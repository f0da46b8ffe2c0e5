"""`liftos actions` on a real ledger: shown, seen beforehand, taken back once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def test_a_slip_of_the_hand_or_a_nameless_person_takes_nothing_back(home: Path) -> None:
    for words in (("a",), ("",), (SHIFT, "--by", " "), (SHIFT, "--reason", "")):
        told = liftos("undo", CLIENT, words[0], "--by", "eve", "--reason", "r", *words[1:])
        assert isinstance(told.exception, ValueError), words
    assert plans(home) == []


def test_a_dry_run_of_a_denied_action_says_that_it_will_not_be_carried_out(home: Path) -> None:
    closed = {"action_id": ASK, "action": "shift_budget", "status": "denied", "outcome": "approval denied"}
    open_spine().append_ledger(CLIENT, "agent_action", "pacer", closed, idempotency_key="closed")
    assert "is denied: it will not be carried out" in liftos("dry-run", CLIENT, ASK).output
    assert plans(home) == []


def test_several_who_take_one_action_back_at_once_do_it_once(home: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "liftos_pipelines.cli", "actions", "undo", CLIENT, SHIFT]
    both = [
        subprocess.Popen(
            [*command, "--by", name, "--reason", "twice"], env=environment, stdout=subprocess.PIPE, text=True
        )
        for name in ("ann", "ben")
    ]
    told = sorted(each.communicate(timeout=120)[0] for each in both)
    assert [each.returncode for each in both] == [0, 0]
    assert "was taken back before" in told[0]
    assert told[1].startswith("taken back:")
    assert sum(entry.content.get("status") == "taken_back" for entry in open_spine().ledger(CLIENT)) == 1
