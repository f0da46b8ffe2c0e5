"""What is wrong with rules taken together: conditions that nothing satisfies, rules that never decide, contradictions.

Sound, not complete: conditions are taken apart into the tools, agents, numbers and values they ask for; whatever else
they say (sequences, patterns, times) counts as the same only when it says the same. A rule that is reported cannot
fire; one that is not reported may still never do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from liftos_pipelines.modules.agentic import conditions as c
from liftos_pipelines.modules.agentic.comparing import NUMERIC, same
from liftos_pipelines.modules.agentic.facts import Condition, matches
from liftos_pipelines.modules.agentic.policy.model import STRENGTH, Policy, Rule

BRANCHES = 32
"""Alternatives of one rule that are looked at; one with more is taken as a whole."""
_ABOUT_TOOL = (c.ToolIs, c.ToolFact, c.ToolTouches)
_FLIPPED = {"above": "at_most", "at_most": "above", "below": "at_least", "at_least": "below"}
Leaf = tuple[Condition, bool]


@dataclass
class Interval:
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def narrow(self, operator: str, limit: float) -> None:
        if operator in ("above", "at_least") and (limit, operator == "above") > (self.low, self.open_low):
            self.low, self.open_low = limit, operator == "above"
        if operator in ("below", "at_most") and (-limit, operator == "below") > (-self.high, self.open_high):
            self.high, self.open_high = limit, operator == "below"

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and (self.open_low or self.open_high))

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def inside(self, other: Interval) -> bool:
        low = (self.low, self.open_low) >= (other.low, other.open_low)
        return low and (-self.high, self.open_high) >= (-other.high, other.open_high)


@dataclass
class Branch:
    """One alternative of a condition, taken apart."""

    tools: frozenset[str]
    numbers: dict[str, Interval] = field(default_factory=dict)
    among: dict[str, list[Any]] = field(default_factory=dict)
    barred: dict[str, list[Any]] = field(default_factory=dict)
    other: set[str] = field(default_factory=set)
    impossible: str = ""

    @cached_property
    def said(self) -> set[str]:
        """The other conditions, whether or not only calls that ran count: those that ran were called, so what an allow
        asks for is never less than what a stronger rule asks in the same words."""
        return {text.replace(", trusted=True", "").replace(", trusted=False", "") for text in self.other}

    def implies(self, stronger: Branch) -> bool:
        if not (stronger.said <= self.said and self.tools <= stronger.tools):
            return False
        for name, interval in stronger.numbers.items():
            own = self.numbers.get(name)
            values = self.among.get(name)
            if values is not None and all(_number(value) and interval.holds(value) for value in values):
                continue
            if own is None or not own.inside(interval):
                return False
        for name, values in stronger.among.items():
            mine = self.among.get(name)
            if mine is None or not all(_has(values, value) for value in mine):
                return False
        for name, values in stronger.barred.items():
            mine, barred = self.among.get(name), self.barred.get(name, [])
            if mine is not None and not any(_has(values, value) for value in mine):
                continue
            if not all(_has(barred, value) for value in values):
                return False
        return True


def problems(policy: Policy) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Problems and warnings, each as rule, field and what is wrong with the fix.

    Conditions that nothing satisfies and contradictions are problems; rules that a stronger one always overrules, and
    contradictions in which a file overrules what it inherited, are warnings: the stronger side decides.
    """
    wrong: list[tuple[str, str, str]] = []
    warned: list[tuple[str, str, str]] = []
    universe = _universe(policy)
    branches = {rule.name: _branches(rule, policy, universe) for rule in policy.rules}
    possible: dict[str, list[Branch]] = {}
    for rule in policy.rules:
        found = branches[rule.name]
        possible[rule.name] = [branch for branch in found if not branch.impossible]
        if not possible[rule.name]:
            said = f"nothing satisfies this: {found[0].impossible}; mend the condition or drop the rule"
            (warned if rule.inherited else wrong).append((rule.name, "when", said))
    by_condition: dict[str, Rule] = {}
    settled: set[str] = set()
    for rule in policy.rules:
        key = repr(rule.said) if rule.said is not None else repr(rule.condition)
        other = by_condition.setdefault(key, rule)
        if other is rule or other.decision == rule.decision:
            continue
        weaker = min(rule, other, key=lambda one: STRENGTH[one.decision])
        settled.add(weaker.name)
        if rule.inherited and other.inherited:
            continue
        own = rule if not rule.inherited else other
        opposed = other if own is rule else rule
        said = f'says {own.decision} where rule "{opposed.name}" says {opposed.decision} under the same condition'
        if opposed.inherited and own is not weaker:
            warned.append((own.name, "decision", f"{said}; the stronger one decides"))
        else:
            wrong.append((own.name, "decision", f"{said}; keep one of them"))
    for rule in policy.rules:
        if rule.name in settled or not possible[rule.name]:
            continue
        over = [one for one in policy.rules if STRENGTH[one.decision] > STRENGTH[rule.decision]]
        hidden = _hidden(possible[rule.name], over, possible)
        if hidden is None or (rule.inherited and all(one.inherited for one in hidden)):
            continue
        names = ", ".join(f'"{one.name}" ({one.decision})' for one in hidden)
        # A deny that somebody adds in a hurry must not be refused because it hides an allow.
        said = f"this rule never decides: wherever it holds, {names} holds too and is stronger; narrow one of them"
        warned.append((rule.name, "when", said))
    return wrong, warned


