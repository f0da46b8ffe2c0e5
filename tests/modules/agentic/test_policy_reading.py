"""What a policy file may say: typed, all problems at once, each with file, rule, field and the closest known name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from agentic_frames import DEFAULT, START, agents, call, policy, steps

from liftos_pipelines.modules.agentic.facts import ApprovalNeed
from liftos_pipelines.modules.agentic.policy import PolicyError, parse_policy
from liftos_pipelines.modules.agentic.policy.words import condition_in_words, policy_in_words
from liftos_pipelines.modules.agentic.replay import replay
from liftos_pipelines.resources.policy_files import packs, read_policy

ONE = agents({"agent_id": "a"})


def wrong(content: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(PolicyError) as error:
        parse_policy(content, file="p.yaml", base=DEFAULT, variables={"internal_domains": ["acme.example"]}, **more)
    return list(error.value.problems)


def rule(when: dict[str, Any], decision: str = "deny", name: str = "r", **more: Any) -> dict[str, Any]:
    return {"name": name, "decision": decision, "when": when, **more}


def extending(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"extends": "default", "rules": list(rules), **more}


def test_all_problems_are_named_at_once() -> None:
    content = extending(
        rule({"tol": "notify", "amount": {"over": 5}}),
        rule({"tool": "notfy"}, decision="denied", name="s"),
        {"decision": "deny", "when": {"tool": "notify"}},
        ruels=[],
        tools={"x": {"reversable": True, "writes": "maybe so", "arguments": {"n": {"type": "numbr"}}}},
        budgets=[{"scope": "planet", "limit": 5}],
    )
    problems = wrong(content)
    for parts in (
        ("p.yaml: ruels", 'closest: "rules"'),
        ('p.yaml: rule "r": when.tol', 'closest: "tool"'),
        ('p.yaml: rule "r": when.amount.over',),
        ('p.yaml: rule "s": decision', "'denied'", 'closest: "deny"'),
        ('p.yaml: rule "s": when.tool', 'closest: "notify"'),
        ("rules[", "name: this field is required"),
        ("tools.x.reversable", 'closest: "reversible"'),
        ("tools.x.arguments.n.type", 'closest: "number"'),
        ("budgets[0].scope", "planet"),
    ):
        assert any(all(part in problem for part in parts) for problem in problems), (parts, problems)


@pytest.mark.parametrize(
    "when",
    [
        {"amount": {"above": 5, "below": 3}},
        {"amount": {"above": 5}, "not": {"amount": {"above": 3}}},
        {"tool": "notify", "all_of": [{"tool": "open_ticket"}]},
        {"tool": "send_mail", "reversible": True},
        {"tool": "read_*", "writes": True},
        {"stage": "live", "not": {"stage": ["live", "canary"]}},
        {"all_of": [{"arguments": {"x": {"equals": 1}}}, {"arguments": {"x": {"equals": 2}}}]},
        {"arguments": {"x": {"in": [1, 2], "above": 2}}},
        {"arguments": {"x": {"exists": False, "above": 2}}},
        {"after_denial": True, "not": {"after_denial": True}},
    ],
)
def test_a_condition_that_nothing_satisfies_is_refused(when: dict[str, Any]) -> None:
    (problem,) = wrong(extending(rule(when)))
    assert 'rule "r": when: nothing satisfies this' in problem


@pytest.mark.parametrize(
    "when",
    [
        {"amount": {"above": 3, "below": 5}},
        {"amount": {"at_least": 5, "at_most": 5}},
        {"tool": "send_*", "reversible": False},
        {"any_of": [{"amount": {"above": 5, "below": 3}}, {"tool": "notify"}]},
        {"arguments": {"x": {"in": [1, 2], "above": 1}}},
        {"tool": "custom_*"},
    ],
)
def test_a_narrow_condition_is_not_an_impossible_one(when: dict[str, Any]) -> None:
    assert policy(extending(rule(when))).rules[-1].name == "r"


@pytest.mark.parametrize(
    ("weak", "strong", "dead"),
    [
        ({"tool": "notify"}, {"tool": "not*"}, True),
        ({"tool": "notify"}, {"writes": True}, True),
        ({"tool": "notify", "stage": "live"}, {"stage": ["live", "canary"]}, True),
        ({"amount": {"above": 10}, "tool": "shift_budget"}, {"amount": {"at_least": 10}}, True),
        ({"arguments": {"x": {"equals": 5}}}, {"arguments": {"x": {"above": 4}}}, True),
        ({"repeat": {"more_than": 5}}, {"repeat": {"more_than": 3}}, True),
        ({"any_of": [{"tool": "notify"}, {"tool": "open_ticket"}]}, {"tool": ["notify", "open_ticket", "rollback"]}, True),
        ({"tool": "notify", "after": {"tool": "read_customer"}}, {"after": {"tool": "read_customer"}}, True),
        ({"tool": "not*"}, {"tool": "notify"}, False),
        ({"amount": {"at_least": 10}}, {"amount": {"above": 10}}, False),
        ({"arguments": {"x": {"exists": True}}}, {"arguments": {"x": {"above": 4}}}, False),
        ({"tool": "notify"}, {"tool": "notify", "after": {"tool": "read_customer"}}, False),
        ({"any_of": [{"tool": "notify"}, {"tool": "rollback"}]}, {"tool": "notify"}, False),
    ],
)  # fmt: skip
def test_a_rule_that_a_stronger_one_always_overrules_is_told(
    weak: dict[str, Any], strong: dict[str, Any], dead: bool
) -> None:
    read = policy(extending(rule(weak, "allow", "weak"), rule(strong, "deny", "strong")))
    told = [text for text in read.warnings if 'rule "weak"' in text]
    assert bool(told) is dead
    assert all('"strong" (deny)' in text for text in told)


def test_what_a_file_overrules_of_what_it_extends_is_a_warning_and_the_other_way_is_refused() -> None:
    same = {"stage": ["draft", "review", "shadow"], "writes": True}
    read = policy(extending(rule(same, "deny", "stricter")))
    assert any("shadow_agents_only_propose" in text and "stronger one decides" in text for text in read.warnings)
    (problem,) = wrong(extending(rule(same, "allow", "looser")))
    assert 'rule "looser": decision' in problem
    assert "keep one of them" in problem


def test_an_agent_that_the_registry_does_not_know_is_named_where_the_registry_is_at_hand() -> None:
    content = extending(rule({"agent": "pacr", "tool": "notify"}))
    assert policy(content).rules
    (problem,) = wrong(content, agents=["pacer", "writer"])
    assert 'agent "pacr" is not in the registry (closest: "pacer")' in problem


def test_a_test_of_an_argument_that_no_tool_takes_is_named() -> None:
    (problem,) = wrong(TYPED | {"rules": [rule({"tool": "pay", "arguments": {"amuont": {"above": 5}}})]})
    assert 'when.arguments.amuont: no tool named here takes an argument "amuont" (closest: "amount")' in problem
    assert parse_policy(
        TYPED | {"rules": [rule({"tool": "pay", "arguments": {"to": {"equals": "x"}}})]}, file="p"
    ).rules


def test_a_known_type_of_agent_mistyped_is_named_and_one_of_ones_own_is_not() -> None:
    (problem,) = wrong(extending(rule({"agent_type": "budget_alocator"})))
    assert 'closest: "' in problem
    assert policy(extending(rule({"agent_type": "gardener"}))).rules


TYPED = {
    "tools": {
        "pay": {
            "amount": "amount",
            "arguments": {
                "amount": {"type": "number", "required": True, "min": 0, "max": 100},
                "to": {"type": "string", "pattern": "[a-z]+"},
                "kind": {"enum": ["refund", "coupon"]},
                "on": "date",
            },
        }
    },
    "rules": [{"name": "pay", "decision": "allow", "when": {"tool": "pay"}}],
}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"amount": 5, "to": "ann", "kind": "refund", "on": "2025-03-01"}, None),
        ({"to": "ann"}, '"amount" is required'),
        ({"amount": "5"}, "should be of type number and is str"),
        ({"amount": True}, "should be of type number and is bool"),
        ({"amount": -1}, "below 0"),
        ({"amount": 101}, "above 100"),
        ({"amount": 5, "to": "ann;drop"}, "does not match"),
        ({"amount": 5, "kind": "gift"}, "not one of refund, coupon"),
        ({"amount": 5, "on": "soon"}, "should be a date"),
        ({"amount": 5, "tip": 1}, '"tip" is not declared'),
    ],
)
def test_arguments_are_held_against_their_declaration(arguments: dict[str, Any], problem: str | None) -> None:
    found = replay(steps(call("pay", arguments)), ONE, parse_policy(TYPED, file="p")).decisions.row(0, named=True)
    if problem is None:
        assert found["decision"] == "allow"
    else:
        assert (found["decision"], found["policy"]) == ("deny", "malformed_call")
        assert problem in found["reason"]


def test_an_agent_touches_only_data_within_its_stated_scopes() -> None:
    tools = {"look": {"writes": False, "reads": ["personal_data"]}, "book": {"writes": ["crm.orders"]}}
    rules = [{"name": "all", "decision": "allow", "when": {"tool": "*"}}]
    known = agents(
        {"agent_id": "silent"}, {"agent_id": "none", "data_scopes": []}, {"agent_id": "crm", "data_scopes": ["crm.*"]}
    )

    def decided(mode: str) -> dict[str, list[str]]:
        read = parse_policy({"tools": tools, "rules": rules, "data_scopes": mode}, file="p")
        return {
            agent: replay(steps(call("look"), call("book"), agent_id=agent), known, read)
            .decisions["decision"]
            .to_list()
            for agent in ("silent", "none", "crm")
        }

    stated = {"none": ["deny", "deny"], "crm": ["deny", "allow"]}
    assert decided("enforce") == stated | {"silent": ["allow", "allow"]}
    assert decided("require") == stated | {"silent": ["deny", "deny"]}
    assert all(set(found) == {"allow"} for found in decided("ignore").values())


def test_what_cannot_be_told_opens_no_door() -> None:
    tools = {"pay": {"amount": "amount"}}
    guarded = {"tools": tools, "rules": [rule({"tool": "pay", "not": {"amount": {"above": 10}}}, "allow", "small")]}
    barred = {
        "tools": tools,
        "rules": [rule({"tool": "*"}, "allow", "all"), rule({"amount": {"above": 10}}, "deny", "large")],
    }
    for content, unreadable in ((guarded, "needs_approval"), (barred, "deny")):
        read = parse_policy(content, file="p")
        said = steps(call("pay", {"amount": 5}), call("pay", {"amount": "a lot"}), call("pay", {}))
        assert replay(said, ONE, read).decisions["decision"].to_list() == ["allow", unreadable, unreadable]


def test_those_who_must_agree_are_the_strictest_of_the_rules() -> None:
    def needed(*approvers: dict[str, Any] | None) -> Any:
        rules = [
            rule(
                {"tool": "pay", "after_denial": False, "repeat": {"more_than": i}},
                "needs_approval",
                f"r{i}",
                **({"approvers": a} if a else {}),
            )
            for i, a in enumerate(approvers)
        ]
        read = parse_policy({"tools": {"pay": {}}, "rules": rules}, file="p")
        from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
        from liftos_pipelines.modules.agentic.facts import AgentFacts

        engine, history = PolicyEngine(read), RunHistory(run_id="r", agents=AgentHistory())
        for _ in range(len(approvers)):
            made = engine.call(AgentFacts(agent_id="a"), "pay", {}, START, None)
            assert not isinstance(made, str)
            verdict = engine.judge(made, history)
            history.note_call(made, "allow", ())
        return verdict.approval or verdict.policy

    assert needed(None) == ApprovalNeed()
    assert needed(
        {"quorum": 2, "names": ["ann", "bo", "cy"], "expires": "3d"}, {"names": ["bo", "cy"], "expires": "1d"}
    ) == ApprovalNeed(quorum=2, approvers=("bo", "cy"), expires=timedelta(days=1))
    assert needed({"roles": ["finance"]}, None).approvers == ("role:finance",)
    assert needed({"names": ["ann"]}, {"names": ["bo"]}) == "approvers_disjoint"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"quorum": 3, "names": ["ann", "bo"]}, "3 must agree and only 2 may"),
        ({"quorum": 0}, "at least 1"),
        ({"expires": "soon"}, "expected a span"),
        ({"people": ["ann"]}, "not known"),
    ],
)
def test_approvers_that_cannot_agree_are_refused(content: dict[str, Any], named: str) -> None:
    assert named in "\n".join(wrong(extending(rule({"tool": "notify"}, "needs_approval", approvers=content))))


@pytest.mark.parametrize(
    ("when", "named"),
    [
        ({"sequence": [{"tool": "notify"}]}, "at least two steps"),
        ({"sequence": [{"tool": "notify"}, {"message": {"matches": "x"}}]}, "the last step is the call"),
        ({"sequence": {"steps": [{"tool": "notify"}] * 3, "within": "1 steps"}}, "cannot happen within 1"),
        ({"sequence": {"steps": [{"tool": "notify"}] * 2, "within": "soon"}}, "expected a span"),
        ({"sequence": [{"tol": "notify"}, {"tool": "notify"}]}, 'closest: "tool"'),
        ({"count": {"of": {"tool": "notify"}}}, "whole number"),
        ({"loop": {"times": 1}}, "at least 2"),
        ({"carries": {"reads": ["secrets"]}}, 'no tool declares "secrets" under `reads`'),
        ({"known": {"from": "notify", "where": {}}}, "at least one test"),
        ({"time": {"hours": "9 to 5"}}, "expected hours"),
        ({"time": {"weekdays": ["monday"]}}, 'closest: "mon"'),
        ({"time": {"hours": "09:00-17:00", "timezone": "Mars/Base"}}, "no time zone"),
        ({"rate": {"more_than": 5, "per": "1h", "by": "planet"}}, "planet"),
    ],
)
def test_a_wrong_rule_over_a_run_names_its_field(when: dict[str, Any], named: str) -> None:
    assert named in "\n".join(wrong(extending(rule(when))))


def test_the_packaged_policies_extend_one_another_without_a_contradiction(tmp_path: Any) -> None:
    assert set(packs()) == {"customer_service", "data_protection", "marketing_spend"}
    for chosen in (["default", name] for name in packs()):
        file = tmp_path / "policies.yaml"
        file.write_text(f"extends: [{', '.join(chosen)}]\n")
        assert read_policy(file).warnings == ()
    file.write_text(f"extends: [default, {', '.join(packs())}]\n")
    read = read_policy(file)
    assert read.warnings == ()
    words = "\n".join(policy_in_words(read))
    assert all(one.name in words for one in read.rules)
    assert not any(
        "object at" in condition_in_words(one.condition) or "(patterns=" in condition_in_words(one.condition)
        for one in read.rules
    )


def test_a_field_given_twice_is_named_with_its_line(tmp_path: Any) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("extends: default\nrules: []\nrules: []\n")
    with pytest.raises(PolicyError, match=r'policies\.yaml: line 3: "rules" is given twice'):
        read_policy(file)


def test_customer_service_in_a_conversation(tmp_path: Any) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("extends: [default, customer_service]\n")
    yes, no = {"kind": "message", "content": "user: yes, please do"}, {"kind": "message", "content": "user: wait"}
    refund, look = call("refund", {"order_id": "A", "amount": 120}), call("read_order", {"order_id": "A"})
    read = read_policy(file)

    def last(*rows: dict[str, Any]) -> tuple[str, str]:
        return replay(steps(*rows), ONE, read).decisions.select("decision", "policy").row(-1)

    assert last(yes, refund) == ("deny", "orders_change_after_a_look")
    assert last(look, no, refund) == ("deny", "orders_change_after_a_yes")
    assert last(look, yes, refund) == ("allow", "confirmed_changes")
    assert last(look, yes, refund, refund) == ("deny", "one_refund_per_confirmation")
    assert last(look, yes, refund, yes, refund) == ("allow", "confirmed_changes")
    assert last(look, yes, refund, yes, refund, yes, refund) == ("needs_approval", "refunds_of_a_run_add_up")
    assert last(look, yes, call("refund", {"order_id": "A", "amount": 250})) == (
        "needs_approval",
        "large_refunds_need_two",
    )
