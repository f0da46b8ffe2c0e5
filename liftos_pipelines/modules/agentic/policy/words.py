"""A policy in words: what each rule decides, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from liftos_pipelines.modules.agentic import conditions as c
from liftos_pipelines.modules.agentic.facts import ApprovalNeed, Condition
from liftos_pipelines.modules.agentic.policy.model import STRENGTH, Policy, Rule
from liftos_pipelines.modules.agentic.results import Carries, Known
from liftos_pipelines.modules.agentic.sequences import Loop, Pattern, Sequence_, Tally

_COMPARED = {
    "above": "above", "at_least": "at least", "below": "below", "at_most": "at most", "equals": "", "not_equals": "not",
    "in": "one of", "not_in": "none of", "has_any": "with any of", "matches": "like", "not_matches": "not like",
    "domain_in": "at", "domain_not_in": "not at", "older_than": "older than", "newer_than": "newer than",
}  # fmt: skip
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DECIDES = {"allow": "allow", "deny": "DENY", "needs_approval": "ask"}


def policy_in_words(policy: Policy) -> list[str]:
    """Lines for a reader: guards, budgets, rules strongest first, and what happens where no rule speaks."""
    lines = [f"{policy.name}, version {policy.version[:16]}", "", "Always denied:"]
    lines += [
        "  calls that are malformed, of unregistered or stopped agents, of tools that nobody declared or granted",
        *(["  tools outside an agent's capabilities"] if policy.scope_by_capabilities else []),
        *(["  data and resources outside an agent's scopes"] if policy.data_scopes != "ignore" else []),
        *(
            ["  classified data and resources, for agents without stated scopes"]
            if policy.data_scopes == "require"
            else []
        ),
        f"  what an agent commits beyond its budget per {policy.budget_period}",
    ]
    for budget in policy.budgets:
        of = "" if budget.names == ("*",) else f" ({', '.join(budget.names)})"
        what = "more than" if budget.hard else "without approval, more than"
        lines.append(f"  {what} {budget.limit:g} per {budget.scope}{of} and {budget.period}")
    lines += ["", "Rules (a stronger one beats a weaker one):"]
    for rule in sorted(policy.rules, key=lambda one: -STRENGTH[one.decision]):
        lines.append(f"  {_DECIDES[rule.decision]:<5} {rule.name}{' (inherited)' if rule.inherited else ''}")
        lines.append(f"        when {condition_in_words(rule.condition)}")
        lines.append(f"        because {rule.reason}{_asked(rule)}")
    if policy.authority is not None:
        lines.append("  and Cedar must permit the call")
    lines += ["", "What no rule decides needs one person's approval."]
    return lines


def need_in_words(need: ApprovalNeed) -> str:
    """`2 of ann, role:finance within 3d`; `1` where anybody may agree at any time."""
    of = f" of {', '.join(need.approvers)}" if need.approvers else ""
    return f"{need.quorum}{of}" + (f" within {_span(need.expires)}" if need.expires else "")


def condition_in_words(condition: Condition) -> str:
    """A condition as a phrase."""
    if isinstance(condition, c.AllOf):
        return " and ".join(_grouped(part) for part in condition.parts)
    if isinstance(condition, c.AnyOf):
        return " or ".join(_grouped(part) for part in condition.parts)
    if isinstance(condition, c.Not):
        return f"not ({condition_in_words(condition.part)})"
    if isinstance(condition, (Sequence_, Tally, Loop, Known, Carries)):
        return _over_a_run(condition)
    return _of_one_call(condition)


def _of_one_call(condition: Condition) -> str:
    match condition:
        case c.ToolIs(patterns):
            return f"the tool is {_either(patterns)}"
        case c.AgentIs(fact, values):
            about = {"agent_id": "agent", "type": "agent's type", "stage": "agent's stage", "risk": "agent's risk"}
            return f"the {about[fact]} is {_either(values)}"
        case c.ToolFact(fact, value):
            said = {"reversible": ("can be undone", "cannot be undone"), "writes": ("changes something", "only reads")}
            return f"it {said[fact][not value]}"
        case c.ToolTouches(fact, values):
            said_of = {"reads": "it reads", "writes_to": "it changes", "risk": "its risk is"}
            return f"{said_of[fact]} {_either(sorted(values))}"
        case c.EnvironmentIs(values):
            return f"the environment is {_either(values)}"
        case c.Amount(operator, limit):
            return f"it moves {_COMPARED[operator]} {limit:g}"
        case c.Cost(operator, limit):
            return f"it costs {_COMPARED[operator]} {limit:g}"
        case c.Argument():
            return f"argument {test_in_words(condition)}"
        case c.After(patterns, absent):
            return f"{_either(patterns)} was {'not ' if absent else ''}called before in this run"
        case c.AfterDenial(value):
            return f"{'a' if value else 'no'} call of this run was denied before"
        case c.Repeat(more_than, same):
            return f"it is called more than {more_than} times in this run{' with the same arguments' if same else ''}"
        case c.Rate(more_than, per, by):
            of = {"agent": "the agent", "tool": "the tool", "agent_tool": "the agent with the tool"}.get(
                by, f"the {by}"
            )
            return f"{of} makes more than {more_than} calls within {_span(per)}"
        case c.TimeWindow(start, end, days, zone, outside):
            on = "" if len(days) == 7 else f" on {', '.join(_DAYS[day] for day in sorted(days))}"
            return f"the time is {'outside' if outside else 'within'} {start:%H:%M}-{end:%H:%M}{on} ({zone.key})"
        case c.LastMessage(pattern, wanted):
            return f"the last message is {'' if wanted else 'not '}like /{pattern.pattern}/"
    return repr(condition)


def _over_a_run(condition: Any) -> str:
    match condition:
        case Sequence_():
            steps = " then ".join(pattern_in_words(step) for step in condition.steps)
            words = [f"after {steps}, {pattern_in_words(condition.last)}"]
            words += [f"about the same {_paths(condition.same)}"] if condition.same else []
            words += [_within(condition)] if _within(condition) else []
            between = " or ".join(pattern_in_words(step) for step in condition.without)
            return ", ".join(words) + (f", without {between} between" if between else "")
        case Tally():
            above = f"more than {condition.above:g}"
            since = " or ".join(pattern_in_words(step) for step in condition.since)
            times = f"moves {above} in all" if condition.money else f"{above} times"
            words = [f"{pattern_in_words(condition.of)} {times}"]
            words += [_within(condition)] if _within(condition) else []
            return " ".join(words) + (f" since {since}" if since else "")
        case Loop(length, times):
            return f"the same round of at most {length} calls is made {times} times"
        case Known():
            tests = " and ".join(test_in_words(test) for test in condition.where) or "is known"
            about = f" about the same {_paths(condition.same)}" if condition.same else ""
            return f"the latest result of {_either(condition.source.tools)}{about} has {tests}"
    into = f" {_paths(condition.into)}" if condition.into else ""
    fields = f"{_paths(condition.fields)} of " if condition.fields else ""
    return f"the argument{into or 's'} hold{'s' if into else ''} {fields}what {pattern_in_words(condition.source)} gave"


def pattern_in_words(pattern: Pattern) -> str:
    """One step of a sequence as a phrase."""
    if pattern.kind == "message":
        return f"a message like /{pattern.text.pattern}/" if pattern.text else "a message"
    words = [_either(pattern.tools) if pattern.tools != ("*",) else "any tool"]
    words += [] if pattern.writes is None else ["that changes something" if pattern.writes else "that only reads"]
    words += [f"that reads {_either(sorted(pattern.reads))}"] if pattern.reads else []
    words += [f"by {_either(pattern.agents)}"] if pattern.agents else []
    words += [f"({_either(sorted(pattern.decisions))})"] if pattern.decisions else []
    words += [f"with {' and '.join(test_in_words(test) for test in pattern.arguments)}"] if pattern.arguments else []
    words += [f"having {' and '.join(test_in_words(test) for test in pattern.where)}"] if pattern.where else []
    words += [f"like /{pattern.text.pattern}/"] if pattern.text else []
    words += [f"flagged {_either(sorted(pattern.flags))}"] if pattern.flags else []
    return f"{'an answer of ' if pattern.kind == 'result' else ''}{' '.join(words)}"


def test_in_words(test: c.Argument) -> str:
    """`to not at acme.example`."""
    if test.operator == "exists":
        return f"{'.'.join(test.path)} {'given' if test.value else 'not given'}"
    value = test.value
    if isinstance(value, c.ArgumentRef):
        value = f"argument {'.'.join(value.path)}"
    elif isinstance(value, timedelta):
        value = _span(value)
    elif isinstance(value, tuple):
        value = ", ".join(map(str, value)) or "nothing"
    elif hasattr(value, "pattern"):
        value = f"/{value.pattern}/"
    return " ".join(word for word in (".".join(test.path), _COMPARED[test.operator], str(value)) if word)


def _grouped(part: Condition) -> str:
    return f"({condition_in_words(part)})" if isinstance(part, c.AnyOf) else condition_in_words(part)


def _asked(rule: Rule) -> str:
    return f"; {need_in_words(rule.approval)} must agree" if rule.approval else ""


def _either(names: Sequence[str]) -> str:
    return " or ".join(names)


def _paths(paths: Sequence[Sequence[str]]) -> str:
    return ", ".join(".".join(path) for path in paths)


def _within(condition: Sequence_ | Tally) -> str:
    if condition.within_steps is not None:
        return f"within {condition.within_steps} steps"
    return f"within {_span(condition.within)}" if condition.within is not None else ""


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    size, unit = next(
        (size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % size == 0
    )
    return f"{seconds // size}{unit}"
