"""Cedar beside our guards: what it permits, forbids and asks for, and what is wrong with a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory, Verdict
from liftos_pipelines.modules.agentic.facts import AgentFacts, ApprovalNeed
from liftos_pipelines.modules.agentic.ledger_state import Stop
from liftos_pipelines.modules.agentic.policy import PolicyError
from liftos_pipelines.resources.policy_files import kept_policy, read_policy

pytest.importorskip("cedarpy", reason="cedarpy is not installed; Cedar policies cannot be judged")

NOW = datetime(2025, 3, 3, 9, tzinfo=UTC)
POLICIES = """
@id("reads") permit(principal, action, resource) when { context.writes == false };
@id("spend") @reason("small moves") permit(principal, action == Action::"shift_budget", resource)
  when { context.amount_cents <= 100000 && principal.stage == "live" };
@id("mail") @needs_approval("quorum=2 roles=legal expires=1d")
permit(principal, action == Action::"send_mail", resource);
@id("not_outside") forbid(principal, action == Action::"send_mail", resource) when { context.arguments.to like "*@vendor.example" };
@id("after_denials") forbid(principal, action, resource) when { context.history.denied > 1 };
"""


def write(folder: Path, text: str = POLICIES) -> Path:
    file = folder / "policies.cedar"
    file.write_text(text)
    return file


def judge(
    engine: PolicyEngine, tool: str, arguments: dict[str, Any], history: RunHistory | None = None, **facts: Any
) -> Verdict:
    agent = AgentFacts(**({"agent_id": "a", "stage": "live"} | facts))
    made = engine.call(agent, tool, arguments, NOW, None)
    if isinstance(made, str):
        return engine.refuse(made)
    return engine.judge(made, history or RunHistory(run_id="r", agents=AgentHistory()))


def test_cedar_permits_forbids_asks_and_denies_the_rest(tmp_path: Path) -> None:
    engine = PolicyEngine(read_policy(write(tmp_path)))
    inside = {"to": "team@acme.example"}
    assert judge(engine, "read_metrics", {}).decision == "allow"
    spent = judge(engine, "shift_budget", {"amount": 900.5})
    assert (spent.decision, spent.policy, spent.reason) == ("allow", "spend", "small moves")
    assert judge(engine, "shift_budget", {"amount": 1000.001}).policy == "cedar_default"
    assert judge(engine, "shift_budget", {"amount": 1}, stage="canary").decision == "deny"
    asked = judge(engine, "send_mail", inside)
    assert (asked.decision, asked.policy) == ("needs_approval", "mail")
    assert asked.approval == ApprovalNeed(quorum=2, approvers=("role:legal",), expires=timedelta(days=1))
    assert judge(engine, "send_mail", {"to": "x@vendor.example"}).policy == "not_outside"
    assert judge(engine, "publish_ad", {"amount": 1}).policy == "cedar_default"


def test_a_forbid_that_cannot_be_evaluated_denies(tmp_path: Path) -> None:
    found = judge(PolicyEngine(read_policy(write(tmp_path))), "send_mail", {})
    assert (found.decision, found.policy) == ("deny", "not_outside")
    assert "does not have the attribute" in found.reason


def test_the_runs_history_is_context(tmp_path: Path) -> None:
    engine = PolicyEngine(read_policy(write(tmp_path)))
    history = RunHistory(run_id="r", agents=AgentHistory())
    for _ in range(2):
        made = engine.call(AgentFacts(agent_id="a", stage="live"), "publish_ad", {"amount": 1}, NOW, None)
        assert not isinstance(made, str)
        engine.record(made, engine.judge(made, history), history)
    assert judge(engine, "read_metrics", {}, history).policy == "after_denials"


@pytest.mark.parametrize(
    "arguments", [{"n": 2**70}, {"n": None}, {"n": [None, 1.5, {"x": True}]}, {"n": 1e300}, {"__entity": {"type": "x"}}]
)
def test_arguments_that_cedar_cannot_hold_never_raise(tmp_path: Path, arguments: dict[str, Any]) -> None:
    assert judge(PolicyEngine(read_policy(write(tmp_path))), "send_mail", arguments).decision == "deny"


def test_guards_stand_before_cedar(tmp_path: Path) -> None:
    everything = write(tmp_path, '@id("all") permit(principal, action, resource);')
    stop = Stop(agent_id="a", event_id="e", reason="said so", stopped_at=NOW, until=None)
    engine = PolicyEngine(read_policy(everything), {"a": [stop]})
    assert judge(engine, "read_metrics", {}).policy == "agent_stopped"
    free = PolicyEngine(read_policy(everything))
    assert judge(free, "paint", {}).policy == "unknown_tool"
    assert judge(free, "shift_budget", {"amount": 11}, budget=10.0).policy == "budget"
    assert judge(free, "read_metrics", {}, registered=False).policy == "unknown_agent"
    assert judge(free, "read_metrics", {}).decision == "allow"


def test_cedar_beside_rules_is_combined_by_the_stronger_decision(tmp_path: Path) -> None:
    write(tmp_path, '@id("all") permit(principal, action, resource) unless { resource == Resource::"acme" };')
    file = tmp_path / "policies.yaml"
    rule = {"name": "mails_are_read", "decision": "needs_approval", "when": {"tool": "send_mail"}}
    said = {
        "extends": "default",
        "cedar": {"policies": "policies.cedar", "resources": {"notify": "team"}},
        "rules": [rule],
    }
    file.write_text(json.dumps(said))
    engine = PolicyEngine(read_policy(file))
    assert judge(engine, "notify", {"team": "sales"}).decision == "allow"
    assert judge(engine, "notify", {"team": "acme"}).policy == "cedar_default"
    assert judge(engine, "send_mail", {"to": "x"}).policy == "mails_are_read"


def test_the_version_is_the_content_of_all_files_and_changes_are_read_again(tmp_path: Path) -> None:
    file = write(tmp_path)
    first = kept_policy(file, ())
    assert kept_policy(file, ()) is first
    file.write_text(POLICIES.replace("100000", "100001"))
    second = kept_policy(file, ())
    assert second.version != first.version
    (tmp_path / "policies.entities.json").write_text(
        json.dumps([{"uid": {"type": "Team", "id": "x"}, "attrs": {}, "parents": []}])
    )
    assert kept_policy(file, ()).version != second.version
    file.write_text(POLICIES)
    (tmp_path / "policies.entities.json").unlink()
    assert kept_policy(file, ()).version == first.version


def test_entities_of_the_file_say_who_an_agent_is(tmp_path: Path) -> None:
    file = write(tmp_path, '@id("team") permit(principal in Team::"growth", action, resource);')
    growth = {"uid": {"type": "Team", "id": "growth"}, "attrs": {}, "parents": []}
    member = {"uid": {"type": "Agent", "id": "a"}, "attrs": {}, "parents": [growth["uid"]]}
    (tmp_path / "policies.entities.json").write_text(json.dumps([growth, member]))
    engine = PolicyEngine(read_policy(file))
    assert judge(engine, "notify", {}).decision == "allow"
    assert judge(engine, "notify", {}, agent_id="b").decision == "deny"


@pytest.mark.parametrize(
    ("text", "beside", "named"),
    [
        ("permit(principal, action, resource) whn {};", {}, "not readable as Cedar"),
        ('permit(principal, action == Action::"send_mial", resource);', {}, 'closest: "send_mail"'),
        (
            '@id("x") permit(principal, action, resource); @id("x") forbid(principal, action, resource);',
            {},
            "used twice",
        ),
        ('@needs_approval("two") permit(principal, action, resource);', {}, "quorum=2"),
        ('@id("f") @needs_approval("") forbid(principal, action, resource);', {}, "annotate a permit"),
        ("permit(principal, action, resource);", {"policies.entities.json": "[{]"}, "not readable as JSON"),
        ("permit(principal, action, resource);", {"policies.cedarschema": "entity ;"}, "Cedar schema"),
        (
            'permit(principal, action == Action::"notify", resource) when { context.amout > 1 };',
            {
                "policies.cedarschema": "entity Agent, Resource; action notify appliesTo "
                "{ principal: Agent, resource: Resource, context: { amount: Long } };"
            },
            "amout",
        ),
    ],
)
def test_what_is_wrong_with_a_cedar_file_is_named(
    tmp_path: Path, text: str, beside: dict[str, str], named: str
) -> None:
    file = write(tmp_path, text)
    for name, content in beside.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(PolicyError, match="policies") as error:
        read_policy(file)
    assert named in str(error.value)


def test_an_absent_cedar_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("extends: default\ncedar: {policies: gone.cedar}\n")
    with pytest.raises(PolicyError, match=r"cedar\.policies: .*gone\.cedar is not readable"):
        read_policy(file)
    file.write_text("extends: default\ncedar: {polices: gone.cedar}\n")
    with pytest.raises(PolicyError, match="expected `policies`"):
        read_policy(file)