def _hidden(found: Sequence[Branch], over: Sequence[Rule], possible: dict[str, list[Branch]]) -> list[Rule] | None:
    hiding: list[Rule] = []
    for branch in found:
        cover = next((one for one in over if any(branch.implies(other) for other in possible[one.name])), None)
        if cover is None:
            return None
        if cover not in hiding:
            hiding.append(cover)
    return hiding


def _universe(policy: Policy) -> frozenset[str]:
    """Tools that are declared or named in a rule; a glob stands for the tools it matches that nobody declared."""
    named = {
        pattern
        for rule in policy.rules
        for leaf in c.leaves(rule.condition)
        if isinstance(leaf, c.ToolIs)
        for pattern in leaf.patterns
    }
    return frozenset({*policy.tools, *named, "*"})


def _branches(rule: Rule, policy: Policy, universe: frozenset[str]) -> list[Branch]:
    alternatives = _alternatives(rule.condition, True)
    if alternatives is None:
        alternatives = [[(rule.condition, True)]]
    spec = lru_cache(maxsize=None)(policy.spec)
    return [_branch(leaves, spec, universe) for leaves in alternatives]


def _alternatives(condition: Condition, wanted: bool) -> list[list[Leaf]] | None:
    """Disjunctive normal form; None where it grows too large."""
    if isinstance(condition, c.Not):
        return _alternatives(condition.part, not wanted)
    if isinstance(condition, (c.AllOf, c.AnyOf)):
        parts = [_alternatives(part, wanted) for part in condition.parts]
        if isinstance(condition, c.AllOf) is not wanted:
            joined = [branch for part in parts if part is not None for branch in part]
            return None if None in parts or len(joined) > BRANCHES else joined
        found: list[list[Leaf]] = [[]]
        for part in parts:
            if part is None or len(found) * len(part) > BRANCHES:
                return None
            found = [[*branch, *more] for branch in found for more in part]
        return found
    return [[(condition, wanted)]]


def _branch(leaves: Sequence[Leaf], spec: Any, universe: frozenset[str]) -> Branch:
    tools = universe
    branch = Branch(tools=tools)
    for leaf, wanted in leaves:
        if isinstance(leaf, _ABOUT_TOOL):
            tools = frozenset(tool for tool in tools if _of_tool(leaf, tool, spec) is wanted)
        else:
            _take(branch, leaf, wanted)
    branch.tools = tools
    branch.impossible = branch.impossible or _impossible(branch)
    return branch


