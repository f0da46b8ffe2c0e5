"""A changed policy tried on history: every changed decision is shown, with state of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agentic_frames import START, agents, call, default_policy, policy, steps

from liftos_pipelines.modules.agentic.backtest import back_test, explain, steps_of_decisions
from liftos_pipelines.modules.agentic.replay import replay

ONE = agents({"agent_id": "a"})


def tighter(limit: int, **more: Any) -> Any:
    rule = {"name": "tight", "decision": "needs_approval", "when": {"amount": {"above": limit}}, **more}
    return policy({"extends": "default", "rules": [rule]})


def test_every_changed_decision_is_shown_and_no_other() -> None:
    log = steps(
        call("shift_budget", {"amount": 50}), call("shift_budget", {"amount": 500}), call("publish_ad", {"amount": 500})
    )
    found = back_test(log, ONE, default_policy(), tighter(100))
    assert found.judged == 3
    assert found.changes.select("step", "before", "after", "rule").rows() == [(2, "allow", "needs_approval", "tight")]
    assert found.by_rule.select("before", "after", "rule", "decisions", "first").rows() == [
        ("allow", "needs_approval", "tight", 1, "r1 step 2")
    ]
    back = back_test(log, ONE, tighter(100), default_policy())
    assert back.changes.select("before", "after", "rule").rows() == [("needs_approval", "allow", "tight")]
    assert back_test(log, ONE, default_policy(), default_policy()).changes.is_empty()


def test_who_must_agree_is_a_change_too() -> None:
    log = steps(call("publish_ad", {"amount": 500}))
    found = back_test(log, ONE, tighter(100), tighter(100, approvers={"quorum": 2, "roles": ["finance"]}))
    assert found.changes.select("before_approvers", "after_approvers").rows() == [("1", "2 of role:finance")]


def test_each_policy_keeps_its_own_budgets_and_sequences() -> None:
    """The dummy that must fail: judging each changed call with the old policy's history."""
    known = agents({"agent_id": "a", "budget": 500.0})
    log = steps(*[call("shift_budget", {"amount": 200})] * 3)
    stops_first = policy({
        "extends": "default",
        "rules": [{"name": "first", "decision": "deny", "when": {"tool": "shift_budget", "repeat": {"more_than": 0},
                                                                 "not": {"repeat": {"more_than": 1}}}}],
    })  # fmt: skip
    found = back_test(log, known, default_policy(), stops_first)
    assert found.before.decisions["decision"].to_list() == ["allow", "allow", "deny"]
    # The first is refused and reserves nothing: the third, which the old policy's history would refuse, has room.
    assert found.after.decisions["decision"].to_list() == ["deny", "needs_approval", "needs_approval"]
    assert found.changes["step"].to_list() == [1, 2, 3]


def test_since_limits_what_is_told_and_not_what_is_judged() -> None:
    log = steps(call("shift_budget", {"amount": 500})).vstack(
        steps(call("shift_budget", {"amount": 500}), run_id="r2", at=START + timedelta(days=2))
    )
    found = back_test(log, ONE, default_policy(), tighter(100), since=START + timedelta(days=1))
    assert (found.judged, found.changes["run_id"].to_list()) == (1, ["r2"])
    assert found.after.decisions.height == 2


def test_the_platforms_own_decisions_are_history_too() -> None:
    decided = {
        "action_id": "x1",
        "agent_id": "a",
        "proposed_at": START,
        "action": "shift_budget",
        "arguments": '{"amount": 500}',
    }
    log = steps_of_decisions(
        [decided, decided | {"action_id": "x2", "run_id": "r9", "step": 4, "arguments": {"amount": 1}}]
    )
    assert log.select("run_id", "step").rows() == [("ledger:x1", 1), ("r9", 4)]
    found = back_test(log, ONE, default_policy(), tighter(100))
    assert found.changes["run_id"].to_list() == ["ledger:x1"]
    assert steps_of_decisions([]).is_empty()


def test_a_step_given_twice_is_judged_once_and_named() -> None:
    log = steps(call("read_customer"), call("send_mail", {"to": "x@v.example"}))
    late = steps(
        call("notify"), call("notify", at=START - timedelta(days=1)), run_id="r2", at=START + timedelta(days=1)
    )
    found = replay(log.vstack(log.reverse()).vstack(late), ONE, default_policy())
    assert found.decisions.filter(run_id="r1")["decision"].to_list() == ["allow", "deny"]
    assert found.duplicates == (("r1", 1), ("r1", 2))
    assert found.out_of_order == (("r2", 2),)


def test_a_decision_is_explained_rule_by_rule() -> None:
    log = steps(call("read_customer"), call("send_mail", {"to": "x@vendor.example"}))
    found = explain(log, ONE, default_policy(), "r1", 2)
    assert found is not None
    assert found.verdict.policy == "personal_data_stays_inside"
    held = {asked.rule: (asked.held, asked.kept_off) for asked in found.asked}
    assert held["personal_data_stays_inside"] == (True, "")
    assert held["reversible_and_small"] == (False, "it can be undone")
    assert explain(log, ONE, default_policy(), "r1", 9) is None
