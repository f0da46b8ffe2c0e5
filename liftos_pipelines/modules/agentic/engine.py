"""Judging one tool call: built-in guards first, then the policy's rules; deny beats approval beats allow.

Rules are looked up by tool and agent, and among those by the values they ask of an argument, so that a decision asks
few of many rules. Whatever goes wrong inside is a deny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from liftos_pipelines.modules.agentic.arguments import problem_with, read_arguments
from liftos_pipelines.modules.agentic.comparing import is_number
from liftos_pipelines.modules.agentic.conditions import (
    AgentFacts,
    Call,
    leaves,
    matches,
)
from liftos_pipelines.modules.agentic.facts import ApprovalNeed, Decision, Draw, any_matches
from liftos_pipelines.modules.agentic.history import AgentHistory, Machines, RunHistory, reserve
from liftos_pipelines.modules.agentic.ledger_state import EVERY_AGENT, Stop
from liftos_pipelines.modules.agentic.plans import Asked, Level, plan
from liftos_pipelines.modules.agentic.policy import STRENGTH, Policy
from liftos_pipelines.modules.agentic.results import Carries, Known
from liftos_pipelines.modules.agentic.sequences import Loop, Sequence_, Tally

__all__ = ["AgentHistory", "Draw", "PolicyEngine", "RunHistory", "Verdict", "reserve"]

PLANS_KEPT = 4096
TRACKERS = (Sequence_, Tally, Loop, Known, Carries)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision, the guard or rules that made it, and why. `exhausted` is set when a budget refused.

    `approval` says who must agree, exactly when the decision is `needs_approval`.
    """

    decision: Decision
    policy: str
    reason: str
    policy_version: str
    exhausted: bool = False
    approval: ApprovalNeed | None = None
    draw: Draw | None = None
    """The budget that refused."""


