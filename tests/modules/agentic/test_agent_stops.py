"""Who is stopped, from when, until when; and the ledger read on from where it was left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from agentic_frames import agents

from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.policy import parse_policy
from liftos_pipelines.modules.agentic.replay import agents_known
from liftos_pipelines.modules.agentic.stops import NEWS, of_budget, of_violation, period_end

NOW = datetime(2025, 9, 20, 15, tzinfo=UTC)


def stopped(until: datetime | None = None, event: str = "e1") -> dict[str, object]:
    return {
        "agent_id": "pacer", "event_id": event, "reason": "it broke policy",
        "until": until.isoformat() if until else None,
    }  # fmt: skip


def test_a_violation_in_the_news_stops_until_a_person_says_so_and_one_in_history_does_not() -> None:
    assert of_violation("p", "w", NOW, NOW).stops
    assert of_violation("p", "w", NOW, NOW).until is None
    assert not of_violation("p", "w", NOW - NEWS - timedelta(days=1), NOW).stops
    assert of_violation("p", "w", NOW, None).stops


@pytest.mark.parametrize(
    ("period", "end"),
    [
        ("day", datetime(2025, 9, 21, tzinfo=UTC)),
        ("month", datetime(2025, 10, 1, tzinfo=UTC)),
        ("run", NOW),
        ("total", None),
    ],
)
def test_a_spent_budget_stops_until_its_period_is_over(period: str, end: datetime | None) -> None:
    assert period_end(NOW, period) == end
    assert of_budget(10, 12, NOW, period, NOW).stops == (period != "run")
    assert of_budget(10, 12, NOW, period, NOW + timedelta(days=60)).stops == (period == "total")


def test_a_stop_of_all_denies_every_agent_until_it_is_resumed() -> None:
    state = LedgerState()
    state.fold(0, "agent_stopped", stopped() | {"agent_id": "*"}, NOW)
    engine = PolicyEngine(parse_policy({"tools": {"notify": {"reversible": True}}}, file="p"), state.stops_of())
    for name in ("pacer", "tester"):
        agent = agents_known(agents({"agent_id": name, "capabilities": ["notify"]}))[name]
        call = engine.call(agent, "notify", {}, NOW + timedelta(hours=1), None)
        assert not isinstance(call, str)
        assert engine.judge(call, RunHistory(run_id="r", agents=AgentHistory())).policy == "agent_stopped"


def test_a_stop_denies_the_next_call_and_ends_with_a_persons_word() -> None:
    state = LedgerState()
    state.fold(0, "agent_stopped", stopped(), NOW)
    engine = PolicyEngine(parse_policy({"tools": {"notify": {"reversible": True}}}, file="p"), state.stops_of())
    pacer = agents_known(agents({"agent_id": "pacer", "capabilities": ["notify"]}))["pacer"]

    def verdict(at: datetime) -> str:
        call = engine.call(pacer, "notify", {}, at, None)
        assert not isinstance(call, str)
        return engine.judge(call, RunHistory(run_id="r", agents=AgentHistory())).policy

    assert verdict(NOW + timedelta(hours=1)) == "agent_stopped"
    assert verdict(NOW - timedelta(hours=1)) == "default"
    state.fold(1, "agent_resumed", {"agent_id": "pacer", "by": "eve"}, NOW + timedelta(hours=2))
    engine.stops = state.stops_of()
    assert verdict(NOW + timedelta(hours=1)) == "agent_stopped"
    assert verdict(NOW + timedelta(hours=3)) == "default"
    assert state.stopped(NOW + timedelta(hours=3)) == {}


def test_every_reason_must_end_before_the_agent_goes_on() -> None:
    state = LedgerState()
    state.fold(0, "agent_stopped", stopped(NOW + timedelta(days=1), "budget"), NOW)
    state.fold(1, "agent_stopped", stopped(None, "violation"), NOW)
    assert "pacer" in state.stopped(NOW + timedelta(days=2))


def test_what_was_decided_and_done_is_the_same_whether_read_at_once_or_bit_by_bit() -> None:
    decision = {
        "action_id": "a", "agent_id": "pacer", "decision": "allow", "proposed_at": NOW.isoformat(),
        "arguments": '{"amount": 5}',
    }  # fmt: skip
    state = LedgerState()
    state.fold(0, "agent_decision", decision, NOW)
    assert (state.status_of("a"), list(state.open)) == ("decided", ["a"])
    state.fold(1, "agent_action", {"action_id": "a", "status": "failed"}, NOW)
    assert list(state.open) == ["a"]
    state.fold(2, "approval_given", {"anything": 1}, NOW)
    state.fold(3, "agent_action", {"action_id": "a", "status": "executed"}, NOW)
    assert (state.status_of("a"), list(state.open), state.position) == ("executed", [], 3)
