"""The agentic assets on a real lake, spine and Dagster instance: judged once, executed once, all of it written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from sqlalchemy import text

from liftos_pipelines.assets import agentic as assets
from liftos_pipelines.assets import agentic_audit, agentic_evaluation, agentic_lifecycle, agentic_proposals
from liftos_pipelines.checks import agentic as checks
from liftos_pipelines.checks import agentic_audit as audit_checks
from liftos_pipelines.modules.agentic.policy import PolicyError
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.memory_store import MemoryStoreResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.ledger_guards import disarm
from liftos_pipelines.spine.payloads import CausalImpactIdentified
from liftos_pipelines.tables import table

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)
SOURCES = ("sources/agents", "sources/agent_steps", "sources/campaigns", "causal/impact", "causal/budget_plan")


def frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    contract = table(name)
    return pl.DataFrame([{c: r.get(c) for c in contract.columns} for r in rows], schema=contract.columns, orient="row")


def step(run_id: str, number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"run_id": run_id, "agent_id": "pacer", "step": number, "at": NOW, "kind": kind, **fields}


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\nbrand: {{name: Acme, domains: [acme.example]}}\n")
    lake = LakeResource().get()
    agent = {
        "agent_id": "pacer", "type": "budget_allocator", "owner": "growth", "purpose": "p", "version": "1", "stage": "live",
        "capabilities": ["shift_budget", "notify"], "budget": 5000.0,
    }  # fmt: skip
    lake.write(CLIENT, "sources/agents", frame("sources/agents", [agent]))
    steps = [
        step("r1", 1, "tool_call", tool="shift_budget", arguments='{"amount": 100}', cost=100.0),
        step("r1", 2, "tool_call", tool="export_table", arguments="{}", cost=0.1),
        step("r1", 3, "outcome", reward=1.0),
        step("r2", 1, "tool_call", tool="shift_budget", arguments='{"amount": 6000}', cost=6000.0),
        step("r2", 2, "outcome", reward=0.0),
    ]
    lake.write(CLIENT, "sources/agent_steps", frame("sources/agent_steps", steps))
    campaign = {
        "campaign_id": "c1",
        "name": "Doorstep",
        "channel": "video",
        "start": date(2025, 4, 1),
        "end": date(2025, 12, 1),
    }
    lake.write(CLIENT, "sources/campaigns", frame("sources/campaigns", [campaign]))
    plan = [
        {"channel": "video", "spend_current": 4000.0, "spend_planned": 1000.0},
        {"channel": "search", "spend_current": 1000.0, "spend_planned": 4000.0},
    ]
    lake.write(CLIENT, "causal/budget_plan", frame("causal/budget_plan", plan))
    return lake


def run(instance: dg.DagsterInstance, *chosen: str, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    everything = [
        agentic_lifecycle.registry, assets.policy_decisions, agentic_evaluation.performance, agentic_lifecycle.rollouts, agentic_proposals.proposals, agentic_audit.ledger_audit,
        audit_checks.ledger_verified, checks.no_violations, checks.budgets_kept,
    ]  # fmt: skip
    partitions = assets.policy_decisions.partitions_def
    sources = [
        dg.AssetSpec(name.split("/"), partitions_def=partitions).with_io_manager_key("lake_io") for name in SOURCES
    ]
    return dg.materialize(
        [*everything, *sources],
        instance=instance,
        partition_key=CLIENT,
        selection=[dg.AssetKey(name.split("/")) for name in chosen] if chosen else None,
        resources={
            "lake_io": LakeIOManager(),
            "lake": LakeResource(),
            "spine": SpineResource(),
            "memory": MemoryStoreResource(),
            "mlflow": MlflowResource(),
        },
        raise_on_error=raise_on_error,
    )


def impact(probability: float, cause: str = "drop-1") -> Event:
    payload = CausalImpactIdentified(
        trigger_event_id=cause, campaign_id="c1", window_start=date(2025, 9, 8), window_end=date(2025, 9, 19),
        effect=-900.0, effect_low=-1400.0, effect_high=-400.0, revenue_at_risk=54000.0, probability_harmful=probability,
    )  # fmt: skip
    return open_spine().raise_event(CLIENT, payload, occurred_at=NOW, correlation_id="chain-1")


def outbox(lake: Lake) -> list[dict[str, Any]]:
    file = lake.folder(CLIENT, "agentic") / "outbox.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_recorded_calls_are_judged_and_denied_ones_become_events_and_ledger_entries_once(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    done = run(instance)
    assert done.success
    decided = lake.read(CLIENT, "agentic/policy_decisions").sort("run_id", "step")
    assert decided["decision"].to_list() == ["allow", "deny", "deny"]
    assert decided["policy"].to_list() == ["reversible_and_small", "unknown_tool", "budget"]
    spine = open_spine()
    run(instance)
    assert len(spine.events(CLIENT, ["policy_violation_detected"])) == 2
    assert len(spine.events(CLIENT, ["budget_exhausted"])) == 1
    assert [entry.kind for entry in spine.ledger(CLIENT)] == ["policy_violation"] * 2
    passed = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert passed == {"ledger_verified": True, "no_violations": False, "budgets_kept": False}
    found = lake.read(CLIENT, "agentic/performance").filter(pl.col("period") == "all").row(0, named=True)
    assert (found["runs"], found["success_rate"], found["violations"]) == (2, 0.5, 2)
    readiness = dict(lake.read(CLIENT, "agentic/registry").select("agent_id", "readiness").iter_rows())
    assert readiness["liftos.responder"] is None
    assert 0 < readiness["pacer"] < 0.5


def test_a_harmful_impact_opens_a_ticket_asks_for_the_shift_and_is_answered_once(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    event, spine = impact(0.97), open_spine()
    run(instance, "agentic/proposals")
    first = lake.read(CLIENT, "agentic/proposals").sort("action")
    assert first["action"].to_list() == ["open_ticket", "shift_budget"]
    assert first["agent_id"].to_list() == ["liftos.responder", "pacer"]
    assert first["status"].to_list() == ["executed", "awaiting_approval"]
    assert json.loads(first["arguments"][1])["amount"] == 3000.0
    assert [line["action"] for line in outbox(lake)] == ["open_ticket"]
    raised = spine.events(CLIENT, ["agent_action_initiated"])
    assert {(e.causation_id, e.correlation_id) for e in raised} == {(event.event_id, "chain-1")}
    assert [e.payload.status for e in raised] == ["executed", "awaiting_approval"]  # type: ignore[attr-defined]
    assert spine.is_handled(event.event_id, "agentic/proposals")
    run(instance, "agentic/proposals")
    assert lake.read(CLIENT, "agentic/proposals").sort("action").equals(first)
    assert len(outbox(lake)) == 1
    assert len(spine.events(CLIENT, ["agent_action_initiated"])) == 2


@pytest.mark.parametrize(("given", "status"), [(True, "executed"), (False, "denied")])
def test_an_answered_approval_executes_or_closes_the_action(
    lake: Lake, instance: dg.DagsterInstance, given: bool, status: str
) -> None:
    impact(0.97)
    run(instance, "agentic/proposals")
    spine = open_spine()
    (asked,) = spine.approvals(CLIENT, "open")
    plans = lake.folder(CLIENT, "agentic") / "plans"
    assert not plans.exists()
    spine.decide_approval(CLIENT, asked.approval_id, given=given, approver="eve", reason="", now=datetime.now(UTC))
    for _ in range(2):
        run(instance, "agentic/proposals")
    shift = lake.read(CLIENT, "agentic/proposals").filter(pl.col("action") == "shift_budget").row(0, named=True)
    assert shift["status"] == status
    written = [json.loads(file.read_text()) for file in plans.glob("*.json")] if plans.exists() else []
    assert [(plan["from_channel"], plan["to_channel"], plan["amount"]) for plan in written] == (
        [("video", "search", 3000.0)] if given else []
    )
    kinds = [entry.kind for entry in spine.ledger(CLIENT)]
    assert kinds.count("agent_action") == 2
    (answer,) = spine.events(CLIENT, ["approval_given" if given else "approval_denied"])
    assert spine.is_handled(answer.event_id, "agentic/proposals")
    assert spine.verify_ledger(CLIENT).verified


def test_an_approval_for_other_arguments_does_not_count(lake: Lake, instance: dg.DagsterInstance) -> None:
    impact(0.97)
    run(instance, "agentic/proposals")
    spine = open_spine()
    (asked,) = spine.approvals(CLIENT, "open")
    other = spine.request_approval(
        CLIENT,
        action_id=asked.action_id,
        agent_id=asked.agent_id,
        action=asked.action,
        arguments=json.loads(asked.arguments) | {"amount": 3000.01},
        policy_version=asked.policy_version,
        requested_at=datetime.now(UTC),
    )
    spine.decide_approval(CLIENT, other.approval_id, given=True, approver="eve", reason="", now=datetime.now(UTC))
    run(instance, "agentic/proposals")
    shift = lake.read(CLIENT, "agentic/proposals").filter(pl.col("action") == "shift_budget")
    assert shift["status"].to_list() == ["awaiting_approval"]


def test_a_lost_table_is_restored_from_the_ledger_and_nothing_is_done_again(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    impact(0.97)
    run(instance, "agentic/proposals")
    before = lake.read(CLIENT, "agentic/proposals")
    lake.write(CLIENT, "agentic/proposals", table("agentic/proposals").empty())
    # The plan has changed meanwhile: what was decided stays decided.
    lake.write(CLIENT, "causal/budget_plan", table("causal/budget_plan").empty())
    run(instance, "agentic/proposals")
    assert lake.read(CLIENT, "agentic/proposals").equals(before)
    assert len(outbox(lake)) == 1


class _Desk(BaseHTTPRequestHandler):
    """A ticket system that refuses the first post."""

    seen: list[tuple[str | None, dict[str, Any]]]
    answers: list[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.headers["Idempotency-Key"], body))
        self.send_response(self.answers.pop(0))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Desk]]:
    handler = type("Desk", (_Desk,), {"seen": [], "answers": [503, 200]})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LIFTOS_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/hook")
    yield handler
    server.shutdown()


def test_a_webhook_that_fails_is_said_and_tried_again(
    lake: Lake, instance: dg.DagsterInstance, desk: type[_Desk]
) -> None:
    impact(0.5)
    run(instance, "agentic/proposals")
    (row,) = lake.read(CLIENT, "agentic/proposals").iter_rows(named=True)
    assert (row["action"], row["agent_id"], row["status"]) == ("notify", "pacer", "failed")
    assert outbox(lake) == []
    for _ in range(2):
        run(instance, "agentic/proposals")
    (row,) = lake.read(CLIENT, "agentic/proposals").iter_rows(named=True)
    assert row["status"] == "executed"
    assert [key for key, _ in desk.seen] == [row["action_id"]] * 2
    assert [line["delivery"] for line in outbox(lake)] == ["webhook"]
    outcomes = [entry.content["status"] for entry in open_spine().ledger(CLIENT) if entry.kind == "agent_action"]
    assert outcomes == ["failed", "executed"]


def test_a_tampered_ledger_fails_the_blocking_check(lake: Lake, instance: dg.DagsterInstance) -> None:
    run(instance)
    with open_spine().engine.begin() as connection:
        disarm(connection)
        connection.execute(text("UPDATE ledger SET actor = 'nobody' WHERE position = 1"))
    done = run(instance, "agentic/ledger_audit", raise_on_error=False)
    assert not done.success
    audit = lake.read(CLIENT, "agentic/ledger_audit").row(0, named=True)
    assert (audit["verified"], audit["first_bad_entry"]) == (False, 1)
    (check,) = done.get_asset_check_evaluations()
    assert not check.passed
    assert check.blocking


def test_the_clients_own_policy_is_used_and_a_wrong_one_is_named(
    lake: Lake, instance: dg.DagsterInstance, home: Path
) -> None:
    folder = home / "clients" / CLIENT
    (folder / "client.yaml").write_text(f"client: {CLIENT}\npolicies: policies.yaml\n")
    rule = {"name": "frozen", "decision": "deny", "when": {"tool": "shift_budget"}, "reason": "budgets are frozen"}
    (folder / "policies.yaml").write_text(json.dumps({"extends": "default", "rules": [rule]}))
    impact(0.97)
    run(instance, "agentic/proposals")
    shift = lake.read(CLIENT, "agentic/proposals").filter(pl.col("action") == "shift_budget").row(0, named=True)
    assert (shift["decision"], shift["policy"], shift["status"]) == ("deny", "frozen", "denied")
    (folder / "policies.yaml").write_text(json.dumps({"extends": "default", "rules": [rule | {"decison": "deny"}]}))
    with pytest.raises(PolicyError, match=r"policies\.yaml.*decison.*closest: \"decision\""):
        run(instance, "agentic/policy_decisions")
    (folder / "policies.yaml").unlink()
    with pytest.raises(PolicyError, match="there is no file"):
        run(instance, "agentic/policy_decisions")


def test_a_client_without_agents_is_skipped_and_still_answers_impacts(lake: Lake, instance: dg.DagsterInstance) -> None:
    for name in SOURCES[:3]:
        lake.write(CLIENT, name, table(name).empty())
    lake_before = [lake.read(CLIENT, name).height for name in SOURCES[:3]]
    if any(lake_before):  # sources merge; an empty frame does not empty them
        import shutil

        shutil.rmtree(Path(lake.root) / CLIENT / "sources")
        for name in SOURCES[:3]:
            lake.write(CLIENT, name, table(name).empty())
    impact(0.5)
    assert run(instance).success
    for name in ("registry", "policy_decisions", "performance", "rollouts"):
        assert lake.status(CLIENT, f"agentic/{name}").startswith("skipped")
        assert lake.read(CLIENT, f"agentic/{name}").is_empty()
    (row,) = lake.read(CLIENT, "agentic/proposals").iter_rows(named=True)
    assert (row["agent_id"], row["status"]) == ("liftos.responder", "executed")
