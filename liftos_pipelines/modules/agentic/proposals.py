"""From an impact to a typed response: which action, by which agent, with which arguments.

The response follows the strength of the evidence that the incident harmed the outcome. Amounts come from the budget
plan and nowhere else: without a plan that takes money off the campaign's channel, no money is moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.modules.agentic.replay import agents_known
from liftos_pipelines.tables import ALL

HARM_LIKELY = 0.9
"""Probability of harm from which an incident gets a ticket, and money may move."""
STAGE_ORDER = {"live": 0, "canary": 1}
"""Stages whose agents may be handed a response, the preferred first."""


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What `causal_impact_identified` says."""

    event_id: str
    campaign_id: str
    window_start: date
    window_end: date
    effect: float
    effect_low: float
    effect_high: float
    revenue_at_risk: float | None
    probability_harmful: float


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One action to be judged. `predicted_*` is what the action itself should change; None where nothing says so.

    `confidence` is the probability that the reason for it holds, None where nobody measured one; `alternatives` are
    what was not proposed, each with why.
    """

    action_id: str
    event_id: str
    agent: AgentFacts
    action: str
    arguments: dict[str, Any]
    context: str
    reasoning: str
    confidence: float | None = None
    alternatives: tuple[tuple[str, str], ...] = ()
    predicted_effect: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What every proposal of a run is made from, read once.

    `changes` : the plan's change of spend by channel; `stopped` : agents that may not decide, with the reason;
    `registered` : of each agent the version, who owns it, and its rank among agents that meet on one target
    """

    agents: tuple[AgentFacts, ...]
    channels: Mapping[str, str]
    changes: Mapping[str, float]
    currency: str
    stopped: Mapping[str, str] = field(default_factory=dict)
    registered: Mapping[str, tuple[str, str | None, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        agents: pl.DataFrame,
        campaigns: pl.DataFrame,
        plan: pl.DataFrame,
        currency: str,
        stopped: Mapping[str, str] | None = None,
    ) -> Situation:
        """From registered agents (the built-in responder among them), `sources/campaigns` and `causal/budget_plan`."""
        moves = plan.filter(pl.col("channel") != ALL).select(
            "channel", pl.col("spend_planned") - pl.col("spend_current")
        )
        return cls(
            agents=tuple(agents_known(agents).values()),
            channels=dict(campaigns.select("campaign_id", "channel").drop_nulls().iter_rows()),
            changes={channel: change for channel, change in moves.iter_rows() if change is not None},
            currency=currency,
            stopped=stopped or {},
            registered={
                row["agent_id"]: (str(row["version"]), row["owner"], 0) for row in agents.iter_rows(named=True)
            },
        )


def propose(impact: Impact, situation: Situation) -> list[Proposal]:
    """Responses to one impact: a message; for likely harm a ticket instead, and a shift of money if planned."""
    context = describe(impact)
    about = {
        "campaign_id": impact.campaign_id,
        "window_start": impact.window_start.isoformat(),
        "window_end": impact.window_end.isoformat(),
    }
    measured = f"probability of harm {impact.probability_harmful:.2f}, threshold {HARM_LIKELY}"
    if impact.probability_harmful < HARM_LIKELY:
        message = {"channel": "growth", "text": context, **about}
        return [
            _proposal(
                impact,
                situation,
                "notify",
                message,
                context,
                f"harm is not likely enough to act on: {measured}",
                (("open_ticket", "harm is below the threshold"), ("shift_budget", "harm is below the threshold")),
            )
        ]
    ticket = {"title": f"Harmful incident on campaign {impact.campaign_id}", "text": context, **about}
    found = _shift(impact.campaign_id, situation)
    beside = (("notify", "harm is likely: a message alone is too little"),)
    without = beside if isinstance(found, dict) else (*beside, ("shift_budget", found))
    proposals = [_proposal(impact, situation, "open_ticket", ticket, context, f"harm is likely: {measured}", without)]
    if isinstance(found, dict):
        why = f"harm is likely: {measured}; the budget plan takes money off {found['from_channel']} anyway"
        # The plan's uplift is for the whole plan; a part of it has no interval of its own.
        proposals.append(_proposal(impact, situation, "shift_budget", found | about, context, why, beside))
    return proposals


def describe(impact: Impact) -> str:
    """An impact in one sentence, for people and for memory."""
    risk = "unknown" if impact.revenue_at_risk is None else f"{impact.revenue_at_risk:,.0f}"
    return (
        f"Incident on campaign {impact.campaign_id} from {impact.window_start} to {impact.window_end}: effect on the "
        f"outcome {impact.effect:+,.0f} (90 % interval {impact.effect_low:+,.0f} to {impact.effect_high:+,.0f}), "
        f"probability of harm {impact.probability_harmful:.2f}, revenue at risk {risk}."
    )


def choose_agent(situation: Situation, action: str, amount: float = 0.0) -> AgentFacts:
    """The agent that is handed an action: live before canary, the client's own before the built-in, then by id.

    An agent whose budget does not reach the amount is not asked, nor one that is stopped while another may decide.
    """
    able = [
        agent
        for agent in situation.agents
        if action in agent.capabilities
        and agent.stage in STAGE_ORDER
        and (agent.budget is None or agent.budget >= amount)
    ]
    return min(
        able,
        key=lambda agent: (
            agent.agent_id in situation.stopped,
            agent.agent_id == RESPONDER,
            STAGE_ORDER[str(agent.stage)],
            agent.agent_id,
        ),
    )


def action_id(event_id: str, action: str) -> str:
    """The same event and action give the same id, so that a repeated run repeats nothing."""
    return hashlib.sha256(f"{event_id}|{action}".encode()).hexdigest()[:32]


def _proposal(
    impact: Impact,
    situation: Situation,
    action: str,
    arguments: dict[str, Any],
    context: str,
    reasoning: str,
    alternatives: tuple[tuple[str, str], ...],
) -> Proposal:
    return Proposal(
        action_id=action_id(impact.event_id, action),
        event_id=impact.event_id,
        agent=choose_agent(situation, action, float(arguments.get("amount", 0.0))),
        action=action,
        arguments=arguments,
        context=context,
        reasoning=reasoning,
        confidence=impact.probability_harmful,
        alternatives=alternatives,
    )


def _shift(campaign_id: str, situation: Situation) -> dict[str, Any] | str:
    """Money off the campaign's channel, as far as the plan takes it, to the channel that the plan raises most; or why
    no money is moved."""
    giver = situation.channels.get(campaign_id)
    if giver is None:
        return "the campaign has no channel"
    if giver not in situation.changes:
        return f"there is no budget plan for channel {giver}"
    if situation.changes[giver] >= 0:
        return f"the budget plan takes no money off channel {giver}"
    raised = [(change, channel) for channel, change in situation.changes.items() if change > 0 and channel != giver]
    if not raised:
        return "the budget plan raises no other channel"
    change, taker = max(raised)
    return {
        "from_channel": giver,
        "to_channel": taker,
        "amount": round(min(-situation.changes[giver], change), 2),
        "currency": situation.currency,
    }
