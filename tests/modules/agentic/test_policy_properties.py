"""Laws that hold for every policy and call, tried on generated ones."""

from __future__ import annotations

import json
from typing import Any

from agentic_frames import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.facts import AgentFacts, Call, History
from liftos_pipelines.modules.agentic.policy import STRENGTH, Policy, PolicyError, parse_policy

TOOLS = {
    "look": {"reversible": True, "writes": False, "reads": ["customer"]},
    "send": {"writes": ["outside"]},
    "pay": {"amount": "amount"},
}
PATTERNS = st.sampled_from(["look", "send", "pay", "*", "p*"])
SIMPLE = st.one_of(
    st.fixed_dictionaries({"tool": PATTERNS}),
    st.fixed_dictionaries({"writes": st.booleans()}),
    st.fixed_dictionaries({"amount": st.fixed_dictionaries({"above": st.integers(0, 5)})}),
    st.fixed_dictionaries(
        {"arguments": st.fixed_dictionaries({"x": st.fixed_dictionaries({"equals": st.integers(0, 2)})})}
    ),
    st.fixed_dictionaries(
        {"arguments": st.fixed_dictionaries({"x": st.fixed_dictionaries({"below": st.integers(0, 3)})})}
    ),
    st.fixed_dictionaries({"arguments": st.just({"x": {"in": [0, True, 2]}})}),
    st.fixed_dictionaries(
        {"arguments": st.fixed_dictionaries({"x": st.fixed_dictionaries({"at_least": st.integers(0, 3)})})}
    ),
    st.fixed_dictionaries({"amount": st.fixed_dictionaries({"at_most": st.integers(0, 5)})}),
    st.fixed_dictionaries(
        {"repeat": st.fixed_dictionaries({"more_than": st.integers(0, 3), "same_arguments": st.booleans()})}
    ),
    st.fixed_dictionaries(
        {
            "rate": st.fixed_dictionaries(
                {"more_than": st.integers(0, 3), "per": st.just("1h"), "by": st.sampled_from(["agent", "tool", "run"])}
            )
        }
    ),
    st.fixed_dictionaries({"after": st.fixed_dictionaries({"tool": PATTERNS})}),
    st.fixed_dictionaries({"after_denial": st.booleans()}),
    st.fixed_dictionaries(
        {"sequence": st.tuples(PATTERNS, PATTERNS).map(lambda two: [{"tool": name} for name in two])}
    ),
    st.fixed_dictionaries(
        {"count": st.fixed_dictionaries({"of": st.just({"tool": "*"}), "more_than": st.integers(0, 3)})}
    ),
    st.fixed_dictionaries({"loop": st.just({"length": 2, "times": 2})}),
)
CONDITIONS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"any_of": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"all_of": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=4,
)
RULES = st.lists(st.tuples(st.sampled_from(sorted(STRENGTH)), CONDITIONS), max_size=6)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 6), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2)
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["look", "send", "pay", "paint"]),
        st.dictionaries(st.sampled_from(["amount", "x", "y"]), VALUES, max_size=2),
    ),
    min_size=1,
    max_size=6,
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def policy_of(rules: list[tuple[str, Any]]) -> Policy | None:
    said = [{"name": f"r{i}", "decision": decision, "when": when} for i, (decision, when) in enumerate(rules)]
    try:
        return parse_policy({"tools": TOOLS, "rules": said}, file="p")
    except PolicyError:
        return None  # contradictory or unsatisfiable: refused, not judged by


def judged(
    policy: Policy, calls: list[tuple[str, Any]], outcomes: list[str] | None = None
) -> list[tuple[str, frozenset[str]]]:
    """Decisions and rules; `outcomes`, where given, is what the run's history takes each call to have been decided."""
    engine, history = PolicyEngine(policy), RunHistory(run_id="r", agents=AgentHistory())
    agent, found = AgentFacts(agent_id="a"), []
    for number, (tool, arguments) in enumerate(calls):
        made = engine.call(agent, tool, arguments, START, None)
        if isinstance(made, str):
            found.append((engine.refuse(made).decision, frozenset({"malformed_call"})))
            continue
        verdict = engine.judge(made, history)
        assert verdict.policy != "policy_error", verdict.reason
        found.append((verdict.decision, frozenset(verdict.policy.split(", "))))
        history.note_call(made, outcomes[number] if outcomes else verdict.decision, ())
    return found


