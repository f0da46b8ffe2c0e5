"""`liftos approvals` and `liftos gate`: what a person types, and the gate that an installation opens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from gate_house import ask
from typer.testing import CliRunner

from liftos_pipelines import settings
from liftos_pipelines.authority.opening import open_gate
from liftos_pipelines.authority.requests import ActionRequest
from liftos_pipelines.authority.tokens import TokenProblem, Tokens
from liftos_pipelines.clients import ClientError
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.tables import table

CLIENT = "acme"


@pytest.fixture
def client(home: Path) -> Path:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text("client: acme\n")
    return folder


def run(*words: str) -> tuple[int, str]:
    from liftos_pipelines.cli import app

    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output if not done.exception or done.exit_code != 1 else str(
        done.exception
    ) or done.output


def ask_for(action: str = "publish_ad", **fields: Any) -> ActionRequest:
    return ask(action, {"amount": 20, "text": "x"}, agent_id="bidder", **fields)


def register(**fields: Any) -> None:
    contract = table("sources/agents")
    row = {
        "agent_id": "bidder", "type": "budget_allocator", "owner": "growth", "purpose": "p", "version": "1",
        "stage": "live", "capabilities": [], "budget": 50.0, **fields,
    }  # fmt: skip
    frame = pl.DataFrame([{name: row.get(name) for name in contract.columns}], schema=contract.columns)
    Lake(settings.lake_uri()).write(CLIENT, "sources/agents", frame)


def test_an_installation_opens_the_gate_of_its_client_with_policy_and_registry(client: Path) -> None:
    with pytest.raises(ClientError):
        open_gate("nobody")
    register()
    door = open_gate(CLIENT)
    assert door.authorise(ask_for()).decision == "needs_approval"
    assert door.authorise(ask_for("adjust_bid")).allowed
    assert open_spine().verify_ledger(CLIENT).verified
    # A changed client file, with a policy of its own, holds at once.
    (client / "own.yaml").write_text(
        "extends: default\nname: own\nrules:\n- {name: none, decision: deny, when: {tool: '*'}}\n"
    )
    (client / "client.yaml").write_text("client: acme\npolicies: own.yaml\n")
    assert door.authorise(ask_for("adjust_bid")).policy == "none"
    (client / "own.yaml").write_text("rules: 7\n")
    assert door.authorise(ask_for("adjust_bid")).policy == "gate_unavailable"


def test_a_person_lists_shows_gives_and_denies(client: Path) -> None:
    register()
    door = open_gate(CLIENT)
    asked, other = door.authorise(ask_for(request_id="1")), door.authorise(ask_for(request_id="2", subject="s"))
    name = str(asked.approval_id)
    code, told = run("approvals", "list", CLIENT, "--status", "open")
    assert code == 0
    assert told.count("publish_ad") == 2
    code, told = run("approvals", "show", CLIENT, name[:8])
    assert '"amount": 20' in told
    assert "bidder, version 1" in told
    code, told = run("approvals", "give", CLIENT, name, "--by", "ann", "--reason", "fine")
    assert (code, "is given" in told) == (0, True)
    assert door.authorise(ask_for(request_id="1")).allowed
    assert "used" in run("approvals", "show", CLIENT, name)[1]
    assert "is denied" in run("approvals", "deny", CLIENT, str(other.approval_id), "--by", "ann")[1]
    assert run("approvals", "give", CLIENT, name)[0] == 2  # nobody said who
    assert "has no approval request" in run("approvals", "show", CLIENT, "ffffffffffff")[1]


def test_budgets_are_told_in_words(client: Path) -> None:
    register()
    door = open_gate(CLIENT)
    assert "nothing was drawn" in run("gate", "budgets", CLIENT)[1]
    first = door.authorise(ask_for("adjust_bid", request_id="1"))
    door.authorise(ask_for("adjust_bid", request_id="2"))
    door.settle(first.decision_id, 12.5)
    told = run("gate", "budgets", CLIENT)[1]
    assert "12.50 spent, 20.00 promised, 17.50 left of 50.00" in told


def test_tokens_are_made_once_listed_and_revoked(client: Path) -> None:
    code, told = run("gate", "token", "add", CLIENT, "bot", "--agent", "bidder")
    assert code == 0
    token = told.split()[0]  # what stands behind it says how to use it, beside the output
    holder = Tokens().holder(token)
    assert holder is not None
    assert (holder.name, holder.kind, holder.agents) == ("bot", "agent", ("bidder",))
    assert "has a token" in run("gate", "token", "add", CLIENT, "bot")[1]
    assert "acme bot (agent, agents bidder)" in run("gate", "token", "list")[1]
    assert run("gate", "token", "revoke", CLIENT, "bot")[0] == 0
    assert Tokens().holder(token) is None
    tokens = Tokens()
    tokens.file.write_text(json.dumps([{"name": "x"}]))
    with pytest.raises(TokenProblem, match="not a file of tokens"):
        tokens.holders()


def test_what_is_old_is_forgotten_by_the_clock_of_the_installation(client: Path) -> None:
    register()
    answer = open_gate(CLIENT).authorise(ask_for("adjust_bid"))
    reservation = open_spine().reservation(CLIENT, answer.decision_id)
    assert reservation is not None
    assert timedelta(0) < reservation.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
