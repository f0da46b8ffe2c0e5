"""The gate stands between an agent and its tools: what is let through, what is not, and what is written down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_house import CLIENT, NOW, Clock, agent, ask, gate, policy

from liftos_pipelines.assets.agentic_ledger import resume_agent, stop_agent
from liftos_pipelines.authority.guarded import CallRefused
from liftos_pipelines.authority.requests import AlreadyEnded, DecisionUnknown, GateError, NotAuthorised
from liftos_pipelines.authority.stops import EVERY_CLIENT
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import BudgetExhausted


@pytest.fixture
def spine(tmp_path: Path) -> Iterator[Spine]:
    opened = Spine(f"sqlite:///{tmp_path / 'spine.db'}")
    yield opened
    opened.engine.dispose()


def kinds(spine: Spine) -> list[str]:
    return [entry.kind for entry in spine.ledger(CLIENT)]


def test_an_allowed_call_reserves_its_money_is_settled_and_stands_in_the_ledger(spine: Spine) -> None:
    door = gate(spine)
    answer = door.authorise(ask())
    assert (answer.decision, answer.policy, answer.reservation_id) == ("allow", "reversible", answer.decision_id)
    (pot,) = spine.pots(CLIENT)
    assert (pot.reserved, pot.settled, pot.limit) == (10_000_000, 0, 100_000_000)
    door.confirm(answer.decision_id)
    assert door.settle(answer.decision_id, 8.5).cost == "8.5"
    (pot,) = spine.pots(CLIENT)
    assert (pot.reserved, pot.settled) == (0, 8_500_000)
    assert kinds(spine) == ["gate_decision", "gate_outcome"]
    assert spine.verify_ledger(CLIENT).verified


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (ask(tool=None), "malformed_call"),
        (ask(arguments="{not json"), "malformed_call"),
        (ask(arguments="[1, 2]"), "malformed_call"),
        (ask(arguments={"amount": float("nan")}), "malformed_call"),
        (ask(arguments={"amount": 2**60}), "malformed_call"),
        (ask(arguments={"text": "a\x00b"}), "malformed_call"),
        (ask(arguments={"amount": "ten"}), "amount_unknown"),
        (ask(cost=-1.0), "malformed_call"),
        (ask(run_id=""), "malformed_call"),
        (ask(tool="x" * 200), "malformed_call"),
        (ask(agent_id="stranger"), "unknown_agent"),
        (ask(agent_version="9"), "unknown_version"),
        (ask(tool="launch_rocket"), "unknown_tool"),
        (ask(arguments={"amount": 101}), "budget_exhausted"),
    ],
)
def test_what_cannot_be_read_or_is_not_known_is_denied_by_name(spine: Spine, request_: Any, why: str) -> None:
    answer = gate(spine).authorise(request_)
    assert (answer.decision, answer.policy) == ("deny", why), answer
    assert kinds(spine)[0] == "gate_decision"
    assert sum(pot.reserved for pot in spine.pots(CLIENT)) == 0


def test_a_request_asked_twice_is_one_decision_and_another_content_under_its_id_is_denied(spine: Spine) -> None:
    door = gate(spine)
    first = door.authorise(ask(request_id="q"))
    assert door.authorise(ask(request_id="q")) == first
    assert spine.pots(CLIENT)[0].reserved == 10_000_000
    changed = door.authorise(ask(request_id="q", arguments={"amount": 11, "campaign_id": "c1"}))
    assert (changed.decision, changed.policy) == ("deny", "request_changed")
    door.settle(first.decision_id, 10)
    assert door.authorise(ask(request_id="q")).policy == "already_ended"
    assert kinds(spine) == ["gate_decision", "gate_decision", "gate_outcome", "gate_decision"]


def test_a_hard_budget_stops_at_its_limit_and_raises_its_event_once(spine: Spine) -> None:
    door = gate(spine)
    decided = [door.authorise(ask(request_id=str(n), arguments={"amount": 30})).decision for n in range(5)]
    assert decided == ["allow"] * 3 + ["deny"] * 2
    (event,) = spine.events(CLIENT, [BudgetExhausted.type])
    assert isinstance(event.payload, BudgetExhausted)
    assert (event.payload.agent_id, event.payload.limit, event.payload.spent) == ("a", 100.0, 120.0)
    # The next day is another pot.
    later = gate(spine, clock=Clock(NOW.replace(day=3)))
    assert later.authorise(ask(request_id="new", arguments={"amount": 30})).allowed


def test_limits_of_run_agent_and_client_hold_at_once(spine: Spine) -> None:
    budgets = [
        {"scope": "run", "period": "run", "limit": 50},
        {"scope": "client", "period": "month", "limit": 80},
    ]
    door = gate(spine, by=policy(budgets=budgets))

    def spend(name: str, run: str, who: str, amount: float) -> str:
        request = ask(request_id=name, run_id=run, agent_id=who, arguments={"amount": amount})
        answer = door.authorise(request)
        return (
            f"{answer.decision} {answer.reason.split(' has given')[0].split('that ')[-1] if not answer.allowed else ''}"
        )

    assert spend("1", "r1", "a", 40).startswith("allow")
    assert spend("2", "r1", "a", 20) == "deny run:r1:run:r1"
    assert spend("3", "r2", "b", 40).startswith("allow")
    assert spend("4", "r3", "b", 1) == "deny client:acme:month:2026-03"
    assert spend("5", "r3", "a", 61) == "deny agent:a:day:2026-03-02"


def test_sequence_rules_see_what_other_processes_let_through(spine: Spine) -> None:
    here, there = gate(spine), gate(Spine(spine.url))
    mail = ask("send_mail", {"to": "x"})
    assert there.authorise(ask("send_mail", {"to": "x"}, request_id="0")).allowed
    assert here.authorise(ask("read_customer", {}, request_id="1")).allowed
    denied = there.authorise(mail)
    assert (denied.decision, denied.policy) == ("deny", "mail_after_customer")
    # The dummy beside it: another run did not read the customer.
    assert there.authorise(ask("send_mail", {"to": "x"}, run_id="r2")).allowed


def test_a_message_of_a_decision_that_failed_was_never_said(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"name": "agreed", "decision": "allow", "when": {"tool": "send_mail", "last_message": {"matches": "yes"}}}
    door = gate(spine, by=policy(rules=[rule]))
    assert door.authorise(ask("read_customer", {}, request_id="0")).decision == "needs_approval"
    with monkeypatch.context() as broken:
        broken.setattr(spine, "append_within", lambda *_, **__: 1 / 0)
        lost = door.authorise(ask("send_mail", {"to": "x"}, request_id="1", last_message="user: yes"))
        assert lost.policy == "gate_unavailable"
    assert door.authorise(ask("send_mail", {"to": "x"}, request_id="2")).decision == "needs_approval"
    # The row that comes next takes the place of the lost one, and is seen.
    assert door.authorise(ask("send_mail", {"to": "x"}, request_id="3", last_message="user: yes")).allowed


def test_the_history_of_a_run_is_known_to_a_gate_that_starts_later(spine: Spine) -> None:
    gate(spine).authorise(ask("read_customer", {}))
    assert gate(spine).authorise(ask("send_mail", {"to": "x"})).policy == "mail_after_customer"


def test_a_stop_holds_from_the_next_decision_and_also_against_what_was_allowed(spine: Spine) -> None:
    clock = Clock()
    door = gate(spine, clock=clock)
    allowed = door.authorise(ask(request_id="before"))
    for name in ("a", "*"):
        stop_agent(spine, CLIENT, name, by="ann", reason="too eager", now=NOW)
        stopped = door.authorise(ask(request_id=f"while {name}"))
        assert (stopped.decision, stopped.policy) == ("deny", "agent_stopped")
        assert door.authorise(ask(request_id="before")).policy == "agent_stopped"
        with pytest.raises(NotAuthorised, match="stopped since"):
            door.confirm(allowed.decision_id)
        other = door.authorise(ask(request_id=f"b while {name}", agent_id="b", arguments={"amount": 1}))
        assert other.allowed is (name == "a")
        assert resume_agent(spine, CLIENT, name, by="ann", reason="fine", now=NOW)
        assert door.authorise(ask(request_id=f"after {name}", arguments={"amount": 1})).allowed


def test_one_stop_reaches_every_client(spine: Spine) -> None:
    door = gate(spine)
    assert door.authorise(ask(request_id="1")).allowed
    stop_agent(spine, EVERY_CLIENT, "*", by="ann", reason="incident", now=NOW)
    assert door.authorise(ask(request_id="2")).policy == "agent_stopped"
    assert door.stopped() == {"*": "ann: incident"}


def test_a_gate_without_its_spine_lets_nothing_through(spine: Spine, tmp_path: Path) -> None:
    door = gate(spine)
    with spine.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE budget_pots")
    answer = door.authorise(ask())
    assert (answer.decision, answer.policy) == ("deny", "gate_unavailable")

    def broken() -> Any:
        raise OSError("the lake cannot be reached")

    door._agents = broken
    assert door.authorise(ask()).policy == "gate_unavailable"


def test_what_was_released_or_never_allowed_cannot_be_settled(spine: Spine) -> None:
    door = gate(spine)
    first, denied = door.authorise(ask(request_id="1")), door.authorise(ask(request_id="2", tool="nothing"))
    assert door.release(first.decision_id).status == "released"
    assert door.release(first.decision_id).status == "released"
    assert spine.pots(CLIENT)[0].reserved == 0
    with pytest.raises(AlreadyEnded):
        door.settle(first.decision_id, 1)
    with pytest.raises(NotAuthorised):
        door.settle(denied.decision_id, 1)
    with pytest.raises(DecisionUnknown):
        door.settle("nobody", 1)
    second = door.authorise(ask(request_id="3"))
    with pytest.raises(GateError):
        door.settle(second.decision_id, float("nan"))
    with pytest.raises(GateError):
        door.settle(second.decision_id, -3)
    assert door.settle(second.decision_id, 4) == door.settle(second.decision_id, 4)
    with pytest.raises(AlreadyEnded):
        door.settle(second.decision_id, 5)


def test_a_call_that_cost_more_than_there_was_exhausts_the_budget_at_once(spine: Spine) -> None:
    door = gate(spine)
    answer = door.authorise(ask(request_id="1"))
    assert door.settle(answer.decision_id, 130).overrun == "30"
    (pot,) = spine.pots(CLIENT)
    assert (pot.settled, pot.reserved, pot.overrun) == (100_000_000, 0, 30_000_000)
    assert door.authorise(ask(request_id="2", arguments={"amount": 0})).policy == "budget_exhausted"
    assert len(spine.events(CLIENT, [BudgetExhausted.type])) == 1


def test_a_decorated_tool_runs_only_when_it_is_let_through(spine: Spine) -> None:
    door, bids = gate(spine), []

    @door.guarded("adjust_bid", run_id="r1", agent_id="a", incident="i1")
    def adjust_bid(campaign_id: str, amount: float) -> str:
        bids.append(amount)
        if amount == 13:
            raise RuntimeError("the ad platform said no")
        return "done"

    assert adjust_bid("c1", amount=60) == "done"
    with pytest.raises(CallRefused, match="budget_exhausted"):
        adjust_bid("c2", amount=60)
    with pytest.raises(RuntimeError, match="ad platform"):
        adjust_bid("c3", amount=13)
    assert bids == [60, 13]
    ended = [entry.content["outcome"] for entry in spine.ledger(CLIENT, kinds=["gate_outcome"])]
    assert ended == ["succeeded", "failed"]


def test_a_changed_policy_holds_from_the_next_decision(spine: Spine) -> None:
    now = [policy()]
    door = gate(spine)
    door._policy = lambda: now[0]
    assert door.authorise(ask(request_id="1")).allowed
    now[0] = policy(rules=[{"name": "none", "decision": "deny", "when": {"tool": "*"}}])
    changed = door.authorise(ask(request_id="2"))
    assert (changed.decision, changed.policy, changed.policy_version) == ("deny", "none", now[0].version)


def test_a_suspended_version_by_the_ledger_decides_nothing(spine: Spine) -> None:
    door = gate(spine)
    body = {
        "agent_id": "a",
        "version": "1",
        "from": "live",
        "to": "suspended",
        "by": "ann",
        "reason": "r",
        "evidence": {},
    }
    spine.append_ledger(CLIENT, "agent_transition", "ann", body, idempotency_key="t")
    assert door.authorise(ask()).policy == "agent_stopped"
    assert door.authorise(ask(agent_id="b")).allowed


def test_an_agent_without_a_budget_needs_no_reservation_and_can_be_settled(spine: Spine) -> None:
    door = gate(spine, agent("a", budget=None))
    answer = door.authorise(ask())
    assert answer.allowed
    assert answer.reservation_id is None
    assert door.settle(answer.decision_id).cost is None