class PolicyEngine:
    """Judges calls under one policy. `stops` says of each agent when it may not decide: stronger than any rule."""

    def __init__(self, policy: Policy, stops: Mapping[str, Sequence[Stop]] | None = None) -> None:
        self.policy = policy
        self.stops = dict(stops or {})
        self._plans: dict[tuple[str, AgentFacts], tuple[Level, ...]] = {}
        trackers = [leaf for rule in policy.rules for leaf in leaves(rule.condition) if isinstance(leaf, TRACKERS)]
        self._machines = Machines(trackers)
        self._soft = any(not budget.hard for budget in policy.budgets)

    def call(
        self,
        agent: AgentFacts,
        tool: str | None,
        arguments: str | Mapping[str, Any] | None,
        at: datetime,
        cost: float | None,
        environment: str | None = None,
    ) -> Call | str:
        """A call ready to be judged, or what is wrong with it in words."""
        if not isinstance(tool, str) or not tool:
            return "the call names no tool"
        if not isinstance(at, datetime) or at.tzinfo is None:
            return f"its moment is {at!r}, which names no time with a zone"
        if cost is not None and not (is_number(cost) and cost >= 0):
            return f"its cost is {str(cost)[:40]}, which is not an amount"
        read = read_arguments(arguments)
        if isinstance(read, str):
            return read
        spec = self.policy.spec(tool)
        problem = problem_with(read, spec)
        if problem is not None:
            return problem
        return Call(agent=agent, tool=tool, arguments=read, at=at, cost=cost or 0.0, spec=spec, environment=environment)

    def judge(self, call: Call, history: RunHistory) -> Verdict:
        """The verdict on one call, given what happened before it. It never raises: what fails is denied."""
        try:
            history.catch_up(self._machines)
            return self._guard(call, history) or self._by_rules(call, history)
        except Exception as error:  # a rule that cannot be asked must not open a door
            said = f"the policy could not be asked: {type(error).__name__}: {error}"
            return self._verdict("deny", "policy_error", said)

    def record(self, call: Call, verdict: Verdict, history: RunHistory) -> None:
        """Note a judged call with all budgets that it draws on."""
        draws = {draw.key: draw for draw in self._draws(call, history.run_id, history.client, registry=True)}
        history.note_call(call, verdict.decision, draws.values())

    def draws(self, call: Call, run_id: str, client: str = "") -> tuple[Draw, ...]:
        """What the call takes from each budget that limits it, the registry's of its agent first."""
        return tuple(draw for draw in self._draws(call, run_id, client, registry=True) if draw.limit < float("inf"))

    def refuse(self, problem: str) -> Verdict:
        """The verdict on a call that cannot be read."""
        return self._verdict("deny", "malformed_call", problem)

    def _guard(self, call: Call, history: RunHistory) -> Verdict | None:
        agent = call.agent
        if not agent.registered:
            return self._verdict("deny", "unknown_agent", f"agent {agent.agent_id} is not in the registry")
        for stop in (*self.stops.get(EVERY_AGENT, ()), *self.stops.get(agent.agent_id, ())):
            if stop.holds(call.at):
                return self._verdict("deny", "agent_stopped", f"agent {agent.agent_id} is stopped: {stop.reason}")
        if agent.stage in ("suspended", "retired"):
            return self._verdict("deny", "agent_stopped", f"agent {agent.agent_id} is {agent.stage}")
        granted = any(matches(capability, call.tool) for capability in agent.capabilities)
        if call.spec is None and not granted:
            return self._verdict("deny", "unknown_tool", f"tool {call.tool} is neither declared nor granted")
        if self.policy.scope_by_capabilities and agent.capabilities and not granted:
            return self._verdict("deny", "capabilities", f"tool {call.tool} is not among the agent's capabilities")
        outside = self._outside_scopes(call)
        if outside:
            touched = ", ".join(sorted(outside))
            return self._verdict("deny", "data_scope", f"{call.tool} touches {touched}, outside the agent's scopes")
        for draw in self._draws(call, history.run_id, history.client):
            spent = history.agents.reserved[draw.key]
            if draw.hard and spent + draw.amount > draw.limit + 1e-9:
                return self._verdict("deny", "budget", _over(draw, spent), draw=draw)
        return None

    def _outside_scopes(self, call: Call) -> frozenset[str]:
        if self.policy.data_scopes == "ignore" or call.spec is None:
            return frozenset()
        scopes = call.agent.data_scopes
        if scopes is None:
            if self.policy.data_scopes == "enforce":
                return frozenset()
            scopes = frozenset()
        touched = call.spec.reads | call.spec.writes_to
        return frozenset(name for name in touched if not any_matches(tuple(scopes), name)) if touched else touched

    def _draws(self, call: Call, run_id: str, client: str, registry: bool = False) -> list[Draw]:
        """`registry`: also the agent's own account where no limit is set on it, so that it is kept all the same."""
        amount, found = reserve(call), []
        period = self.policy.budget_period
        if registry or call.agent.budget is not None:
            limit = call.agent.budget
            found.append(
                Draw(
                    scope="agent",
                    subject=call.agent.agent_id,
                    period=period,
                    span=_span(period, call, run_id),
                    limit=float("inf") if limit is None else limit,
                    amount=amount,
                    registry=True,
                )
            )
        for budget in self.policy.budgets:
            subject = {"agent": call.agent.agent_id, "tool": call.tool, "run": run_id, "client": client}[budget.scope]
            if budget.scope in ("agent", "tool") and not any_matches(budget.names, subject):
                continue
            if budget.scope == "tool" and budget.names != ("*",):
                subject = ", ".join(budget.names)  # one pot for all tools that the budget names
            found.append(
                Draw(
                    scope=budget.scope,
                    subject=subject,
                    period=budget.period,
                    span=_span(budget.period, call, run_id),
                    limit=budget.limit,
                    amount=amount,
                    hard=budget.hard,
                )
            )
        if len(found) < 2:
            return found
        unique: dict[tuple[tuple[str, str], bool], Draw] = {}
        for draw in found:  # two limits on one account: the account is drawn on once, the lower limit binds
            other = unique.get((draw.key, draw.hard))
            if other is None or draw.limit < other.limit:
                unique[(draw.key, draw.hard)] = draw
        return list(unique.values())

    def _by_rules(self, call: Call, history: RunHistory) -> Verdict:
        decided: Decision | None = None
        fired: list[Asked] = []
        for level in self._plan(call, history):
            allowing = level.decision == "allow"
            for asked in level.asked(call, history):
                for condition in asked.conditions:
                    said = condition.holds(call, history)
                    if said is False or (said is None and allowing):
                        break
                else:
                    fired.append(asked)
            if fired:
                decided = level.decision
                break  # only weaker rules follow
        names = [asked.rule.name for asked in sorted(fired, key=lambda asked: asked.position)]
        reasons = [asked.rule.reason for asked in sorted(fired, key=lambda asked: asked.position)]
        needs = [asked.rule.approval for asked in fired]
        if self.policy.authority is not None:
            other = self.policy.authority.decide(call, history)
            if other is not None:
                strength = -1 if decided is None else STRENGTH[decided]
                if STRENGTH[other[0]] > strength:
                    decided, names, reasons, needs = other[0], list(other[1]), list(other[2]), [other[3]]
                elif STRENGTH[other[0]] == strength:
                    names, reasons, needs = [*names, *other[1]], [*reasons, *other[2]], [*needs, other[3]]
        for draw in (
            self._draws(call, history.run_id, history.client) if self._soft and decided in (None, "allow") else ()
        ):
            spent = history.agents.reserved[draw.key]
            if not draw.hard and spent + draw.amount > draw.limit + 1e-9:
                decided, names, reasons = "needs_approval", ["budget"], [_over(draw, spent)]
        if decided is None:
            return self._verdict("needs_approval", "default", f"no rule allows {call.tool} here", need=ApprovalNeed())
        if decided == "needs_approval":
            need = _strictest([need for need in needs if need is not None])
            if need is None:
                why = f"rules {', '.join(names)} want different people to agree, and too few may for all of them"
                return self._verdict("deny", "approvers_disjoint", why)
            return self._verdict(decided, ", ".join(names), "; ".join(reasons), need=need)
        return self._verdict(decided, ", ".join(names), "; ".join(reasons))

    def _plan(self, call: Call, history: RunHistory) -> tuple[Level, ...]:
        """Rules that can concern this tool and agent, strongest first, with the conditions left to be asked."""
        key = (call.tool, call.agent)
        known = self._plans.get(key)
        if known is not None:
            return known
        if len(self._plans) >= PLANS_KEPT:
            self._plans.clear()
        found = self._plans[key] = plan(self.policy.rules, call, history)
        return found

    def _verdict(
        self,
        decision: Decision,
        policy: str,
        reason: str,
        *,
        draw: Draw | None = None,
        need: ApprovalNeed | None = None,
    ) -> Verdict:
        return Verdict(
            decision=decision,
            policy=policy,
            reason=reason,
            policy_version=self.policy.version,
            exhausted=draw is not None,
            approval=need,
            draw=draw,
        )


def _strictest(needs: Sequence[ApprovalNeed]) -> ApprovalNeed | None:
    """What satisfies all of several needs; None where too few people may agree to all of them."""
    quorum = max((need.quorum for need in needs), default=1)
    named = [frozenset(need.approvers) for need in needs if need.approvers]
    both = frozenset.intersection(*named) if named else frozenset()
    if named and (not both or (quorum > len(both) and not any(name.startswith("role:") for name in both))):
        return None
    spans = [need.expires for need in needs if need.expires is not None]
    expires: timedelta | None = min(spans) if spans else None
    return ApprovalNeed(quorum=quorum, approvers=tuple(sorted(both)), expires=expires)


def _span(period: str, call: Call, run_id: str) -> str:
    if period == "day":
        return call.at.date().isoformat()
    if period == "month":
        return call.at.date().isoformat()[:7]
    return run_id if period == "run" else "total"


def _over(draw: Draw, spent: float) -> str:
    of = "" if draw.registry else f" of {draw.scope} {draw.subject}".rstrip()
    return f"{spent + draw.amount:.2f} would exceed the budget{of} of {draw.limit:.2f} per {draw.period}"
