"""Which events the platform answers, and with which assets.

The event loop (DESIGN: events) as a table: `reaction_runs.py` turns it into sensors, `reactor/` into warm runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from liftos_pipelines.spine.payloads import Payload
from liftos_pipelines.tables import SOURCES

REFIT = (
    "causal/panel",
    "causal/mmm_posterior",
    "causal/validation",
    "causal/champion",
    "causal/channel_results",
    "causal/response_curves",
    "causal/budget_plan",
    "causal/monitor",
    "causal/channel_update",
    "causal/fit_history",
    "causal/patterns",
)


MARKETING_MIX, SENTIMENT = "causal/mmm_posterior", "sentiment/model"
SOURCE_TABLES = tuple(f"sources/{name}" for name in SOURCES)


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """`name` is what assets pass to `mark_handled`."""

    name: str
    event_types: tuple[str, ...]
    assets: tuple[str, ...]
    description: str
    datasets: tuple[str, ...] = ()
    """Only events about these (their payload's `dataset`); empty: whatever they are about."""
    other_than: tuple[str, ...] = ()
    """Not events about these: another reaction answers them."""

    @property
    def sensor_name(self) -> str:
        return f"reaction_{self.name.replace('/', '_')}"

    def answers(self, payload: Payload) -> bool:
        """Whether an event of its types is one to answer."""
        about = getattr(payload, "dataset", None)
        return (not self.datasets or about in self.datasets) and about not in self.other_than


REMEMBER = ("memory/items", "memory/patterns", "memory/insights")

REACTIONS = (
    Reaction(
        name="causal/impact",
        event_types=("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected"),
        assets=("causal/impact",),
        description="A drop in sentiment or a shift in AI visibility: estimate what it did to the outcome.",
    ),
    Reaction(
        name="surfacing/recommendations",
        event_types=("visibility_shift_detected", "algorithm_change_detected", "insights_recalled"),
        assets=("surfacing/recommendations",),
        description="Visibility shifted, or memory knows what helps a campaign that began: advise anew.",
    ),
    Reaction(
        name="agentic/proposals",
        event_types=(
            "causal_impact_identified",
            "root_cause_identified",
            "llm_experiment_decided",
            "llm_regression_detected",
            "agent_rollout_decided",
            "approval_given",
            "approval_denied",
        ),
        assets=("agentic/proposals",),
        description="An impact, a root cause or a better or worse version is known, or a person has answered: propose, "
        "judge by policy, execute, queue or close.",
    ),
    Reaction(
        name="agentic/drift",
        event_types=("drift_detected",),
        assets=("agentic/proposals",),
        description="Data drifted: propose to refit the model that stands behind them, or a ticket.",
        other_than=(MARKETING_MIX,),
    ),
    Reaction(
        name="agentic/stops",
        event_types=("policy_violation_detected", "budget_exhausted"),
        assets=("agentic/stops",),
        description="An agent broke policy or spent its budget: it decides nothing until it may go on.",
    ),
    Reaction(
        name="memory/items",
        event_types=(
            "agent_action_initiated",
            "visibility_shift_detected",
            "algorithm_change_detected",
            "causal_pattern_detected",
        ),
        assets=REMEMBER,
        description="An action began, visibility shifted, a causal pattern recurs: remember it.",
    ),
    Reaction(
        name="memory/patterns",
        event_types=("campaign_started",),
        assets=REMEMBER,
        description="A campaign began: look up what similar past contexts came to.",
    ),
    Reaction(
        name="causal/campaigns",
        event_types=("insights_recalled",),
        assets=("causal/campaign_outlook", "causal/budget_suggestions", "eval/predictions"),
        description="Memory was asked about a campaign that began: say what to expect of it under current conditions, "
        "suggest budgets, and follow the prediction.",
    ),
    Reaction(
        name="eval/predictions",
        event_types=("agent_action_initiated",),
        assets=("eval/predictions",),
        description="An action began: watch its outcome against what was predicted.",
    ),
    Reaction(
        name="eval/root_causes",
        event_types=("trust_degraded",),
        assets=("eval/root_causes",),
        description="A promise is more likely broken than kept: trace decisions, and find the cause.",
    ),
    Reaction(
        name="causal/champion",
        event_types=("drift_detected",),
        assets=REFIT,
        description="The marketing-mix model no longer stands for the newest weeks: refit it, judge it, answer anew.",
        datasets=(MARKETING_MIX,),
    ),
    Reaction(
        name="remedy/refit_mix",
        event_types=("remediation_ordered",),
        assets=(*REFIT, "agentic/remediations"),
        description="A refit of the marketing-mix model was ordered as a remedy.",
        datasets=(MARKETING_MIX,),
    ),
    Reaction(
        name="remedy/refit_sentiment",
        event_types=("remediation_ordered",),
        assets=(SENTIMENT, "sentiment/mention_scores", "agentic/remediations"),
        description="A refit of the client's sentiment model was ordered as a remedy.",
        datasets=(SENTIMENT,),
    ),
    Reaction(
        name="remedy/reingest",
        event_types=("remediation_ordered",),
        assets=(*SOURCE_TABLES, "agentic/remediations"),
        description="Reading a source again was ordered as a remedy.",
        datasets=SOURCE_TABLES,
    ),
)
