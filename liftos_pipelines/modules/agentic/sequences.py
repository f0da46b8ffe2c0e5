"""Conditions over what happened before in a run, each a small automaton that is moved on by every event.

An event touches only the automata that wait for its kind and tool, so that a decision costs the same in a run's
first step and in its thousandth. Steps of a pattern need not follow one another directly; the latest start of each
partial match is kept, which decides every later question of `within` (a later start is never too old where an earlier
one is not).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from liftos_pipelines.modules.agentic.comparing import ABSENT, at_path, searched
from liftos_pipelines.modules.agentic.conditions import Argument
from liftos_pipelines.modules.agentic.facts import Call, Happened, History, any_matches

KEPT_KEYS = 4096
"""Different values of `same` that one automaton remembers in one run; the oldest are forgotten beyond it."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One step: a call, a tool's result, or a message. What is None or empty does not matter."""

    kind: str
    tools: tuple[str, ...] = ("*",)
    writes: bool | None = None
    reads: frozenset[str] = frozenset()
    arguments: tuple[Argument, ...] = ()
    decisions: frozenset[str] = frozenset()
    agents: tuple[str, ...] = ()
    text: re.Pattern[str] | None = None
    where: tuple[Argument, ...] = ()
    flags: frozenset[str] = frozenset()
    trusted: bool = False
    """Whether the step opens something: a call that was denied then only counts once it answered all the same."""

    def concerns(self, kind: str, tool: str) -> bool:
        """Whether an event of this kind and tool can match at all; asked once of each pair."""
        if kind != self.kind and not (kind == "ran" and self.kind == "call" and self.trusted):
            return False
        return kind == "message" or any_matches(self.tools, tool)

    def fits(self, event: Happened) -> bool:
        """The rest, of an event that concerns."""
        if self.trusted and event.decision == "deny" and event.kind == "call":
            return False
        if self.writes is not None and (event.spec is None or event.spec.writes is not self.writes):
            return False
        if self.reads and (event.spec is None or self.reads.isdisjoint(event.spec.reads)):
            return False
        if self.decisions and event.decision is not None and event.decision not in self.decisions:
            return False
        if self.agents and not any_matches(self.agents, event.agent_id):
            return False
        if self.flags and self.flags.isdisjoint(event.flags):
            return False
        if self.text is not None and not self._passed(
            False if event.content is None else searched(self.text, event.content)
        ):
            return False
        for test in self.arguments:
            if not self._passed(test.compared(event.arguments, event.arguments, event.at)):
                return False
        return all(self._passed(test.compared(event.result, event.arguments, event.at)) for test in self.where)

    def _passed(self, said: bool | None) -> bool:
        # What cannot be told closes and does not open, as everywhere.
        return not self.trusted if said is None else said


class Tracker(Protocol):
    """A condition with a state of its own in each run."""

    @property
    def patterns(self) -> tuple[Pattern, ...]: ...
    def start(self) -> Any: ...
    def advance(self, state: Any, which: int, event: Happened, number: int) -> None: ...
    def holds(self, call: Call, history: History) -> bool | None: ...


def binding(event: Happened, paths: tuple[tuple[str, ...], ...]) -> Hashable | None:
    """The values that `same` compares; None where one is absent or no plain value."""
    if not paths:
        return ()
    if paths in event.bound:
        return event.bound[paths]  # type: ignore[no-any-return]
    key = event.bound[paths] = _binding(event, paths)
    return key


def _binding(event: Happened, paths: tuple[tuple[str, ...], ...]) -> Hashable | None:
    found = []
    for path in paths:
        value = at_path(event.arguments, path)
        if value is ABSENT and event.kind == "result" and isinstance(event.result, Mapping):
            value = at_path(event.result, path)
        if value is ABSENT or not isinstance(value, (str, int, float, bool)):
            return None
        found.append((type(value) is bool, value))
    return tuple(found)


@dataclass(slots=True)
class _Progress:
    """For each number of steps matched: when the latest such match began (event number, moment)."""

    starts: list[tuple[int, datetime | None] | None]


