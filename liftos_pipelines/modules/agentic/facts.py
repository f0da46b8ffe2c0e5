"""What a decision is about: the tool, the agent, the call, and what happened before it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

from liftos_pipelines.modules.agentic.comparing import is_number

Decision = Literal["allow", "deny", "needs_approval"]
RISKS = ("low", "medium", "high", "critical")


@dataclass(frozen=True, kw_only=True)
class ArgumentSpec:
    """What an argument of a tool may be; see `arguments.problems_with`."""

    type: str | None = None
    required: bool = False
    enum: tuple[Any, ...] | None = None
    min: float | None = None
    max: float | None = None
    max_length: int | None = None
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """What a policy knows of a tool.

    `amount` names the argument that holds the money it moves, `reads` the data classes its results hold, `writes_to`
    the resources it changes. `arguments` None: any arguments; else a call with others, or of other types, is malformed.
    """

    reversible: bool = False
    writes: bool = True
    amount: str | None = None
    reads: frozenset[str] = frozenset()
    writes_to: frozenset[str] = frozenset()
    risk: str | None = None
    arguments: Mapping[str, ArgumentSpec] | None = field(default=None, hash=False)
    other_arguments: bool = False


@dataclass(frozen=True, kw_only=True)
class AgentFacts:
    """What the registry knows of an agent; `registered` is False for one it does not know.

    `data_scopes` None: the registry does not say which data and resources the agent may touch.
    """

    agent_id: str
    registered: bool = True
    type: str | None = None
    stage: str | None = None
    capabilities: frozenset[str] = frozenset()
    budget: float | None = None
    data_scopes: frozenset[str] | None = None
    risk: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call to be judged. `spec` is None for a tool the policy does not declare."""

    agent: AgentFacts
    tool: str
    arguments: Mapping[str, Any]
    at: datetime
    cost: float = 0.0
    spec: ToolSpec | None = None
    environment: str | None = None

    @cached_property
    def event(self) -> Happened:
        """The call as the thing in the run that it is about to be."""
        return Happened(
            "call",
            at=self.at,
            agent_id=self.agent.agent_id,
            tool=self.tool,
            arguments=self.arguments,
            spec=self.spec,
            amount=self.amount,
        )

    @cached_property
    def identity(self) -> str:
        """Same tool and arguments, same text."""
        return self.event.identity

    @cached_property
    def amount(self) -> float | None:
        """Money the call moves: 0 for a tool that moves none, None where it should be stated and is not."""
        if self.spec is None:
            return None
        if self.spec.amount is None:
            return 0.0
        value: Any = self.arguments.get(self.spec.amount)
        return float(value) if is_number(value) and value >= 0 else None


@dataclass(frozen=True, kw_only=True)
class ApprovalNeed:
    """Who must agree: how many, of whom (`role:` before a role's name; nobody named: anybody), within which time."""

    quorum: int = 1
    approvers: tuple[str, ...] = ()
    expires: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit on what calls may commit: per scope and period. A soft one asks for approval where a hard one denies."""

    scope: str
    period: str
    limit: float
    names: tuple[str, ...] = ("*",)
    hard: bool = True


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one call takes from one budget. `key` is its place in `AgentHistory.reserved`."""

    scope: str
    subject: str
    period: str
    span: str
    limit: float
    amount: float
    hard: bool = True
    registry: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return (self.subject if self.registry else f"{self.scope}:{self.subject}", self.span)


class Happened:
    """One thing that happened in a run: a `call`, a tool's `result`, a `message`, or that a denied call `ran`."""

    __slots__ = (
        "_identity",
        "_read",
        "agent_id",
        "amount",
        "arguments",
        "at",
        "bound",
        "content",
        "decision",
        "flags",
        "kind",
        "spec",
        "tool",
    )

    def __init__(
        self,
        kind: str,
        *,
        at: datetime | None = None,
        agent_id: str = "",
        tool: str = "",
        arguments: Mapping[str, Any] | None = None,
        content: str | None = None,
        decision: str | None = None,
        flags: frozenset[str] = frozenset(),
        spec: ToolSpec | None = None,
        amount: float | None = None,
    ) -> None:
        self.kind, self.at, self.agent_id, self.tool = kind, at, agent_id, tool
        self.arguments, self.content, self.decision, self.flags = arguments or {}, content, decision, flags
        self.spec, self.amount = spec, amount
        self._read: Any = NOT_READ
        self.bound: dict[Any, Any] = {}
        self._identity: str | None = None

    @property
    def identity(self) -> str:
        """Same tool and arguments, same text. Made once."""
        if self._identity is None:
            self._identity = call_identity(self.tool, self.arguments)
        return self._identity

    @property
    def result(self) -> Any:
        """A result's content read as JSON; its text where it is none. Read once."""
        if self._read is NOT_READ:
            self._read = read_json(self.content)
        return self._read


class History(Protocol):
    """What happened before the call, in its run and to its agent."""

    def called(self, pattern: str) -> int: ...
    def ran(self, pattern: str) -> int: ...
    def called_alike(self, call: Call) -> int: ...
    def denied_so_far(self) -> int: ...
    def events_so_far(self) -> int: ...
    def calls_since(self, subject: str, moment: datetime) -> int: ...
    def state(self, tracker: Any) -> Any: ...
    @property
    def last_message(self) -> str | None: ...
    @property
    def run_id(self) -> str: ...


class Condition(Protocol):
    """Holds (True), does not (False), or cannot be told (None): an allow needs True, a deny anything but False."""

    def holds(self, call: Call, history: History) -> bool | None: ...


NOT_READ = object()


def call_identity(tool: str, arguments: Mapping[str, Any]) -> str:
    """Same tool and arguments, same text."""
    return tool + json.dumps(arguments, sort_keys=True, default=str)


def read_json(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except (ValueError, RecursionError):
        return text


@lru_cache(maxsize=65536)
def matches(pattern: str, name: str) -> bool:
    """Equality, or a glob where the pattern holds one."""
    return fnmatchcase(name, pattern) if any(char in pattern for char in "*?[") else name == pattern


def any_matches(patterns: Sequence[str], name: str) -> bool:
    for pattern in patterns:  # noqa: SIM110 - a plain loop costs half of a generator, and this runs on every call
        if matches(pattern, name):
            return True
    return False
