"""The conditions a policy rule may state of one call, as a small typed tree; those over a run are in `sequences`.

Each says True, False, or None where it cannot be told (a text where a number is needed). An allow needs True and a
deny is kept off only by False, so the unknown never opens a door.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from liftos_pipelines.modules.agentic.comparing import (
    ABSENT,
    NUMERIC,
    OPERATORS,
    TEXTUAL,
    at_path,
    compare,
    same,
    searched,
)
from liftos_pipelines.modules.agentic.facts import (
    AgentFacts,
    Call,
    Condition,
    History,
    ToolSpec,
    any_matches,
    matches,
)

__all__ = ["NUMERIC", "OPERATORS", "TEXTUAL", "AgentFacts", "Call", "Condition", "History", "ToolSpec", "matches"]


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Condition, ...]

    def holds(self, call: Call, history: History) -> bool | None:
        found: bool | None = True
        for part in self.parts:
            said = part.holds(call, history)
            if said is False:
                return False
            if said is None:
                found = None
        return found


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]

    def holds(self, call: Call, history: History) -> bool | None:
        found: bool | None = False
        for part in self.parts:
            said = part.holds(call, history)
            if said:
                return True
            if said is None:
                found = None
        return found


@dataclass(frozen=True)
class Not:
    part: Condition

    def holds(self, call: Call, history: History) -> bool | None:
        said = self.part.holds(call, history)
        return None if said is None else not said


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """The parts that must all hold, nested ones taken apart."""
    if isinstance(condition, AllOf):
        return tuple(part for nested in condition.parts for part in conjuncts(nested))
    return (condition,)


def leaves(condition: Condition) -> Iterator[Condition]:
    """Every condition that is not built of others."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        yield condition


def is_static(condition: Condition) -> bool:
    """Whether it depends on the tool and the agent only, and so needs asking once for each pair of them."""
    return all(isinstance(leaf, STATIC) for leaf in leaves(condition))


@dataclass(frozen=True)
class ToolIs:
    """The tool's name equals one of the names, or matches one of the globs."""

    patterns: tuple[str, ...]

    def holds(self, call: Call, history: History) -> bool:
        return any_matches(self.patterns, call.tool)


@dataclass(frozen=True)
class AgentIs:
    """A fact of the agent (`agent_id`, `type`, `stage`, `risk`) is one of the values, or matches one of the globs."""

    fact: str
    values: tuple[str, ...]

    def holds(self, call: Call, history: History) -> bool:
        return any_matches(self.values, getattr(call.agent, self.fact) or "")


@dataclass(frozen=True)
class ToolFact:
    """The tool is declared `reversible` (or not), or as one that `writes` (or does not)."""

    fact: str
    value: bool

    def holds(self, call: Call, history: History) -> bool:
        return call.spec is not None and getattr(call.spec, self.fact) is self.value


@dataclass(frozen=True)
class ToolTouches:
    """The tool `reads` one of the data classes, `writes_to` one of the resources, or has one of the risks."""

    fact: str
    values: frozenset[str]

    def holds(self, call: Call, history: History) -> bool:
        if call.spec is None:
            return False
        found = getattr(call.spec, self.fact)
        return not self.values.isdisjoint(found) if isinstance(found, frozenset) else found in self.values


@dataclass(frozen=True)
class EnvironmentIs:
    """The call is made in one of the environments; unknown where it does not say in which."""

    values: tuple[str, ...]

    def holds(self, call: Call, history: History) -> bool | None:
        return None if call.environment is None else any_matches(self.values, call.environment)


@dataclass(frozen=True)
class Amount:
    """The money the call moves compares so with a limit."""

    operator: str
    limit: float

    def holds(self, call: Call, history: History) -> bool | None:
        amount = call.amount
        if amount is None:
            # A tool that nobody declared states no amount that could be too small or too large.
            return None if call.spec is not None else False
        return NUMERIC[self.operator](amount, self.limit)


@dataclass(frozen=True)
class Cost:
    """What the call itself costs compares so with a limit."""

    operator: str
    limit: float

    def holds(self, call: Call, history: History) -> bool:
        return NUMERIC[self.operator](call.cost, self.limit)


@dataclass(frozen=True)
class ArgumentRef:
    """Stands for the value of an argument of the call that is judged."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Argument:
    """An argument (a dotted path) compares so with a value, or with another argument."""

    path: tuple[str, ...]
    operator: str
    value: Any

    def holds(self, call: Call, history: History) -> bool | None:
        if len(self.path) == 1 and self.operator == "equals" and not isinstance(self.value, ArgumentRef):
            found = call.arguments.get(self.path[0], ABSENT)
            return found is not ABSENT and same(found, self.value)
        return self.compared(call.arguments, call.arguments, call.at)

    def compared(self, found: Any, arguments: Mapping[str, Any], now: datetime | None) -> bool | None:
        """How the value at the path in `found` compares; a value that is another argument is one of `arguments`."""
        wanted = at_path(arguments, self.value.path) if isinstance(self.value, ArgumentRef) else self.value
        return compare(self.operator, at_path(found, self.path), wanted, now)


@dataclass(frozen=True)
class After:
    """An earlier call of this run used the tool (`absent=False`), or none did (`absent=True`).

    `trusted` : the call opens something, so one that was denied only counts once it answered all the same
    """

    patterns: tuple[str, ...]
    absent: bool = False
    trusted: bool = False

    def holds(self, call: Call, history: History) -> bool:
        counted = history.ran if self.trusted else history.called
        return any(counted(pattern) for pattern in self.patterns) is not self.absent


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
    """With this call more than n are made within the last span: by the agent, of the tool, in the run, by all."""

    more_than: int
    per: timedelta
    by: str = "agent"

    def holds(self, call: Call, history: History) -> bool:
        return history.calls_since(rate_subject(self.by, call, history.run_id), call.at - self.per) >= self.more_than


def rate_subject(by: str, call: Call, run_id: str) -> str:
    """Under which name the times of such calls are kept."""
    if by == "agent":
        return call.agent.agent_id
    return {
        "tool": f"tool:{call.tool}",
        "agent_tool": f"agent_tool:{call.agent.agent_id}:{call.tool}",
        "run": f"run:{run_id}",
        "client": "client:",
    }[by]


@dataclass(frozen=True)
class TimeWindow:
    """The call falls into the hours and weekdays of a time zone. Hours that end before they begin run over midnight."""

    start: time
    end: time
    weekdays: frozenset[int]
    zone: ZoneInfo
    outside: bool = False

    def holds(self, call: Call, history: History) -> bool:
        local = call.at.astimezone(self.zone)
        now, day = local.time(), local.weekday()
        if self.start < self.end:
            inside = self.start <= now < self.end
        else:
            inside = now >= self.start or now < self.end
            if now < self.end:
                day = (day - 1) % 7  # the night belongs to the day on which it began
        return (inside and day in self.weekdays) is not self.outside


@dataclass(frozen=True)
class LastMessage:
    """The last message of the run before the call matches (or does not match) a pattern."""

    pattern: re.Pattern[str]
    wanted: bool

    def holds(self, call: Call, history: History) -> bool | None:
        said = history.last_message
        found = False if said is None else searched(self.pattern, said)
        return None if found is None else found is self.wanted


STATIC = (ToolIs, AgentIs, ToolFact, ToolTouches)