@dataclass
class _Runs:
    progress: dict[Hashable, _Progress] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sequence_:
    """Earlier steps of the run, in this order, and the call that is judged as the last.

    `within_steps` events or `within` time between the first step and this call, `without` an event between them,
    about the `same` arguments.
    """

    steps: tuple[Pattern, ...]
    last: Pattern
    within_steps: int | None = None
    within: timedelta | None = None
    without: tuple[Pattern, ...] = ()
    same: tuple[tuple[str, ...], ...] = ()

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return (*self.steps, *self.without)

    def start(self) -> _Runs:
        return _Runs()

    def advance(self, state: _Runs, which: int, event: Happened, number: int) -> None:
        if which >= len(self.steps):
            state.progress.clear()  # whatever began before it is gone
            return
        key = binding(event, self.same)
        if key is None:
            return
        known = state.progress.get(key)
        if which == 0:
            if known is None:
                if len(state.progress) >= KEPT_KEYS:
                    state.progress.pop(next(iter(state.progress)))
                known = state.progress[key] = _Progress([None] * len(self.steps))
            known.starts[0] = (number, event.at)
        elif known is not None and known.starts[which - 1] is not None and known.starts[which - 1][0] < number:  # type: ignore[index]
            known.starts[which] = known.starts[which - 1]

    def holds(self, call: Call, history: History) -> bool:
        state: _Runs = history.state(self)
        if not state.progress:
            return False
        key = binding(call.event, self.same)
        known = state.progress.get(key) if key is not None else None
        began = known.starts[-1] if known is not None else None
        if began is None or not self.last.concerns("call", call.tool) or not self.last.fits(call.event):
            return False
        number, at = began
        if self.within_steps is not None and history.events_so_far() - number > self.within_steps:
            return False
        return self.within is None or at is None or call.at - at <= self.within


@dataclass
class _Tally:
    items: deque[tuple[int, datetime | None, float]] = field(default_factory=deque)
    total: float = 0.0


@dataclass(frozen=True, eq=False)
class Tally:
    """With this call, more than so many matching events (or more than so much money) in the run.

    Counted `within` steps or time, and only `since` the last event that matches one of those patterns.
    """

    of: Pattern
    above: float
    money: bool = False
    within_steps: int | None = None
    within: timedelta | None = None
    since: tuple[Pattern, ...] = ()

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return (self.of, *self.since)

    def start(self) -> _Tally:
        return _Tally()

    def advance(self, state: _Tally, which: int, event: Happened, number: int) -> None:
        if which:
            state.items.clear()
            state.total = 0.0
            return
        if self.money and event.decision == "deny":
            return  # enforced, it would not have run
        weight = (event.amount or 0.0) if self.money else 1.0
        state.total += weight
        if self.within_steps is not None or self.within is not None:
            state.items.append((number, event.at, weight))

    def holds(self, call: Call, history: History) -> bool | None:
        state: _Tally = history.state(self)
        if state.items:
            self._forget(state, history.events_so_far(), call.at)
        if not self.money and state.total + 1 <= self.above:
            return False
        now = 0.0
        if self.of.decisions:
            pass  # this call has no decision yet
        elif self.of.concerns("call", call.tool) and self.of.fits(call.event):
            if self.money and call.amount is None:
                return None
            now = (call.amount or 0.0) if self.money else 1.0
        elif self.of.kind == "call":
            return False  # the rule is about such calls; another one is not the one too many
        return state.total + now > self.above + 1e-9

    def _forget(self, state: _Tally, number: int, at: datetime) -> None:
        while state.items:
            then, moment, weight = state.items[0]
            late = self.within_steps is not None and number - then > self.within_steps
            old = self.within is not None and moment is not None and at - moment > self.within
            if not (late or old):
                return
            state.items.popleft()
            state.total = max(0.0, state.total - weight) if state.items else 0.0


@dataclass
class _Cycle:
    recent: deque[str]
    alike: list[int]


@dataclass(frozen=True, eq=False)
class Loop:
    """With this call, the same round of at most `length` calls (with the same arguments) was made `times` times."""

    length: int
    times: int

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return (Pattern("call"),)

    def start(self) -> _Cycle:
        return _Cycle(deque(maxlen=self.length), [0] * (self.length + 1))

    def advance(self, state: _Cycle, which: int, event: Happened, number: int) -> None:
        identity = event.identity
        for period in range(1, self.length + 1):
            alike = len(state.recent) >= period and state.recent[-period] == identity
            state.alike[period] = state.alike[period] + 1 if alike else 0
        state.recent.append(identity)

    def holds(self, call: Call, history: History) -> bool:
        state: _Cycle = history.state(self)
        identity: str | None = None
        for period in range(1, self.length + 1):
            if len(state.recent) < period or state.alike[period] + 1 < period * (self.times - 1):
                continue
            identity = identity or call.identity
            if state.recent[-period] == identity:
                return True
        return False
