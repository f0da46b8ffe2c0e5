"""Which rules a call must be asked: of a policy's rules, those that its tool, agent and values leave open."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from liftos_pipelines.modules.agentic.comparing import ABSENT, NUMERIC, at_path, is_number
from liftos_pipelines.modules.agentic.conditions import (
    AllOf,
    Amount,
    Argument,
    ArgumentRef,
    Cost,
    Rate,
    Repeat,
    conjuncts,
    is_static,
    rate_subject,
)
from liftos_pipelines.modules.agentic.facts import Call, Condition, Decision, History
from liftos_pipelines.modules.agentic.policy import Rule
from liftos_pipelines.modules.agentic.sequences import Sequence_, Tally


@dataclass(slots=True)
class Asked:
    """A rule and the conditions that are left to be asked once tool and agent are known."""

    position: int
    rule: Rule
    conditions: tuple[Condition, ...]


@dataclass(slots=True)
class _Limits:
    """Rules that compare one number in one way, by their limit: those that it passes stand together."""

    part: Any
    operator: str
    limits: list[float] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def add(self, limit: float, asked: Asked) -> None:
        place = bisect_right(self.limits, limit)
        self.limits.insert(place, limit)
        self.asked.insert(place, asked)

    def passed(self, call: Call, history: History) -> list[Asked]:
        value = _measured(self.part, call, history)
        if value is ABSENT:
            return []
        if value is None:
            return self.asked  # cannot be told: each rule says so itself
        if self.operator == "above":
            return self.asked[: bisect_left(self.limits, value)]
        if self.operator == "at_least":
            return self.asked[: bisect_right(self.limits, value)]
        if self.operator == "below":
            return self.asked[bisect_right(self.limits, value) :]
        return self.asked[bisect_left(self.limits, value) :]


@dataclass(slots=True)
class Level:
    """Rules of one decision: those always asked, and those that only an argument's value or a number brings in."""

    decision: Decision
    always: list[Asked] = field(default_factory=list)
    by_value: dict[tuple[str, ...], dict[Any, list[Asked]]] = field(default_factory=dict)
    by_limit: dict[Any, _Limits] = field(default_factory=dict)

    def asked(self, call: Call, history: History) -> list[Asked]:
        found = self.always
        for path, by_value in self.by_value.items():
            value = at_path(call.arguments, path)
            if isinstance(value, (str, int, float)):
                told = by_value.get((type(value) is bool, value))
                if told:
                    found = found + told
        for limits in self.by_limit.values():
            passed = limits.passed(call, history)
            if passed:
                found = found + passed
        return found

    def add(self, asked: Asked) -> None:
        for part in asked.conditions:
            values = _values(part)
            if values is not None:
                by_value = self.by_value.setdefault(part.path, {})  # type: ignore[attr-defined]
                for value in values:
                    by_value.setdefault(value, []).append(asked)
                return
        for part in asked.conditions:
            said = _limit(part)
            if said is not None:
                key, operator, limit = said
                self.by_limit.setdefault((key, operator), _Limits(part, operator)).add(limit, asked)
                return
        self.always.append(asked)


def plan(rules: Sequence[Rule], call: Call, history: History) -> tuple[Level, ...]:
    """Rules that can concern the call's tool and agent, strongest first."""
    levels: dict[Decision, Level] = {
        "deny": Level("deny"),
        "needs_approval": Level("needs_approval"),
        "allow": Level("allow"),
    }
    for position, rule in enumerate(rules):
        parts = conjuncts(rule.condition)
        static = AllOf(tuple(part for part in parts if is_static(part)))
        if static.holds(call, history) is False or any(_never(part, call.tool) for part in parts):
            continue
        left = tuple(part for part in parts if not is_static(part))
        levels[rule.decision].add(Asked(position, rule, left))
    return tuple(level for level in levels.values() if level.always or level.by_value or level.by_limit)


def _never(part: Condition, tool: str) -> bool:
    """Whether a condition over a run cannot hold when this tool is called."""
    if isinstance(part, Sequence_):
        return not part.last.concerns("call", tool)
    if isinstance(part, Tally):
        return part.of.kind == "call" and not part.of.decisions and not part.of.concerns("call", tool)
    return False


def _values(part: Condition) -> list[Any] | None:
    """The plain values of which a condition asks an argument to be one; None where it asks something else."""
    if not isinstance(part, Argument) or isinstance(part.value, ArgumentRef) or {"#", "*"} & set(part.path):
        return None
    if part.operator not in ("equals", "in"):
        return None
    values = part.value if part.operator == "in" else (part.value,)
    if not all(isinstance(value, (str, int, float)) for value in values):
        return None
    return list(dict.fromkeys((type(value) is bool, value) for value in values))


def _limit(part: Condition) -> tuple[Any, str, float] | None:
    """What number a condition compares, how, and with which limit; None where it compares none."""
    if isinstance(part, (Amount, Cost)):
        return type(part), part.operator, part.limit
    if isinstance(part, Repeat):
        return (Repeat, part.same_arguments), "above", part.more_than
    if isinstance(part, Rate):
        return (Rate, part.by, part.per), "above", part.more_than
    if isinstance(part, Argument) and part.operator in NUMERIC and is_number(part.value):
        return part.path, part.operator, part.value
    return None


def _measured(part: Any, call: Call, history: History) -> Any:
    """The number of this call that such a condition compares; None where it cannot be told."""
    if isinstance(part, Amount):
        return call.amount
    if isinstance(part, Cost):
        return call.cost
    if isinstance(part, Repeat):
        return 1 + (history.called_alike(call) if part.same_arguments else history.called(call.tool))
    if isinstance(part, Rate):
        return 1 + history.calls_since(rate_subject(part.by, call, history.run_id), call.at - part.per)
    value = at_path(call.arguments, part.path)
    return value if value is ABSENT or is_number(value) else None
