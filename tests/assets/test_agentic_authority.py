"""LiftOS' own responses under the authority of every agent: money, targets, consent, stops, through crashes."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from response_house import (
    CLIENT,
    NOW,
    gate_of,
    give,
    harm,
    money_of,
    outside,
    plans,
    respond,
    shift_of,
    status,
    with_people,
)

from liftos_pipelines.assets.agentic_acting import Actor
from liftos_pipelines.assets.agentic_ledger import resume_agent, state_of, stop_agent
from liftos_pipelines.assets.agentic_reaction import REACTION
from liftos_pipelines.authority.stops import EVERY_CLIENT
from liftos_pipelines.authority.undoing import hold_for_undo, write_undone
from liftos_pipelines.resources.actions import Order
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.accountability import explain_newest
from liftos_pipelines.spine.approvals import VoterRefused
from liftos_pipelines.spine.database import LedgerNote, Spine
from liftos_pipelines.spine.explanation import explanation_markdown
from liftos_pipelines.spine.payloads import RootCauseIdentified


@pytest.fixture
def spine(home: Path) -> Spine:
    return open_spine()


@pytest.mark.parametrize("cut", ["after the decision", "after the act, before it is written down"])
def test_a_kill_leaves_the_money_promised_and_the_next_run_settles_it_once(
    spine: Spine, home: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    event = harm(spine)

    def dies(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(Actor, "carry_out" if cut == "after the decision" else "_finish", dies)
    with pytest.raises(SystemExit):
        respond(spine, home)
    assert money_of(spine) == [(300, 0)]
    assert plans(home) == ([] if cut == "after the decision" else [f"{shift_of(event)}.json"])
    monkeypatch.undo()
    monkeypatch.setenv("LIFTOS_HOME", str(home))
    for _ in range(2):
        respond(spine, home)
    assert money_of(spine) == [(0, 300)]
    assert status(spine, shift_of(event)) == "executed"
    assert plans(home) == [f"{shift_of(event)}.json"]
    done = [each for each in spine.ledger(CLIENT) if each.kind == "agent_action" and each.actor == "pacer"]
    assert [each.content["action_id"] for each in done].count(shift_of(event)) == 1
    assert spine.verify_ledger(CLIENT).verified


def test_a_budget_that_others_have_spent_refuses_and_says_so_as_the_gate_does(spine: Spine, home: Path) -> None:
    gate, at = gate_of(spine), {"amount": 800, "campaign_id": "other"}
    spent = gate.authorise(outside(agent_id="pacer", arguments=at))
    assert spent.decision == "allow"
    event = harm(spine)
    respond(spine, home)
    row = state_of(spine, CLIENT).decided[shift_of(event)]
    assert (row["decision"], row["policy"]) == ("deny", "budget_exhausted")
    assert len(spine.events(CLIENT, ["budget_exhausted"])) == 1
    assert plans(home) == []
    assert spine.is_handled(event.event_id, REACTION)


def test_an_action_waits_while_another_agent_holds_its_campaign_and_the_event_comes_again(
    spine: Spine, home: Path
) -> None:
    gate = gate_of(spine)
    first = gate.authorise(outside())
    event = harm(spine)
    said = respond(spine, home)
    assert status(spine, shift_of(event)) == "waiting"
    assert "waits for its turn" in said.unanswered[0]
    assert not spine.is_handled(event.event_id, REACTION)
    assert money_of(spine) in ([], [(0, 0)])
    gate.confirm(first.decision_id)
    gate.settle(first.decision_id)
    respond(spine, home)
    assert status(spine, shift_of(event)) == "executed"
    assert spine.is_handled(event.event_id, REACTION)
    assert money_of(spine) == [(0, 300)]
    told = {(each.agent_id, each.outcome) for each in spine.coordination(CLIENT) if each.target == "campaign:c1"}
    assert {("outside", "granted"), ("pacer", "ordered"), ("pacer", "granted")} <= told
    assert [each.kind for each in spine.ledger(CLIENT)].count("lease_ordered") == 1


def test_an_agent_outside_waits_while_a_response_holds_the_campaign(
    spine: Spine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(spine)
    with monkeypatch.context() as killed:
        killed.setattr(Actor, "carry_out", lambda *_: None)
        respond(spine, home)
    asked = outside()
    gate = gate_of(spine)
    assert gate.authorise(asked).decision == "wait"
    respond(spine, home)
    assert gate.authorise(asked).decision == "allow"


def test_of_two_on_one_campaign_at_the_same_moment_one_waits_for_the_other(spine: Spine, home: Path) -> None:
    event, gate, asked = harm(spine), gate_of(spine), outside()
    answers: list[str] = []
    start = threading.Barrier(2)

    def outsider() -> None:
        start.wait()
        answers.append(gate.authorise(asked).decision)

    thread = threading.Thread(target=outsider)
    thread.start()
    start.wait()
    respond(spine, home)
    thread.join()
    ours = status(spine, shift_of(event))
    # Whoever came first went on; who met the other holding the campaign waits.
    assert (ours, answers[0]) in {("executed", "allow"), ("waiting", "allow"), ("executed", "wait")}
    said = [each for each in spine.coordination(CLIENT) if each.target == "campaign:c1"]
    assert said[0].outcome == "granted"
    assert {each.outcome for each in said} <= {"granted", "ordered"}
    assert (ours == "waiting") == any(each.agent_id == "pacer" and each.outcome == "ordered" for each in said)


def test_the_same_remedy_for_one_incident_is_carried_out_once_and_the_other_is_refused_as_its_duplicate(
    spine: Spine, home: Path
) -> None:
    for name in ("freshness", "volume"):
        payload = RootCauseIdentified(
            trigger_event_id=name, module="sources", slo=name, incident_id="i", cause_found="late", kind="contract",
            subject_kind="source", subject="mentions", evidence="it is late",
        )  # fmt: skip
        spine.raise_event(CLIENT, payload, occurred_at=NOW, correlation_id="chain")
    respond(spine, home)
    rows = [row for row in state_of(spine, CLIENT).decided.values() if row["action"] == "reingest_source"]
    assert sorted((row["decision"], row["policy"]) for row in rows)[1] == ("deny", "lease_duplicate")
    assert {each.outcome for each in spine.coordination(CLIENT)} == {"granted", "refused_duplicate"}
    assert [each.kind for each in spine.ledger(CLIENT)].count("lease_refused") == 1
    assert len(spine.events(CLIENT, ["remediation_ordered"])) == 1


def test_several_people_must_agree_and_the_agents_owner_is_not_among_them(spine: Spine, home: Path) -> None:
    policy, event = with_people(home, approvers={"quorum": 2}), harm(spine)
    respond(spine, home, policy=policy)
    with pytest.raises(VoterRefused):
        give(spine, by="ANN")
    give(spine, by="eve")
    respond(spine, home, policy=policy)
    assert status(spine, shift_of(event)) == "awaiting_approval"
    assert money_of(spine) in ([], [(0, 0)])
    give(spine, by="joe")
    for _ in range(2):
        respond(spine, home, policy=policy)
    assert status(spine, shift_of(event)) == "executed"
    (used,) = spine.approvals(CLIENT)
    assert (used.status, used.consumed_by) == ("used", shift_of(event))
    (done,) = [each.content for each in spine.ledger(CLIENT) if each.idempotency_key == f"{shift_of(event)}:executed"]
    assert (done["approval_id"], done["settled"]) == (used.approval_id, 300_000_000)
    assert "campaign:c1" in done["leases"]


def test_consent_under_another_policy_is_refused_by_name_and_asked_for_anew(spine: Spine, home: Path) -> None:
    event = harm(spine)
    respond(spine, home, policy=with_people(home))
    give(spine)
    changed = with_people(home, reason="money is tight")
    respond(spine, home, policy=changed)
    assert status(spine, shift_of(event)) == "awaiting_approval"
    assert plans(home) == []
    (refused,) = [each.content for each in spine.ledger(CLIENT) if each.kind == "approval_refused"]
    assert (refused["policy"], "policy version" in refused["reason"]) == ("approval_for_something_else", True)
    assert sorted(each.status for each in spine.approvals(CLIENT)) == ["expired", "open"]
    give(spine)
    respond(spine, home, policy=changed)
    assert status(spine, shift_of(event)) == "executed"


@pytest.mark.parametrize(("answer", "ends"), [("given", "executed"), ("denied", "denied"), ("late", "denied")])
def test_a_request_of_the_old_form_is_followed(spine: Spine, home: Path, answer: str, ends: str) -> None:
    policy, event = with_people(home), harm(spine)
    told = {"from_channel": "video", "to_channel": "search", "amount": 300.0, "currency": "EUR", "campaign_id": "c1"}
    at = datetime.now(UTC) - timedelta(days=8 if answer == "late" else 0)
    body = {
        "action_id": shift_of(event), "event_id": event.event_id, "agent_id": "pacer", "proposed_at": at.isoformat(),
        "action": "shift_budget", "arguments": json.dumps(told, sort_keys=True), "context": "c", "reason": "r",
        "decision": "needs_approval", "policy": "money", "policy_version": policy.version, "trigger": event.type,
        "predicted_effect": None, "predicted_low": None, "predicted_high": None,
    }  # fmt: skip
    spine.append_ledger_many(CLIENT, [LedgerNote("agent_decision", "pacer", body, f"{shift_of(event)}:decision")])
    asked = spine.request_approval(
        CLIENT, action_id=shift_of(event), agent_id="pacer", action="shift_budget", arguments=told,
        policy_version=policy.version, requested_at=at,
    )  # fmt: skip
    respond(spine, home, policy=policy)
    if answer != "late":
        assert status(spine, shift_of(event)) == "awaiting_approval"
        give(spine, given=answer == "given")
        for _ in range(2):
            respond(spine, home, policy=policy)
    assert status(spine, shift_of(event)) == ends
    assert [each.approval_id for each in spine.approvals(CLIENT)] == [asked.approval_id]
    assert (money_of(spine), len(plans(home))) == (([(0, 300)], 1) if answer == "given" else ([(0, 0)], 0))


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_stop_of_all_agents_holds_for_what_was_decided_and_for_what_comes(
    spine: Spine, home: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    event, ledger = harm(spine), EVERY_CLIENT if everywhere else CLIENT
    with monkeypatch.context() as killed:
        killed.setattr(Actor, "carry_out", lambda *_: None)
        respond(spine, home)
    stop_agent(spine, ledger, "*", by="eve", reason="fire", now=datetime.now(UTC))
    later = harm(spine, "b")
    respond(spine, home)
    assert plans(home) == []
    assert not (home / "outbox.jsonl").exists()
    state = state_of(spine, CLIENT)
    assert (state.decided[shift_of(later)]["decision"], state.decided[shift_of(later)]["policy"]) == (
        "deny",
        "agent_stopped",
    )
    resume_agent(spine, ledger, "*", by="eve", reason="out", now=datetime.now(UTC))
    respond(spine, home)
    assert status(spine, shift_of(event)) == "executed"
    assert plans(home) == [f"{shift_of(event)}.json"]


def test_a_stop_between_consent_and_act_holds(spine: Spine, home: Path) -> None:
    policy, event = with_people(home), harm(spine)
    respond(spine, home, policy=policy)
    give(spine)
    stop_agent(spine, CLIENT, "pacer", by="eve", reason="odd", now=datetime.now(UTC))
    respond(spine, home, policy=policy)
    assert plans(home) == []
    assert [each.status for each in spine.approvals(CLIENT)] == ["given"]
    resume_agent(spine, CLIENT, "pacer", by="eve", reason="fine", now=datetime.now(UTC))
    respond(spine, home, policy=policy)
    assert status(spine, shift_of(event)) == "executed"


def test_what_is_taken_back_gives_its_money_and_targets_back(spine: Spine, home: Path) -> None:
    event = harm(spine)
    respond(spine, home)
    row = state_of(spine, CLIENT).decided[shift_of(event)]
    order = Order(
        client=CLIENT, action_id=shift_of(event), agent_id="pacer", action="shift_budget",
        arguments=json.loads(row["arguments"]), ordered_at=NOW,
    )  # fmt: skip
    gate = gate_of(spine)
    busy = gate.authorise(outside())
    assert "outside's adjust_bid" in str(hold_for_undo(spine, order, by="eve", now=datetime.now(UTC)))
    gate.release(busy.decision_id)
    assert hold_for_undo(spine, order, by="eve", now=datetime.now(UTC)) is None
    note = LedgerNote(
        "agent_action", "eve", {"action_id": shift_of(event), "status": "taken_back", "outcome": "o"}, "u"
    )
    write_undone(spine, order, note, now=datetime.now(UTC))
    assert money_of(spine) == [(0, 0)]
    assert spine.ledger(CLIENT)[-1].content["refunded"] == 300_000_000
    assert gate.authorise(outside()).decision == "allow"


def test_an_explanation_shows_money_targets_and_consent(spine: Spine, home: Path) -> None:
    policy, event = with_people(home), harm(spine)
    respond(spine, home, policy=policy)
    give(spine)
    respond(spine, home, policy=policy)
    newest = state_of(spine, CLIENT).newest
    assert newest is not None
    found = explain_newest(spine, CLIENT, newest)
    assert found is not None
    assert found.action_id == shift_of(event)
    stages = {stage.name: stage for stage in found.stages}
    assert stages["holding"].short == "300.00 promised, 3 target(s)"
    assert any("settled 300.00" in line for line in stages["holding"].lines)
    assert (stages["approval"].status, stages["approval"].short) == ("ok", "given by eve")
    assert "used: it covers this one action, and no other" in stages["approval"].lines
    assert "300.00 promised" in explanation_markdown(found)