@QUICK
@given(RULES, CALLS, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(rules: Any, calls: Any, random: Any) -> None:
    policy = policy_of(rules)
    if policy is None:
        return
    shuffled = list(policy.rules)
    random.shuffle(shuffled)
    other = Policy(**{**vars(policy), "rules": tuple(shuffled)})
    assert judged(policy, calls) == judged(other, calls)


@QUICK
@given(RULES, CONDITIONS, CALLS)
def test_another_deny_never_allows_more(rules: Any, extra: Any, calls: Any) -> None:
    policy = policy_of(rules)
    stricter = policy_of([*rules, ("deny", extra)])
    if policy is None or stricter is None:
        return
    # The same past for both: what a deny prevents may, in a run of its own, open what a denial would have closed.
    past = [decision for decision, _ in judged(policy, calls)]
    before, after = judged(policy, calls, past), judged(stricter, calls, past)
    assert all(STRENGTH[new] >= STRENGTH[old] for (old, _), (new, _) in zip(before, after, strict=True))


@QUICK
@given(RULES, CALLS)
def test_a_deny_that_holds_decides_and_an_allow_needs_a_rule(rules: Any, calls: Any) -> None:
    policy = policy_of(rules)
    if policy is None:
        return
    by_name = {rule.name: rule.decision for rule in policy.rules}
    for decision, names in judged(policy, calls):
        assert {by_name.get(name, decision) for name in names} == {decision}
        if decision == "allow":
            assert names <= by_name.keys(), "nothing is allowed that no rule allows"


@QUICK
@given(RULES, CALLS)
def test_rules_looked_up_by_value_decide_as_rules_asked_one_by_one(rules: Any, calls: Any) -> None:
    policy = policy_of(rules)
    if policy is None:
        return
    engine, history = PolicyEngine(policy), RunHistory(run_id="r", agents=AgentHistory())
    for tool, arguments in calls:
        made = engine.call(AgentFacts(agent_id="a"), tool, arguments, START, None)
        if isinstance(made, str):
            continue
        verdict = engine.judge(made, history)
        if made.spec is not None:
            truth = naive(policy, made, history)
            assert (verdict.decision, set(verdict.policy.split(", "))) == truth
        history.note_call(made, verdict.decision, ())


def naive(policy: Policy, call: Call, history: History) -> tuple[str, set[str]]:
    """Every rule asked, the strongest taken: what the index must agree with."""
    held: dict[str, set[str]] = {}
    for rule in policy.rules:
        said = rule.condition.holds(call, history)
        if said or (said is None and rule.decision != "allow"):
            held.setdefault(rule.decision, set()).add(rule.name)
    decision = max(held, key=STRENGTH.__getitem__, default="needs_approval")
    return decision, held.get(decision, {"default"})


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary().map(lambda raw: raw.decode("latin-1")),
        st.integers(),
        st.lists(st.integers()),
        VALUES.map(json.dumps),
    )
)
def test_arguments_that_are_no_object_are_refused_and_never_raise(arguments: Any) -> None:
    engine = PolicyEngine(
        parse_policy({"tools": TOOLS, "rules": [{"name": "r", "decision": "allow", "when": {"tool": "*"}}]}, file="p")
    )
    made = engine.call(AgentFacts(agent_id="a"), "look", arguments, START, None)
    if arguments == "":
        assert not isinstance(made, str)
    elif not isinstance(made, str):
        assert isinstance(json.loads(arguments), dict)
    else:
        assert engine.refuse(made).decision == "deny"


class Broken:
    """A condition that cannot be asked."""

    def holds(self, call: Call, history: History) -> bool:
        raise ZeroDivisionError("of all things")


def test_a_condition_that_raises_denies_and_tells() -> None:
    policy = policy_of([("allow", {"tool": "look"})])
    assert policy is not None
    rule = policy.rules[0]
    broken = Policy(**{**vars(policy), "rules": (type(rule)(**{**vars(rule), "condition": Broken()}),)})
    engine = PolicyEngine(broken)
    made = engine.call(AgentFacts(agent_id="a"), "look", {}, START, None)
    assert not isinstance(made, str)
    verdict = engine.judge(made, RunHistory(run_id="r", agents=AgentHistory()))
    assert (verdict.decision, verdict.policy) == ("deny", "policy_error")
    assert "ZeroDivisionError" in verdict.reason