def _of_tool(leaf: Condition, tool: str, spec: Any) -> bool:
    if isinstance(leaf, c.ToolIs):
        return any(matches(pattern, tool) or pattern == tool for pattern in leaf.patterns)
    known = spec(tool)
    if known is None:
        return False
    assert isinstance(leaf, (c.ToolFact, c.ToolTouches))
    found = getattr(known, leaf.fact)
    if isinstance(leaf, c.ToolFact):
        return found is leaf.value
    return not leaf.values.isdisjoint(found) if isinstance(found, frozenset) else found in leaf.values


def _take(branch: Branch, leaf: Condition, wanted: bool) -> None:
    if isinstance(leaf, (c.Amount, c.Cost)):
        name = "amount" if isinstance(leaf, c.Amount) else "cost"
        _narrow(branch, name, leaf.operator if wanted else _FLIPPED[leaf.operator], leaf.limit)
    elif isinstance(leaf, (c.Repeat, c.Rate)):
        about = ("repeat", leaf.same_arguments) if isinstance(leaf, c.Repeat) else ("rate", leaf.by, leaf.per)
        _narrow(branch, repr(about), "above" if wanted else "at_most", leaf.more_than)
    elif isinstance(leaf, c.AgentIs) and not any(char in value for value in leaf.values for char in "*?["):
        _values(branch, f"agent {leaf.fact}", list(leaf.values), wanted)
    elif isinstance(leaf, c.Argument) and not isinstance(leaf.value, c.ArgumentRef):
        name = f"argument {'.'.join(leaf.path)}"
        if wanted and leaf.operator in NUMERIC:
            _narrow(branch, name, leaf.operator, leaf.value)
        elif wanted and leaf.operator in ("equals", "in"):
            _values(branch, name, [leaf.value] if leaf.operator == "equals" else list(leaf.value), True)
        elif wanted and leaf.operator in ("not_equals", "not_in"):
            _values(branch, name, [leaf.value] if leaf.operator == "not_equals" else list(leaf.value), False)
        elif leaf.operator == "exists":
            branch.other.add(f"{name} {'exists' if leaf.value is wanted else 'is absent'}")
            return
        else:
            branch.other.add(f"{leaf!r} is {wanted}")
        if wanted:
            branch.other.add(f"{name} exists")
    else:
        branch.other.add(f"{leaf!r} is {wanted}")


def _narrow(branch: Branch, name: str, operator: str, limit: float) -> None:
    branch.numbers.setdefault(name, Interval()).narrow(operator, limit)


def _values(branch: Branch, name: str, values: list[Any], wanted: bool) -> None:
    if not wanted:
        branch.barred.setdefault(name, []).extend(values)
        return
    known = branch.among.get(name)
    branch.among[name] = values if known is None else [value for value in known if _has(values, value)]


def _impossible(branch: Branch) -> str:
    """Why no call is like this, in words; empty where one may be."""
    if not branch.tools:
        return "no tool is all that it asks for"
    for name, interval in branch.numbers.items():
        if interval.empty:
            return f"{name} cannot be {_words(interval)}"
    for name, values in branch.among.items():
        barred, within = branch.barred.get(name, []), branch.numbers.get(name)
        left = [value for value in values if not _has(barred, value)]
        if within is not None:
            left = [value for value in left if _number(value) and within.holds(value)]
        if not left:
            return f"no value of {name} is left"
    for said in branch.other:
        if said.endswith(" is absent") and said.removesuffix(" is absent") + " exists" in branch.other:
            return f"{said.removesuffix(' is absent')} must be absent and have a value"
        opposite = said.removesuffix(" is True") + " is False"
        if said.endswith(" is True") and opposite in branch.other:
            return "one condition must hold and not hold"
    return ""


def _words(interval: Interval) -> str:
    low = f"{'above' if interval.open_low else 'at least'} {interval.low:g}"
    return f"{low} and {'below' if interval.open_high else 'at most'} {interval.high:g}"


def _has(values: Sequence[Any], value: Any) -> bool:
    return any(same(known, value) for known in values)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
