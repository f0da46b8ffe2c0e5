"""Which events the platform answers, and with which assets.

The event loop (DESIGN: events) as a table: `reaction_runs.py` turns it into sensors, `reactor/` into warm runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from liftos_pipelines.spine.payloads import Payload

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


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """`name` is what assets pass to `mark_handled`."""

    name: str
    event_types: tuple[str, ...]
    assets: tuple[str, ...]
    description: str
    datasets: tuple[str, ...] = ()
    """Only events about these (their payload's `dataset`); empty: whatever they are about."""

    @property
    def sensor_name(self) -> str:
        return f"reaction_{self.name.replace('/', '_')}"

    def answers(self, payload: Payload) -> bool:
        """Whether an event of its types is one to answer."""
        return not self.datasets or getattr(payload, "dataset", None) in self.datasets


REACTIONS = (
    Reaction(
        name="causal/impact",
        event_types=("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected"),
        assets=("causal/impact",),
        description="A drop in sentiment or a shift in AI visibility: estimate what it did to the outcome.",
    ),
    Reaction(
        name="surfacing/recommendations",
        event_types=("visibility_shift_detected", "algorithm_change_detected"),
        assets=("surfacing/recommendations",),
        description="Visibility shifted: advise anew, with the shift known.",
    ),
    Reaction(
        name="agentic/proposals",
        event_types=("causal_impact_identified", "approval_given", "approval_denied"),
        assets=("agentic/proposals",),
        description="An impact is known, or a person has answered: propose, judge by policy, execute, queue or close.",
    ),
    Reaction(
        name="memory/items",
        event_types=("agent_action_initiated",),
        assets=("memory/items", "memory/patterns", "memory/insights"),
        description="An action began: remember context, impact and action as a pattern.",
    ),
    Reaction(
        name="memory/patterns",
        event_types=("campaign_started",),
        assets=("memory/items", "memory/patterns", "memory/insights"),
        description="A campaign began: look up what similar past contexts came to.",
    ),
    Reaction(
        name="causal/champion",
        event_types=("drift_detected",),
        assets=REFIT,
        description="The marketing-mix model no longer stands for the newest weeks: refit it, judge it, answer anew.",
        datasets=("causal/mmm_posterior",),
    ),
)
