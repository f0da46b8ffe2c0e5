"""Policies decide as they say, refuse to load where they are wrong, and decide fast."""

from __future__ import annotations

import copy
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from agentic_frames import DEFAULT, START, agents, call, default_policy, policy, steps

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.policy import Policy, PolicyError
from liftos_pipelines.modules.agentic.replay import replay

ONE = agents({"agent_id": "a"})


def decided(*rows: dict[str, Any], by: Policy | None = None, known: Any = ONE) -> list[tuple[str, str]]:
    found = replay(steps(*rows), known, by or default_policy()).decisions
    return list(found.select("decision", "policy").iter_rows())


def test_the_default_allows_the_small_and_reversible_asks_for_the_rest_and_denies_the_unknown() -> None:
    assert decided(
        call("notify", {"text": "hi"}),
        call("shift_budget", {"amount": 900}),
        call("shift_budget", {"amount": 1001}),
        call("publish_ad", {"amount": 1}),
        call("frobnicate"),
    ) == [
        ("allow", "reversible_and_small"),
        ("allow", "reversible_and_small"),
        ("needs_approval", "default"),
        ("needs_approval", "default"),
        ("deny", "unknown_tool"),
    ]


@pytest.mark.parametrize("amount", [None, -5, "900", True])
def test_an_amount_that_cannot_be_read_never_counts_as_small(amount: object) -> None:
    arguments = {} if amount is None else {"amount": amount}
    assert decided(call("shift_budget", arguments)) == [("needs_approval", "default")]


def test_malformed_calls_are_denied_with_the_reason() -> None:
    found = replay(
        steps(
            call("notify", "{not json"),
            call("notify", "[1]"),
            call(None),
            call("notify", {}, cost=-1.0),
            call("notify", {}, cost=float("nan")),
            call("shift_budget", {"amount": float("nan")}),
            call("shift_budget", '{"amount": 1, "amount": 100000}'),
            call("notify", "[" * 100_000),
        ),
        ONE,
        default_policy(),
    )
    assert set(found.decisions["policy"]) == {"malformed_call"}
    reasons = " ".join(found.decisions["reason"])
    assert "not JSON" in reasons
    assert "not a JSON object but list" in reasons
    assert "names no tool" in reasons
    assert "NaN is not a JSON number" in reasons
    assert '"amount" is given twice' in reasons
    assert len(found.violations) == 8


def test_an_unknown_or_stopped_agent_is_denied() -> None:
    assert decided(call("notify"), known=agents({"agent_id": "somebody else"})) == [("deny", "unknown_agent")]
    assert decided(call("notify"), known=agents({"agent_id": "a", "stage": "retired"})) == [("deny", "agent_stopped")]


def test_an_agent_uses_only_its_tools_and_a_shadow_agent_only_proposes() -> None:
    known = agents({"agent_id": "a", "capabilities": ["read_*", "custom_tool"]})
    assert decided(call("read_metrics"), call("notify"), call("custom_tool"), known=known) == [
        ("allow", "reversible_and_small"),
        ("deny", "capabilities"),
        ("needs_approval", "default"),
    ]
    shadow = agents({"agent_id": "a", "stage": "shadow"})
    assert decided(call("read_metrics"), call("notify"), known=shadow) == [
        ("allow", "reversible_and_small"),
        ("needs_approval", "shadow_agents_only_propose"),
    ]


def test_personal_data_may_not_leave_after_it_was_read_but_other_mail_may_be_asked_for() -> None:
    outside, inside = {"to": "x@vendor.example"}, {"to": "team@mail.acme.example"}
    assert [d for d, _ in decided(call("send_mail", outside), call("read_customer"), call("send_mail", inside))] == [
        "needs_approval", "allow", "needs_approval",
    ]  # fmt: skip
    assert decided(call("read_customer"), call("send_mail", outside))[1] == ("deny", "personal_data_stays_inside")
    assert (
        decided(call("read_customer"), call("send_mail", {"to": "team@acme.example, x@vendor.example"}))[1][0] == "deny"
    )
    assert decided(call("read_customer"), call("send_mail", {"to": "x@notacme.example"}))[1][0] == "deny"


