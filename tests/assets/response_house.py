"""A client whose campaigns are harmed, the responder that answers, and an agent outside beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_reaction import Responder
from liftos_pipelines.authority.agents import RegisteredAgent
from liftos_pipelines.authority.gate import Gate
from liftos_pipelines.authority.requests import ActionRequest
from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.proposals import Situation, action_id
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.resources.policy_files import read_policy
from liftos_pipelines.spine import outbox as staging
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.payloads import CausalImpactIdentified

CLIENT = "acme"
NOW = datetime(2025, 9, 20, tzinfo=UTC)
CAN = frozenset({"shift_budget", "notify", "open_ticket", "reingest_source", "adjust_bid"})
PEOPLE = {"name": "money", "decision": "needs_approval", "when": {"tool": "shift_budget"}}


def facts(name: str, budget: float | None = 1000.0) -> AgentFacts:
    return AgentFacts(agent_id=name, stage="live", capabilities=CAN, registered=True, budget=budget)


def situation(change: float = 300.0, budget: float | None = 1000.0) -> Situation:
    return Situation(
        agents=(facts("pacer", budget), facts(RESPONDER, None)),
        channels={"c1": "video"},
        changes={"video": -change, "search": change},
        currency="EUR",
        registered={"pacer": ("1", "Ann", 0), RESPONDER: ("1", "liftos", 0)},
    )


def with_people(home: Path, **more: Any) -> Policy:
    file = home / "policies.yaml"
    file.write_text(json.dumps({"extends": "default", "rules": [PEOPLE | more]}))
    return read_policy(file)


def respond(spine: Spine, home: Path, *, policy: Policy | None = None, told: Situation | None = None) -> Responder:
    out = staging.Outbox(spine)
    responder = Responder(
        client=CLIENT, spine=spine, told=out, policy=policy or read_policy(None), situation=lambda: told or situation(),
        folder=home, versions=dict, refittable=frozenset(), now=datetime.now(UTC), run_id="run",
    )  # fmt: skip
    responder.answer()
    out.commit()
    return responder


def harm(spine: Spine, cause: str = "a") -> Event:
    payload = CausalImpactIdentified(
        trigger_event_id=cause, campaign_id="c1", window_start=date(2025, 9, 8), window_end=date(2025, 9, 19),
        effect=-900.0, effect_low=-1400.0, effect_high=-400.0, revenue_at_risk=None, probability_harmful=0.97,
    )  # fmt: skip
    return spine.raise_event(CLIENT, payload, occurred_at=NOW)


def shift_of(event: Event) -> str:
    return action_id(event.event_id, "shift_budget")


def money_of(spine: Spine, pot: str = "agent:pacer") -> list[tuple[int, int]]:
    return [(each.reserved // 10**6, each.settled // 10**6) for each in spine.pots(CLIENT) if each.pot.startswith(pot)]


def gate_of(spine: Spine) -> Gate:
    known = {
        name: RegisteredAgent(facts=facts(name), version="1", stages={"1": "live"}) for name in ("pacer", "outside")
    }
    return Gate(CLIENT, read_policy(None), spine, lambda: known)


def outside(tool: str = "adjust_bid", **fields: Any) -> ActionRequest:
    base = ActionRequest(run_id="r", agent_id="outside", tool=tool, arguments={"amount": 5, "campaign_id": "c1"})
    return replace(base, **fields)


def status(spine: Spine, key: str) -> str:
    return state_of(spine, CLIENT).status_of(key)


def plans(home: Path) -> list[str]:
    return sorted(file.name for file in home.glob("plans/*.json"))


def give(spine: Spine, by: str = "eve", given: bool = True) -> None:
    (asked,) = spine.approvals(CLIENT, "open")
    spine.decide_approval(CLIENT, asked.approval_id, given=given, approver=by, reason="", now=datetime.now(UTC))
