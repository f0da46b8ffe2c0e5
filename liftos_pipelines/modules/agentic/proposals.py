"""From an impact to a typed response: which action, by which agent, with which arguments.

The response follows the strength of the evidence that the incident harmed the outcome. Amounts come from the budget
plan and nowhere else: without a plan that takes money off the campaign's channel, no money is moved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.registry import RESPONDER
from liftos_pipelines.modules.agentic.replay import agents_known

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
    """One action to be judged. `predicted_*` is what the action itself should change; None where nothing says so."""

    action_id: str
    event_id: str
    agent: AgentFacts
    action: str
    arguments: dict[str, Any]
    context: str
    predicted_effect: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None


def propose(
    impact: Impact, *, agents: pl.DataFrame, campaigns: pl.DataFrame, plan: pl.DataFrame, currency: str
) -> list[Proposal]:
    """Responses to one impact: always a message; for likely harm a ticket instead, and a shift of money if planned.

    Parameters
    ----------
    agents : registered agents, the built-in responder among them
    campaigns : `sources/campaigns`, to know the campaign's channel; may be empty
    plan : `causal/budget_plan`; may be empty
    """
    context = describe(impact)
    harmful = impact.probability_harmful >= HARM_LIKELY
    about = {
        "campaign_id": impact.campaign_id,
        "window_start": impact.window_start.isoformat(),
        "window_end": impact.window_end.isoformat(),
    }
    if harmful:
        ticket = {"title": f"Harmful incident on campaign {impact.campaign_id}", "text": context, **about}
        proposals = [_proposal(impact, agents, "open_ticket", ticket, context)]
        shift = _shift(impact, campaigns, plan, currency)
        if shift is not None:
            arguments, predicted = shift
            proposals.append(_proposal(impact, agents, "shift_budget", arguments | about, context, predicted))
        return proposals
    message = {"channel": "growth", "text": context, **about}
    return [_proposal(impact, agents, "notify", message, context)]


def describe(impact: Impact) -> str:
    """An impact in one sentence, for people and for memory."""
    risk = "unknown" if impact.revenue_at_risk is None else f"{impact.revenue_at_risk:,.0f}"
    return (
        f"Incident on campaign {impact.campaign_id} from {impact.window_start} to {impact.window_end}: effect on the "
        f"outcome {impact.effect:+,.0f} (90 % interval {impact.effect_low:+,.0f} to {impact.effect_high:+,.0f}), "
        f"probability of harm {impact.probability_harmful:.2f}, revenue at risk {risk}."
    )


def choose_agent(agents: pl.DataFrame, action: str, amount: float = 0.0) -> AgentFacts:
    """The agent that is handed an action: live before canary, the client's own before the built-in, then by id.

    An agent whose budget does not reach the amount is not asked.
    """
    able = [
        agent
        for agent in agents_known(agents).values()
        if action in agent.capabilities
        and agent.stage in STAGE_ORDER
        and (agent.budget is None or agent.budget >= amount)
    ]
    return min(able, key=lambda agent: (agent.agent_id == RESPONDER, STAGE_ORDER[str(agent.stage)], agent.agent_id))


def action_id(event_id: str, action: str) -> str:
    """The same event and action give the same id, so that a repeated run repeats nothing."""
    return hashlib.sha256(f"{event_id}|{action}".encode()).hexdigest()[:32]


def _proposal(
    impact: Impact,
    agents: pl.DataFrame,
    action: str,
    arguments: dict[str, Any],
    context: str,
    predicted: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Proposal:
    return Proposal(
        action_id=action_id(impact.event_id, action),
        event_id=impact.event_id,
        agent=choose_agent(agents, action, float(arguments.get("amount", 0.0))),
        action=action,
        arguments=arguments,
        context=context,
        predicted_effect=predicted[0],
        predicted_low=predicted[1],
        predicted_high=predicted[2],
    )


def _shift(
    impact: Impact, campaigns: pl.DataFrame, plan: pl.DataFrame, currency: str
) -> tuple[dict[str, Any], tuple[float | None, float | None, float | None]] | None:
    """Money off the campaign's channel, as far as the plan takes it, to the channel that the plan raises most."""
    channels = campaigns.filter(pl.col("campaign_id") == impact.campaign_id)["channel"].drop_nulls()
    if not channels.len() or plan.is_empty():
        return None
    moves = plan.with_columns((pl.col("spend_planned") - pl.col("spend_current")).alias("change"))
    giver = moves.filter((pl.col("channel") == channels[0]) & (pl.col("change") < 0))
    taker = moves.filter((pl.col("change") > 0) & (pl.col("channel") != channels[0])).sort("change", descending=True)
    if giver.is_empty() or taker.is_empty():
        return None
    amount = round(min(-float(giver["change"][0]), float(taker["change"][0])), 2)
    arguments = {
        "from_channel": channels[0],
        "to_channel": taker["channel"][0],
        "amount": amount,
        "currency": currency,
    }
    # The plan's uplift is for the whole plan; a part of it has no interval of its own.
    return arguments, (None, None, None)