def test_sequences_do_not_reach_across_runs() -> None:
    first = steps(call("read_customer"), run_id="r1")
    second = steps(call("send_mail", {"to": "x@vendor.example"}), run_id="r2", at=START + timedelta(hours=1))
    found = replay(first.vstack(second), ONE, default_policy()).decisions
    assert found["decision"].to_list() == ["allow", "needs_approval"]


def test_the_budget_stops_hard_once_a_day_and_raises_one_event() -> None:
    known = agents({"agent_id": "a", "budget": 500.0})
    day_1 = steps(*[call("shift_budget", {"amount": 200})] * 4, run_id="r1")
    day_2 = steps(call("shift_budget", {"amount": 200}), run_id="r2", at=START + timedelta(days=1))
    found = replay(day_1.vstack(day_2), known, default_policy())
    assert found.decisions["decision"].to_list() == ["allow", "allow", "deny", "deny", "allow"]
    assert [(e.agent_id, e.limit, e.spent) for e in found.exhausted] == [("a", 500.0, 600.0)]


def test_repeats_and_rates_are_counted() -> None:
    rules = {
        "extends": "default",
        "rules": [
            {"name": "few_mails", "decision": "deny", "when": {"tool": "notify", "repeat": {"more_than": 2}}},
            {
                "name": "slow",
                "decision": "deny",
                "when": {"tool": "open_ticket", "rate": {"more_than": 2, "per": "10m"}},
            },
        ],
    }
    by = policy(rules)
    assert [d for d, _ in decided(*[call("notify")] * 3, by=by)] == ["allow", "allow", "deny"]
    assert [d for d, _ in decided(*[call("open_ticket")] * 3, by=by)] == ["allow", "allow", "deny"]
    spread = steps(*[call("open_ticket", None, at=START + timedelta(minutes=9 * i)) for i in range(4)])
    assert replay(spread, ONE, by).decisions["decision"].to_list() == ["allow"] * 4


def test_a_deny_beats_an_approval_beats_an_allow_whatever_the_order() -> None:
    rules = [
        {"name": "yes", "decision": "allow", "when": {"tool": "notify"}},
        {"name": "ask", "decision": "needs_approval", "when": {"tool": "not*"}},
        {"name": "no", "decision": "deny", "when": {"tool": "notify", "stage": "live"}},
    ]
    for order in (rules, rules[::-1]):
        assert decided(call("notify"), by=policy({"extends": "default", "rules": order})) == [("deny", "no")]
    without = policy({"extends": "default", "rules": rules[:2]})
    assert decided(call("notify"), by=without) == [("needs_approval", "ask")]


def test_steps_out_of_order_are_judged_in_order_and_only_calls_get_a_record() -> None:
    rows = steps({"kind": "message", "content": "hi"}, call("read_customer"), call("send_mail", {"to": "x@v.example"}))
    assert replay(rows.reverse(), ONE, default_policy()).decisions["decision"].to_list() == ["allow", "deny"]


def test_the_version_is_the_contents_and_not_the_writing() -> None:
    shuffled = dict(reversed(list(copy.deepcopy(DEFAULT).items())))
    assert policy(shuffled).version == policy(copy.deepcopy(DEFAULT)).version
    changed = copy.deepcopy(DEFAULT)
    changed["rules"][-1]["when"]["amount"]["at_most"] = 1001
    assert policy(changed).version != policy(copy.deepcopy(DEFAULT)).version
    assert len(default_policy().version) == 64


