"""Judging one tool call: built-in guards first, then the policy's rules; deny beats approval beats allow."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from liftos_pipelines.modules.agentic.conditions import STATIC, AgentFacts, Call, Condition, conjuncts, matches
from liftos_pipelines.modules.agentic.ledger_state import Stop
from liftos_pipelines.modules.agentic.policy import STRENGTH, Decision, Policy, Rule


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision, the guard or rules that made it, and why. `exhausted` is set when the budget refused."""

    decision: Decision
    policy: str
    reason: str
    policy_version: str
    exhausted: bool = False


@dataclass
class AgentHistory:
    """What agents did across runs: times of their calls, and money reserved per period."""

    times: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    reserved: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))


@dataclass
class RunHistory:
    """What happened in one run so far; it answers the conditions' questions."""

    run_id: str
    agents: AgentHistory
    last_message: str | None = None
    _tools: Counter[str] = field(default_factory=Counter)
    _alike: Counter[str] = field(default_factory=Counter)
    _denied: int = 0

    def called(self, pattern: str) -> int:
        if pattern in self._tools:
            return self._tools[pattern]
        return sum(count for tool, count in self._tools.items() if matches(pattern, tool))

    def called_alike(self, call: Call) -> int:
        return self._alike[_identity(call)]

    def denied_so_far(self) -> int:
        return self._denied

    def calls_since(self, agent_id: str, moment: datetime) -> int:
        times = self.agents.times[agent_id]
        return len(times) - bisect_left(times, moment)

    def record(self, call: Call, verdict: Verdict, period: str) -> None:
        """Note a judged call. A denied one reserves no money: enforced, it would not have run."""
        self._tools[call.tool] += 1
        self._alike[_identity(call)] += 1
        times = self.agents.times[call.agent.agent_id]
        if not times or times[-1] <= call.at:
            times.append(call.at)
        else:
            times.insert(bisect_left(times, call.at), call.at)
        if verdict.decision == "deny":
            self._denied += 1
        else:
            self.agents.reserved[(call.agent.agent_id, period)] += reserve(call)


class PolicyEngine:
    """Judges calls under one policy; rules are looked up by tool and agent.

    `stops` says of each agent when it may not decide: the kill switch, stronger than any rule.
    """

    def __init__(self, policy: Policy, stops: Mapping[str, Sequence[Stop]] | None = None) -> None:
        self.policy = policy
        self.stops = dict(stops or {})
        self._open: dict[tuple[str, AgentFacts], tuple[tuple[int, Rule, tuple[Condition, ...]], ...]] = {}

    def call(
        self,
        agent: AgentFacts,
        tool: str | None,
        arguments: str | Mapping[str, Any] | None,
        at: datetime,
        cost: float | None,
    ) -> Call | str:
        """A call ready to be judged, or what is wrong with it in words."""
        if not tool:
            return "the call names no tool"
        read: Any = arguments
        if arguments is None or arguments == "":
            read = {}
        elif isinstance(arguments, str):
            try:
                read = json.loads(arguments)
            except ValueError as error:
                return f"its arguments are not JSON: {error}"
        if not isinstance(read, Mapping):
            return f"its arguments are not a JSON object but {type(read).__name__}"
        if cost is not None and not cost >= 0:
            return f"its cost is {cost}, which is not an amount"
        return Call(agent=agent, tool=tool, arguments=read, at=at, cost=cost or 0.0, spec=self.policy.spec(tool))

    def judge(self, call: Call, history: RunHistory) -> Verdict:
        """The verdict on one call, given what happened before it."""
        guard = self._guard(call, history)
        if guard is not None:
            return guard
        strongest = -1
        decided: Decision | None = None
        names: list[str] = []
        reasons: list[str] = []
        for strength, rule, conditions in self._rules(call, history):
            if strength < strongest:
                break  # sorted: only weaker rules follow
            holds = True
            for condition in conditions:
                if not condition.holds(call, history):
                    holds = False
                    break
            if not holds:
                continue
            if strength > strongest:
                strongest, decided, names, reasons = strength, rule.decision, [], []
            names.append(rule.name)
            reasons.append(rule.reason)
        if decided is None:
            return self._verdict("needs_approval", "default", f"no rule allows {call.tool} here")
        return self._verdict(decided, ", ".join(names), "; ".join(reasons))

    def period(self, call: Call, run_id: str) -> str:
        """The span over which the agent's budget counts, as a key."""
        spans = {"run": run_id, "day": f"{call.at:%Y-%m-%d}", "month": f"{call.at:%Y-%m}", "total": "total"}
        return spans[self.policy.budget_period]

    def refuse(self, problem: str) -> Verdict:
        """The verdict on a call that cannot be read."""
        return self._verdict("deny", "malformed_call", problem)

    def _guard(self, call: Call, history: RunHistory) -> Verdict | None:
        agent = call.agent
        if not agent.registered:
            return self._verdict("deny", "unknown_agent", f"agent {agent.agent_id} is not in the registry")
        for stop in self.stops.get(agent.agent_id, ()):
            if stop.holds(call.at):
                return self._verdict("deny", "agent_stopped", f"agent {agent.agent_id} is stopped: {stop.reason}")
        if agent.stage in ("suspended", "retired"):
            return self._verdict("deny", "agent_stopped", f"agent {agent.agent_id} is {agent.stage}")
        granted = any(matches(capability, call.tool) for capability in agent.capabilities)
        if call.spec is None and not granted:
            return self._verdict("deny", "unknown_tool", f"tool {call.tool} is neither declared nor granted")
        if self.policy.scope_by_capabilities and agent.capabilities and not granted:
            return self._verdict("deny", "capabilities", f"tool {call.tool} is not among the agent's capabilities")
        if agent.budget is not None:
            spent = history.agents.reserved[(agent.agent_id, self.period(call, history.run_id))]
            if spent + reserve(call) > agent.budget + 1e-9:
                reason = (
                    f"{spent + reserve(call):.2f} would exceed the budget of {agent.budget:.2f} "
                    f"per {self.policy.budget_period}"
                )
                return self._verdict("deny", "budget", reason, exhausted=True)
        return None

    def _rules(self, call: Call, history: RunHistory) -> tuple[tuple[int, Rule, tuple[Condition, ...]], ...]:
        """Rules that can concern this tool and agent, strongest first, with the conditions left to be asked."""
        key = (call.tool, call.agent)
        known = self._open.get(key)
        if known is None:
            rules = []
            for rule in self.policy.rules:
                parts = conjuncts(rule.condition)
                if all(part.holds(call, history) for part in parts if isinstance(part, STATIC)):
                    asked = tuple(part for part in parts if not isinstance(part, STATIC))
                    rules.append((STRENGTH[rule.decision], rule, asked))
            known = self._open[key] = tuple(sorted(rules, key=lambda entry: -entry[0]))
        return known

    def _verdict(self, decision: Decision, policy: str, reason: str, *, exhausted: bool = False) -> Verdict:
        return Verdict(
            decision=decision,
            policy=policy,
            reason=reason,
            policy_version=self.policy.version,
            exhausted=exhausted,
        )


def reserve(call: Call) -> float:
    """Money a call takes from the budget: its recorded cost or the amount it moves, whichever is more."""
    return max(call.cost, call.amount or 0.0)


def _identity(call: Call) -> str:
    return call.tool + json.dumps(call.arguments, sort_keys=True, default=str)
