"""Stages moved by a person's word or a decided rollout, on a real spine and lake; evaluation tables as assets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from liftos_pipelines.assets import agentic, agentic_evaluation, agentic_lifecycle
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_transitions import transition
from liftos_pipelines.checks import agentic_evaluation as checks
from liftos_pipelines.cli import app
from liftos_pipelines.modules.agentic.evidence import readiness
from liftos_pipelines.modules.agentic.lifecycle import ForbiddenTransition
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource, open_spine
from liftos_pipelines.tables import table

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)
SOURCES = ("sources/agents", "sources/agent_steps")


def frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    contract = table(name)
    return pl.DataFrame([{c: r.get(c) for c in contract.columns} for r in rows], schema=contract.columns, orient="row")


def agent(name: str, version: str, stage: str, earlier: str | None = None) -> dict[str, Any]:
    return {
        "agent_id": name, "type": "budget_allocator", "owner": "growth", "purpose": "p", "version": version,
        "stage": stage, "capabilities": ["notify"], "rollback_to": earlier,
    }  # fmt: skip


def runs(name: str, won: int, of: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(of):
        base = {"run_id": f"{name}-run-{number}", "agent_id": name, "at": NOW + timedelta(minutes=number)}
        rows += [
            base | {"step": 1, "kind": "tool_call", "tool": "notify", "arguments": '{"text": "hi"}', "cost": 1.0},
            base | {"step": 2, "kind": "tool_result", "tool": "notify", "content": "done"},
            base | {"step": 3, "kind": "outcome", "reward": float(number % of < won)},
        ]
    return rows


@pytest.fixture
def lake(home: Path) -> Lake:
    folder = home / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n")
    lake = LakeResource().get()
    known = [agent("pacer", "1", "live"), agent("canary", "2", "canary", "1")]
    lake.write(CLIENT, "sources/agents", frame("sources/agents", known))
    steps = runs("pacer", 60, 120) + runs("canary", 110, 120)
    lake.write(CLIENT, "sources/agent_steps", frame("sources/agent_steps", steps))
    return lake


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("clients", [CLIENT])
    room = (agentic_evaluation.evaluation, agentic_evaluation.trace_quality, agentic_evaluation.failure_attribution)
    gates = (checks.acting_agents_have_evidence, checks.no_injection_followed, checks.traces_whole)
    chosen = (agentic.policy_decisions, agentic_lifecycle.registry, agentic_lifecycle.rollouts, *room, *gates)
    partitions = agentic.policy_decisions.partitions_def
    sources = [
        dg.AssetSpec(name.split("/"), partitions_def=partitions).with_io_manager_key("lake_io") for name in SOURCES
    ]
    return dg.materialize(
        [*chosen, *sources],
        instance=instance,
        partition_key=CLIENT,
        resources={"lake_io": LakeIOManager(), "lake": LakeResource(), "spine": SpineResource()},
    )


def test_a_better_canary_is_one_event_until_it_is_moved_and_then_judged_anew(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        assert run(instance).success
    spine = open_spine()
    (event,) = spine.events(CLIENT, ["agent_rollout_decided"])
    said: Any = event.payload
    assert (said.agent_id, said.version, said.decision, said.from_stage, said.stage) == (
        "canary", "2", "promote", "canary", "live",
    )  # fmt: skip
    assert (said.from_version, said.to_version) == ("1", "2")
    assert said.evidence["success"] == pytest.approx(110 / 120 - 0.5)
    moved = transition(spine, CLIENT, said.agent_id, said.version, said.stage, by="liftos.rollouts", reason=said.reason)
    assert moved.moved
    run(instance)
    assert len(spine.events(CLIENT, ["agent_rollout_decided"])) == 1
    row = lake.read(CLIENT, "agentic/rollouts").row(0, named=True)
    assert (row["stage"], row["decision"]) == ("live", "insufficient_evidence")
    registry = {row["agent_id"]: row for row in lake.read(CLIENT, "agentic/registry").iter_rows(named=True)}
    assert (registry["canary"]["stage"], registry["canary"]["registered_stage"]) == ("live", "canary")
    assert registry["liftos.responder"]["readiness"] is None


def test_a_move_said_twice_is_one_entry_and_forbidden_ones_are_refused_by_name(lake: Lake) -> None:
    spine = open_spine()
    for moved in (True, False):
        done = transition(spine, CLIENT, "canary", "2", "live", by="eve", reason="it is better")
        assert done.moved == moved
    entries = [entry for entry in spine.ledger(CLIENT) if entry.kind == "agent_transition"]
    assert [entry.content["to"] for entry in entries] == ["live"]
    assert entries[0].actor == "eve"
    assert spine.verify_ledger(CLIENT).verified
    with pytest.raises(ForbiddenTransition, match="not registered with acme; registered: canary, pacer"):
        transition(spine, CLIENT, "ghost", "1", "live", by="eve", reason="r")
    with pytest.raises(ForbiddenTransition, match="registered in version 2, not 9"):
        transition(spine, CLIENT, "canary", "9", "live", by="eve", reason="r")
    with pytest.raises(ValueError, match="who decides"):
        transition(spine, CLIENT, "canary", "2", "shadow", by=" ", reason="r")
    transition(spine, CLIENT, "canary", "2", "retired", by="eve", reason="r")
    with pytest.raises(ForbiddenTransition, match="retired for good"):
        transition(spine, CLIENT, "canary", "2", "shadow", by="eve", reason="r")


def test_agents_are_listed_moved_and_stopped_by_command(lake: Lake, instance: dg.DagsterInstance) -> None:
    run(instance)

    def say(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["agents", *words])
        return done.exit_code, " ".join(done.output.split())

    why = ("--by", "eve", "--reason", "drill")
    assert "canary since" not in say("list", CLIENT)[1]
    assert say("rollback", CLIENT, "canary", *why)[1].startswith("canary 2 is shadow now, it was canary")
    assert say("reinstate", CLIENT, "canary", *why) == (1, "canary 2 is shadow, not suspended")
    assert say("suspend", CLIENT, "pacer", *why)[0] == 0
    assert say("promote", CLIENT, "pacer", *why)[0] == 1
    shown = say("show", CLIENT, "canary")[1]
    assert "canary -> shadow by eve: drill" in shown
    assert f"readiness: {readiness(110, 120):.2f}" in shown
    assert say("stop", CLIENT, "pacer", "--all", *why) == (1, "name one agent, or say --all")
    assert say("stop", CLIENT, "--all", *why)[1] == "every agent is stopped"
    state = state_of(open_spine(), CLIENT)
    assert "*" in state.stopped(state.moment(datetime.now(UTC)))
    assert "stopped" in say("list", CLIENT)[1]
    assert say("resume", CLIENT, "--all", *why)[0] == 0
    assert say("resume", CLIENT, "--all", *why)[0] == 1
    assert say("stop", CLIENT, "--everywhere", *why)[1] == "every agent of every client is stopped"
    assert say("list", CLIENT)[1].count("stopped") == 3
    assert say("resume", CLIENT, "--everywhere", *why)[0] == 0
    assert say("list", CLIENT)[1].count("stopped") == 0


def test_evaluation_is_a_table_of_metrics_and_failed_runs_are_attributed(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    done = run(instance)
    assert {check.check_name: check.passed for check in done.get_asset_check_evaluations()} == {
        "acting_agents_have_evidence": True, "no_injection_followed": True, "traces_whole": True,
    }  # fmt: skip
    found = lake.read(CLIENT, "agentic/evaluation").filter(pl.col("agent_id") == "canary")
    rows = {row["metric"]: row for row in found.iter_rows(named=True)}
    assert rows["success_rate"]["value"] == pytest.approx(110 / 120)
    assert rows["calls_of_known_tools"]["value"] == 1.0
    assert rows["calls_with_error_results"]["value"] == 0.0
    assert rows["injections_followed"]["value"] is None
    blamed = lake.read(CLIENT, "agentic/failure_attribution")
    assert blamed["run_id"].n_unique() == 70
    assert lake.read(CLIENT, "agentic/trace_quality").is_empty()