RULE = {"name": "r", "decision": "deny", "when": {"tool": "notify"}}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("nothing", ["expected fields"]),
        ({"ruels": []}, ["ruels", 'closest: "rules"']),
        ({"extends": "default", "rules": [RULE | {"decision": "denied"}]}, ['rule "r"', "decision", "'denied'"]),
        ({"extends": "default", "rules": [{"name": "r", "decision": "deny"}]}, ['rule "r"', "when"]),
        ({"extends": "default", "rules": [{"decision": "deny"}]}, ["rules[", "name"]),
        ({"extends": "default", "rules": [RULE | {"when": {"tool": "notfy"}}]}, ['rule "r"', "when.tool", 'closest: "notify"']),
        ({"extends": "default", "rules": [RULE | {"when": {"tol": "notify"}}]}, ['rule "r"', "when.tol", 'closest: "tool"']),
        ({"extends": "default", "rules": [RULE | {"when": {"stage": "prod"}}]}, ['rule "r"', "when.stage"]),
        ({"extends": "default", "rules": [RULE | {"when": {"amount": {"over": 5}}}]}, ['rule "r"', "when.amount.over"]),
        ({"extends": "default", "rules": [RULE | {"when": {"amount": {"above": "much"}}}]}, ["when.amount.above"]),
        ({"extends": "default", "rules": [RULE | {"when": {"rate": {"more_than": 5, "per": "soon"}}}]}, ["when.rate.per"]),
        ({"extends": "default", "rules": [RULE | {"when": {"last_message": {"matches": "("}}}]}, ["regular expression"]),
        ({"extends": "default", "rules": [RULE | {"when": {"arguments": {"to": {"domain_in": "friends"}}}}]}, ["friends"]),
        ({"extends": "default", "rules": [RULE, RULE | {"name": "s", "decision": "allow"}]}, ['rule "s"', 'rule "r"', "keep one"]),
        ({"extends": "default", "rules": [RULE, RULE]}, ["used twice"]),
        ({"tools": {"x": {"reversable": True}}}, ["tools.x.reversable"]),
        ({"budget": {"period": "fortnight"}}, ["budget.period"]),
        ({"extends": "strict"}, ["extends"]),
    ],
)  # fmt: skip
def test_a_wrong_policy_names_file_rule_and_field(content: object, named: list[str]) -> None:
    with pytest.raises(PolicyError, match=r"policies\.yaml") as error:
        policy(content)  # type: ignore[arg-type]
    for part in named:
        assert part in str(error.value)


def hundred_rules() -> Policy:
    rules: list[dict[str, Any]] = [
        {
            "name": f"rule_{i}",
            "decision": ("deny", "needs_approval")[i % 2],
            "when": {
                "stage": ["live", "canary"],
                "arguments": {"campaign": {"equals": f"none-{i}"}, "amount": {"above": 5000 + i}},
                **({"after": {"tool": "read_customer"}} if i % 5 == 0 else {}),
                **({"repeat": {"more_than": 20 + i}} if i % 7 == 0 else {}),
            },
        }
        for i in range(100)
    ]
    return policy({"extends": "default", "rules": rules})


def test_a_decision_at_100_rules_takes_less_than_a_tenth_of_a_millisecond() -> None:
    engine = PolicyEngine(hundred_rules())
    assert len(engine.policy.rules) >= 100
    agent = AgentFacts(agent_id="a", stage="live", capabilities=frozenset({"shift_budget", "read_metrics"}), budget=1e9)
    times = []
    for run in range(200):
        history = RunHistory(run_id=f"r{run}", agents=AgentHistory())
        for i in range(10):
            made = engine.call(agent, "shift_budget", {"amount": 10 + i, "campaign": f"c{i}"}, START, 0.01)
            assert not isinstance(made, str)
            start = time.process_time()
            verdict = engine.judge(made, history)
            times.append(time.process_time() - start)
            engine.record(made, verdict, history)
    print(f"100 rules: p50 {np.median(times) * 1e3:.4f} ms, p95 {np.quantile(times, 0.95) * 1e3:.4f} ms (CPU)")
    assert verdict.decision == "allow"
    assert np.median(times) < 1e-4
