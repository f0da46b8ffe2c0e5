"""What happened so far: in one run, and to agents, tools and the client across runs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from liftos_pipelines.modules.agentic.conditions import rate_subject
from liftos_pipelines.modules.agentic.facts import Call, Draw, Happened, matches
from liftos_pipelines.modules.agentic.sequences import Tracker

RATED_BY = ("agent", "tool", "agent_tool", "run", "client")


@dataclass
class AgentHistory:
    """Across runs: times of calls by agent, tool, run and client, and money reserved by budget and period."""

    times: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    reserved: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))


class Machines:
    """The automata of one policy, and which of them wait for an event of a kind and tool."""

    def __init__(self, trackers: Collection[Tracker]) -> None:
        self.trackers = tuple(trackers)
        self._waiting: dict[tuple[str, str], tuple[tuple[Tracker, int, Any], ...]] = {}

    def waiting(self, kind: str, tool: str) -> tuple[tuple[Tracker, int, Any], ...]:
        key = (kind, tool)
        found = self._waiting.get(key)
        if found is None:
            if len(self._waiting) > 4096:
                self._waiting.clear()
            # Last steps first: one event is one step of a match, never two.
            found = self._waiting[key] = tuple(
                (tracker, which, tracker.patterns[which])
                for tracker in self.trackers
                for which in reversed(range(len(tracker.patterns)))
                if tracker.patterns[which].concerns(kind, tool)
            )
        return found


@dataclass
class RunHistory:
    """What happened in one run so far; it answers the conditions' questions."""

    run_id: str
    agents: AgentHistory
    last_message: str | None = None
    client: str = ""
    _tools: Counter[str] = field(default_factory=Counter)
    _ran: Counter[str] = field(default_factory=Counter)
    _alike: Counter[str] = field(default_factory=Counter)
    _times: list[datetime] = field(default_factory=list)
    _denied: int = 0
    _log: list[tuple[int, Happened]] = field(default_factory=list)
    _events: int = 0
    _open: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    _machines: Machines | None = None
    _states: dict[Tracker, Any] = field(default_factory=dict)
    _read: int = 0

    def called(self, pattern: str) -> int:
        """Calls of such a tool, also denied ones."""
        return _count(self._tools, pattern)

    def ran(self, pattern: str) -> int:
        """Calls that were not denied, or that answered all the same."""
        return _count(self._ran, pattern)

    def called_alike(self, call: Call) -> int:
        return self._alike[call.identity]

    def denied_so_far(self) -> int:
        return self._denied

    def calls_since(self, subject: str, moment: datetime) -> int:
        times = self._times if subject.startswith("run:") else self.agents.times[subject]
        return len(times) - bisect_left(times, moment)

    def events_so_far(self) -> int:
        return self._events

    def state(self, tracker: Tracker) -> Any:
        """The automaton's state as of the newest event; a KeyError where the engine did not take it along."""
        return self._states[tracker]

    def catch_up(self, machines: Machines) -> None:
        """Move a policy's automata on by what happened since; another policy's start from the run's beginning."""
        if machines is not self._machines:
            self._machines, self._read = machines, 0
            self._states = {tracker: tracker.start() for tracker in machines.trackers}
        while self._read < len(self._log):
            number, event = self._log[self._read]
            for tracker, which, pattern in machines.waiting(event.kind, event.tool):
                if pattern.fits(event):
                    tracker.advance(self._states[tracker], which, event, number)
            self._read += 1

    def note_message(self, text: str | None, at: datetime | None = None) -> None:
        """Somebody said something; rules see who by the words that the text begins with, such as `user:`."""
        self.last_message = text
        self._happened(Happened("message", at=at, content=text))

    def note_result(
        self, tool: str | None, content: str | None, at: datetime | None = None, flags: Collection[str] = ()
    ) -> None:
        """A tool answered its oldest call that had no answer. `flags`: what a screen found in the answer."""
        waiting = self._open.get(tool or "")
        call = waiting.pop(0) if waiting else None
        self._happened(
            Happened(
                "result",
                at=at,
                agent_id=call.agent.agent_id if call else "",
                tool=tool or "",
                arguments=call.arguments if call else None,
                content=content,
                flags=frozenset(flags),
                spec=call.spec if call else None,
            )
        )

        if call is not None and call.event.decision == "deny":
            # It ran all the same, as recorded ones do: what asks whether it was done must see it.
            self._ran[call.tool] += 1
            event = replace(call).event
            event.kind, event.decision = "ran", "deny"
            self._log.append((self._events - 1, event))

    def _happened(self, event: Happened) -> None:
        self._log.append((self._events, event))
        self._events += 1

    def note_call(self, call: Call, decision: str, draws: Collection[Draw]) -> None:
        """Note a judged call. A denied one reserves no money: enforced, it would not have run."""
        self._tools[call.tool] += 1
        self._alike[call.identity] += 1
        for by in RATED_BY:
            times = self._times if by == "run" else self.agents.times[rate_subject(by, call, self.run_id)]
            if not times or times[-1] <= call.at:
                times.append(call.at)
            else:
                insort(times, call.at)
        if call.event.decision is not None:
            call = replace(call)  # noted twice is two events
        call.event.decision = decision
        self._happened(call.event)
        self._open[call.tool].append(call)
        if decision == "deny":
            self._denied += 1
            return
        self._ran[call.tool] += 1
        for draw in draws:
            self.agents.reserved[draw.key] += draw.amount


def _count(calls: Counter[str], pattern: str) -> int:
    if pattern in calls:
        return calls[pattern]
    return sum(count for tool, count in calls.items() if matches(pattern, tool))


def reserve(call: Call) -> float:
    """Money a call takes from the budget: its recorded cost or the amount it moves, whichever is more."""
    return max(call.cost, call.amount or 0.0)
