"""The conditions a policy rule may state, as a small typed tree. Each says whether it holds for one tool call.

A condition that cannot be evaluated (a missing argument, a text where a number is needed) does not hold; since
what no rule allows is not allowed, the unknown never opens a door.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """What a policy knows of a tool: whether it can be undone, and which argument holds the money it moves."""

    reversible: bool = False
    writes: bool = True
    amount: str | None = None


@dataclass(frozen=True, kw_only=True)
class AgentFacts:
    """What the registry knows of an agent; `registered` is False for one it does not know."""

    agent_id: str
    registered: bool = True
    type: str | None = None
    stage: str | None = None
    capabilities: frozenset[str] = frozenset()
    budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call to be judged. `spec` is None for a tool the policy does not declare."""

    agent: AgentFacts
    tool: str
    arguments: Mapping[str, Any]
    at: datetime
    cost: float = 0.0
    spec: ToolSpec | None = None

    @property
    def amount(self) -> float | None:
        """Money the call moves: 0 for a tool that moves none, None where it should be stated and is not."""
        if self.spec is None:
            return None
        if self.spec.amount is None:
            return 0.0
        value = self.arguments.get(self.spec.amount)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            return None
        return float(value)


class History(Protocol):
    """What happened before the call, in its run and to its agent."""

    def called(self, pattern: str) -> int: ...
    def called_alike(self, call: Call) -> int: ...
    def denied_so_far(self) -> int: ...
    def calls_since(self, agent_id: str, moment: datetime) -> int: ...
    @property
    def last_message(self) -> str | None: ...


class Condition(Protocol):
    def holds(self, call: Call, history: History) -> bool: ...


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Condition, ...]

    def holds(self, call: Call, history: History) -> bool:
        for part in self.parts:  # noqa: SIM110 - a plain loop costs half of a generator, and this runs on every call
            if not part.holds(call, history):
                return False
        return True


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """The parts that must all hold, nested ones taken apart."""
    if isinstance(condition, AllOf):
        return tuple(part for nested in condition.parts for part in conjuncts(nested))
    return (condition,)


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]

    def holds(self, call: Call, history: History) -> bool:
        return any(part.holds(call, history) for part in self.parts)


@dataclass(frozen=True)
class Not:
    part: Condition

    def holds(self, call: Call, history: History) -> bool:
        return not self.part.holds(call, history)


@dataclass(frozen=True)
class ToolIs:
    """The tool's name equals one of the names, or matches one of the globs."""

    patterns: tuple[str, ...]

    def holds(self, call: Call, history: History) -> bool:
        return any(matches(pattern, call.tool) for pattern in self.patterns)


@dataclass(frozen=True)
class AgentIs:
    """A fact of the agent (`agent_id`, `type`, `stage`) equals one of the values."""

    fact: str
    values: tuple[str, ...]

    def holds(self, call: Call, history: History) -> bool:
        return getattr(call.agent, self.fact) in self.values


@dataclass(frozen=True)
class ToolFact:
    """The tool is declared `reversible` (or not), or as one that `writes` (or does not)."""

    fact: str
    value: bool

    def holds(self, call: Call, history: History) -> bool:
        return call.spec is not None and getattr(call.spec, self.fact) is self.value


@dataclass(frozen=True)
class Amount:
    """The money the call moves compares so with a limit."""

    operator: str
    limit: float

    def holds(self, call: Call, history: History) -> bool:
        return call.amount is not None and NUMERIC[self.operator](call.amount, self.limit)


@dataclass(frozen=True)
class Argument:
    """An argument (a dotted path) compares so with a value."""

    path: tuple[str, ...]
    operator: str
    value: Any

    def holds(self, call: Call, history: History) -> bool:
        if len(self.path) == 1 and self.operator == "equals":
            return bool(call.arguments.get(self.path[0], ABSENT) == self.value)
        found: Any = call.arguments
        for part in self.path:
            if not isinstance(found, Mapping) or part not in found:
                return self.operator == "exists" and self.value is False
            found = found[part]
        return _compare(self.operator, found, self.value)


@dataclass(frozen=True)
class After:
    """An earlier call of this run used the tool (`before=False`), or none did (`before=True`)."""

    patterns: tuple[str, ...]
    absent: bool = False

    def holds(self, call: Call, history: History) -> bool:
        return any(history.called(pattern) for pattern in self.patterns) is not self.absent


@dataclass(frozen=True)
class AfterDenial:
    """A call of this run was denied before."""

    value: bool

    def holds(self, call: Call, history: History) -> bool:
        return (history.denied_so_far() > 0) is self.value


@dataclass(frozen=True)
class Repeat:
    """With this call the tool is used more than n times in the run (with the same arguments, if so said)."""

    more_than: int
    same_arguments: bool

    def holds(self, call: Call, history: History) -> bool:
        before = history.called_alike(call) if self.same_arguments else history.called(call.tool)
        return before + 1 > self.more_than


@dataclass(frozen=True)
class Rate:
    """With this call the agent makes more than n calls within the last span of time."""

    more_than: int
    per: timedelta

    def holds(self, call: Call, history: History) -> bool:
        return history.calls_since(call.agent.agent_id, call.at - self.per) + 1 > self.more_than


@dataclass(frozen=True)
class LastMessage:
    """The last message of the run before the call matches (or does not match) a pattern."""

    pattern: re.Pattern[str]
    wanted: bool

    def holds(self, call: Call, history: History) -> bool:
        said = history.last_message
        return (said is not None and self.pattern.search(said) is not None) is self.wanted


ABSENT = object()
STATIC = (ToolIs, AgentIs, ToolFact)
"""Conditions that depend on the tool and the agent only, and so need asking once for each pair of them."""
NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "above": lambda a, b: a > b,
    "at_least": lambda a, b: a >= b,
    "below": lambda a, b: a < b,
    "at_most": lambda a, b: a <= b,
}
TEXTUAL = ("matches", "domain_in", "domain_not_in")
OPERATORS = ("equals", "not_equals", "in", "not_in", "exists", *TEXTUAL, *NUMERIC)


def matches(pattern: str, name: str) -> bool:
    """Equality, or a glob where the pattern holds one."""
    return fnmatchcase(name, pattern) if any(char in pattern for char in "*?[") else name == pattern


def _compare(operator: str, found: Any, value: Any) -> bool:
    if operator in NUMERIC:
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return False
        return NUMERIC[operator](float(found), value)
    if operator == "exists":
        return bool(value)
    if operator == "equals":
        return bool(found == value)
    if operator == "not_equals":
        return bool(found != value)
    if operator in ("in", "not_in"):
        return (found in value) is (operator == "in")
    if operator == "matches":
        return isinstance(found, str) and value.search(found) is not None
    domains = _domains(found)
    inside = bool(domains) and all(_below(domain, value) for domain in domains)
    return inside if operator == "domain_in" else not inside


def _domains(found: Any) -> list[str]:
    """Domains of an address, a URL or a list of them; an empty text where one has none."""
    items = found if isinstance(found, list) else [found]
    domains = []
    for item in items:
        for part in re.split(r"[,;\s]+", str(item).strip()):
            host = re.sub(r"^[a-z]+://", "", part.lower()).split("/")[0].rpartition("@")[2].rstrip(">.")
            domains.append(host.split(":")[0])
    return domains


def _below(domain: str, allowed: tuple[str, ...]) -> bool:
    return any(domain == known or domain.endswith("." + known) for known in allowed)
