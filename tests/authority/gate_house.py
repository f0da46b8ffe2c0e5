"""A client with a policy, agents and a gate, on a spine of the test's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from liftos_pipelines.authority.agents import RegisteredAgent
from liftos_pipelines.authority.gate import Gate
from liftos_pipelines.authority.requests import ActionRequest
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.policy import Policy, parse_policy
from liftos_pipelines.spine.database import Spine

CLIENT = "acme"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY: dict[str, Any] = {
    "name": "house",
    "budget": {"period": "day"},
    "tools": {
        "read_metrics": {"reversible": True, "writes": False},
        "read_customer": {"reversible": True, "writes": False},
        "adjust_bid": {"reversible": True, "amount": "amount"},
        "raise_budget": {"reversible": True, "amount": "amount"},
        "lower_budget": {"reversible": True},
        "publish_ad": {"reversible": False, "amount": "amount"},
        "send_mail": {"reversible": False},
    },
    "rules": [
        {
            "name": "mail_after_customer",
            "decision": "deny",
            "when": {"tool": "send_mail", "after": {"tool": "read_customer"}},
        },
        {"name": "reversible", "decision": "allow", "when": {"reversible": True}},
        {"name": "mail", "decision": "allow", "when": {"tool": "send_mail"}},
        {"name": "publishing", "decision": "needs_approval", "when": {"tool": "publish_ad"}},
    ],
}


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


def policy(**changes: Any) -> Policy:
    return parse_policy(POLICY | changes, file="policies.yaml")


def agent(name: str, *, budget: float | None = 100.0, rank: int = 0, stage: str = "live") -> RegisteredAgent:
    facts = AgentFacts(agent_id=name, stage=stage, type="budget_allocator", budget=budget)
    return RegisteredAgent(facts=facts, version="1", stages={"1": stage}, owner="growth", rank=rank)


def gate(
    spine: Spine,
    *agents: RegisteredAgent,
    by: Policy | None = None,
    clock: Any = None,
    settings: GateSettings | None = None,
) -> Gate:
    known = {each.facts.agent_id: each for each in agents or (agent("a"), agent("b"))}
    return Gate(CLIENT, by or policy(), spine, lambda: known, clock=clock or Clock(), settings=settings)


def ask(tool: str | None = "adjust_bid", arguments: Any = None, **fields: Any) -> ActionRequest:
    given = {"amount": 10, "campaign_id": "c1"} if arguments is None else arguments
    base = ActionRequest(run_id="r1", agent_id="a", tool=tool, arguments=given)
    return replace(base, **fields)
