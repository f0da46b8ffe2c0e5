"""What a call needs beside the policy's word: people's consent to exactly it, and targets that nobody else acts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_house import CLIENT, NOW, Clock, agent, ask, gate, policy

from liftos_pipelines.authority.requests import Authorisation, NotAuthorised
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.spine.approvals import VoterRefused
from liftos_pipelines.spine.database import Spine

AD = {"amount": 20, "text": "Frühling"}


@pytest.fixture
def spine(tmp_path: Path) -> Iterator[Spine]:
    opened = Spine(f"sqlite:///{tmp_path / 'spine.db'}")
    yield opened
    opened.engine.dispose()


def publish(name: str = "q", **fields: Any) -> Any:
    return replace(ask("publish_ad", AD), request_id=name, **fields)


def consent(spine: Spine, answer: Authorisation, who: str = "ann", given: bool = True) -> None:
    assert answer.approval_id is not None
    spine.decide_approval(CLIENT, answer.approval_id, given=given, approver=who, reason="r", now=NOW)


def test_a_call_that_needs_consent_holds_nothing_until_it_is_given_and_then_runs_once(spine: Spine) -> None:
    door = gate(spine)
    asked = door.authorise(publish())
    assert (asked.decision, asked.policy) == ("needs_approval", "publishing")
    assert door.authorise(publish()) == asked
    assert [pot.reserved for pot in spine.pots(CLIENT)] in ([], [0])
    consent(spine, asked)
    allowed = door.authorise(publish())
    assert (allowed.decision, allowed.approval_id, allowed.attempt) == ("allow", asked.approval_id, 2)
    assert "approved by ann" in allowed.reason
    assert door.authorise(publish()) == allowed
    # The consent is used up: the same action again is asked for again.
    again = door.authorise(publish("q2"))
    assert again.decision == "needs_approval"
    assert again.approval_id != asked.approval_id
    claimed = door.authorise(publish("q3", approval_id=asked.approval_id))
    assert (claimed.decision, claimed.policy) == ("deny", "approval_closed")
    decisions = [entry.content["decision"] for entry in spine.ledger(CLIENT, kinds=["gate_decision"])]
    assert decisions == ["needs_approval", "allow", "needs_approval", "deny"]


def test_changed_arguments_policy_or_agent_are_denied_by_name_when_consent_is_claimed(spine: Spine) -> None:
    door = gate(spine)
    asked = door.authorise(publish())
    consent(spine, asked)
    changed: list[dict[str, Any]] = [
        {"arguments": {**AD, "amount": 20.01}},
        {"arguments": {**AD, "text": "Frühling!"}},
        {"agent_id": "b"},
        {"subject": "somebody"},
    ]
    for number, change in enumerate(changed):
        answer = door.authorise(publish(f"x{number}", approval_id=asked.approval_id, **change))
        assert (answer.decision, answer.policy) == ("deny", "approval_for_something_else"), change
        assert sum(pot.reserved for pot in spine.pots(CLIENT)) == 0
    moved = gate(spine, by=policy(name="moved"))
    answer = moved.authorise(publish("y", approval_id=asked.approval_id))
    assert (answer.decision, answer.policy) == ("deny", "approval_for_something_else")
    assert "policy version" in answer.reason
    assert door.authorise(publish("z", approval_id="nothing")).policy == "approval_unknown"
    # The dummy beside them: the action itself.
    assert door.authorise(publish("w", approval_id=asked.approval_id)).allowed


def test_a_denied_or_expired_request_is_a_denial(spine: Spine) -> None:
    clock = Clock()
    door = gate(spine, clock=clock)
    consent(spine, door.authorise(publish()), given=False)
    assert door.authorise(publish()).policy == "approval_denied"
    late = door.authorise(publish("late"))
    assert late.decision == "needs_approval"
    clock.pass_(days=8)
    assert door.authorise(publish("late")).policy == "approval_expired"


def test_several_people_must_agree_where_policy_wants_it_and_neither_asker_nor_owner_counts(spine: Spine) -> None:
    rule = {"name": "two", "decision": "needs_approval", "when": {"tool": "publish_ad"}, "approvers": {"quorum": 2}}
    door = gate(spine, by=policy(rules=[rule]))
    asked = door.authorise(publish(requested_by="Ann"))
    for barred in ("ann", "Growth", "a"):
        with pytest.raises(VoterRefused):
            consent(spine, asked, barred)
    consent(spine, asked, "bob")
    assert door.authorise(publish(requested_by="Ann")).decision == "needs_approval"
    consent(spine, asked, "cem")
    assert door.authorise(publish(requested_by="Ann")).allowed


def test_nobody_is_asked_for_what_the_budget_cannot_bear(spine: Spine) -> None:
    door = gate(spine, agent("a", budget=10))
    assert door.authorise(publish()).policy == "budget_exhausted"
    assert spine.approvals(CLIENT) == []


def test_a_soft_budget_asks_and_is_overdrawn_once_by_consent(spine: Spine) -> None:
    soft = {"scope": "client", "period": "day", "limit": 15, "hard": False}
    door = gate(spine, by=policy(budgets=[soft]))
    assert door.authorise(ask(request_id="1")).allowed
    over = ask(arguments={"amount": 9, "campaign_id": "c2"}, request_id="2")
    asked = door.authorise(over)
    assert (asked.decision, asked.policy) == ("needs_approval", "budget")
    consent(spine, asked)
    allowed = door.authorise(over)
    assert allowed.allowed
    assert allowed.approval_id == asked.approval_id
    assert (
        door.authorise(replace(over, request_id="3", arguments={"amount": 9, "campaign_id": "c3"})).decision
        == "needs_approval"
    )


RAISE = {"channel": "tv", "amount": 5}


def test_two_agents_on_one_incident_do_not_do_the_same_twice(spine: Spine) -> None:
    door = gate(spine)
    first = door.authorise(ask("raise_budget", RAISE, request_id="1", incident="i"))
    twin = ask("raise_budget", RAISE, agent_id="b", run_id="r2", incident="i")
    denied = door.authorise(replace(twin, request_id="2"))
    assert (denied.decision, denied.policy) == ("deny", "lease_duplicate")
    door.settle(first.decision_id, 5)
    assert door.authorise(replace(twin, request_id="3")).policy == "lease_duplicate"
    assert door.authorise(replace(twin, request_id="4", incident="another")).allowed
    refused = spine.ledger(CLIENT, kinds=["lease_refused"])
    assert [entry.content["with"] for entry in refused] == [first.decision_id] * 2
    # A duplicate is no wrongdoing: rules that look for denials do not see it.
    assert sum(pot.reserved + pot.settled for pot in spine.pots(CLIENT) if ":b:" in pot.pot) == 5_000_000


def test_a_failed_action_may_be_tried_again(spine: Spine) -> None:
    door = gate(spine)
    first = door.authorise(ask("raise_budget", RAISE, request_id="1", incident="i"))
    door.settle(first.decision_id, 0, "failed")
    assert door.authorise(ask("raise_budget", RAISE, request_id="2", incident="i")).allowed


def test_an_opposite_is_refused_and_an_overlapping_write_waits_for_its_turn(spine: Spine) -> None:
    door = gate(spine)
    first = door.authorise(ask("raise_budget", RAISE, request_id="1", incident="i"))
    lower = ask("lower_budget", {"channel": "tv", "percent": 5}, request_id="2", agent_id="b", incident="i")
    assert door.authorise(lower).policy == "lease_conflict"
    bid = ask("adjust_bid", {"channel": "tv", "amount": 1}, request_id="3", agent_id="b", incident="i")
    waits = door.authorise(bid)
    assert (waits.decision, waits.policy, waits.retry_after) == ("wait", "lease_ordered", 1.0)
    assert door.authorise(bid) == waits
    with pytest.raises(NotAuthorised):
        door.confirm(waits.decision_id)
    door.settle(first.decision_id, 5)
    turn = door.authorise(bid)
    assert turn.allowed
    assert turn.leases["channel:tv"] > first.leases["channel:tv"]
    kinds = [entry.kind for entry in spine.ledger(CLIENT) if entry.kind.startswith("lease")]
    assert kinds == ["lease_refused", "lease_ordered"]


def test_a_late_holder_cannot_act_and_its_late_word_is_marked(spine: Spine) -> None:
    clock = Clock()
    door = gate(spine, clock=clock)
    late = door.authorise(ask("raise_budget", RAISE, request_id="1"))
    clock.pass_(minutes=6)
    other = door.authorise(ask("adjust_bid", {"channel": "tv", "amount": 1}, request_id="2", agent_id="b"))
    assert other.allowed
    with pytest.raises(NotAuthorised, match="leases are over"):
        door.confirm(late.decision_id)
    assert not door.settle(late.decision_id, 5).in_time
    door.confirm(other.decision_id)


def test_money_of_an_agent_that_crashed_comes_back_and_its_old_answer_is_worth_nothing(spine: Spine) -> None:
    clock = Clock()
    door = gate(spine, clock=clock, settings=GateSettings())
    request = ask(request_id="1", arguments={"amount": 90})
    crashed = door.authorise(request)
    assert door.authorise(ask(request_id="2", arguments={"amount": 20})).policy == "budget_exhausted"
    clock.pass_(minutes=16)
    assert door.authorise(ask(request_id="3", arguments={"amount": 20})).allowed
    assert door.authorise(request).policy == "already_ended"
    with pytest.raises(NotAuthorised, match="given back"):
        door.confirm(crashed.decision_id)
