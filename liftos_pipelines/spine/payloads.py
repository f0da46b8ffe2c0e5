"""What each event says: one typed payload an event type. A new event type is a new class here."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """Base of all payloads. `type` is the event's name, `cause` the fields whose values identify it.

    Fields that a later version added are kept as they came, so that nothing is lost when they are passed on.
    """

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="strings")
    type: ClassVar[str]
    cause: ClassVar[tuple[str, ...]]

    def cause_key(self) -> str:
        """The same cause gives the same key, and so the same event id."""
        return "|".join(str(getattr(self, name)) for name in self.cause)


class SentimentDropDetected(Payload):
    type: ClassVar[str] = "sentiment_drop_detected"
    cause: ClassVar[tuple[str, ...]] = ("alert_id",)
    alert_id: str
    campaign_id: str
    detected_at: datetime
    window_start: date
    window_end: date
    severity: float
    effect: float
    n: int
    explanation: str = ""


class CausalImpactIdentified(Payload):
    type: ClassVar[str] = "causal_impact_identified"
    cause: ClassVar[tuple[str, ...]] = ("trigger_event_id",)
    trigger_event_id: str
    campaign_id: str
    window_start: date
    window_end: date
    effect: float
    effect_low: float
    effect_high: float
    revenue_at_risk: float | None
    probability_harmful: float


class AgentActionInitiated(Payload):
    type: ClassVar[str] = "agent_action_initiated"
    cause: ClassVar[tuple[str, ...]] = ("action_id",)
    action_id: str
    agent_id: str
    action: str
    arguments: dict[str, object]
    context: str
    decision: str
    status: str
    predicted_effect: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None


class CampaignStarted(Payload):
    type: ClassVar[str] = "campaign_started"
    cause: ClassVar[tuple[str, ...]] = ("campaign_id", "start")
    campaign_id: str
    name: str
    start: date
    channel: str | None = None
    budget: float | None = None


class VisibilityShiftDetected(Payload):
    type: ClassVar[str] = "visibility_shift_detected"
    cause: ClassVar[tuple[str, ...]] = ("engine", "kind", "brand", "detected_at")
    engine: str
    kind: str
    brand: str
    detected_at: datetime
    effect: float | None
    p_value: float | None


class AlgorithmChangeDetected(Payload):
    type: ClassVar[str] = "algorithm_change_detected"
    cause: ClassVar[tuple[str, ...]] = ("engine", "detected_at")
    engine: str
    detected_at: datetime
    effect: float | None
    p_value: float | None


class TrustDegraded(Payload):
    type: ClassVar[str] = "trust_degraded"
    cause: ClassVar[tuple[str, ...]] = ("module", "slo", "as_of")
    module: str
    slo: str
    as_of: date
    value: float | None
    threshold: float
    probability_met: float


class DriftDetected(Payload):
    type: ClassVar[str] = "drift_detected"
    cause: ClassVar[tuple[str, ...]] = ("dataset", "column", "as_of")
    dataset: str
    column: str
    as_of: date
    test: str
    statistic: float
    p_value_adjusted: float | None
    estimated_performance_loss: float | None = None


class CausalPatternDetected(Payload):
    type: ClassVar[str] = "causal_pattern_detected"
    cause: ClassVar[tuple[str, ...]] = ("pattern_id",)
    pattern_id: str
    kind: str
    channel: str
    first_seen: date
    last_seen: date
    strength: float
    p_value: float
    detail: str = ""


class PolicyViolationDetected(Payload):
    type: ClassVar[str] = "policy_violation_detected"
    cause: ClassVar[tuple[str, ...]] = ("run_id", "step", "policy")
    run_id: str
    step: int
    agent_id: str
    policy: str
    reason: str


class BudgetExhausted(Payload):
    type: ClassVar[str] = "budget_exhausted"
    cause: ClassVar[tuple[str, ...]] = ("agent_id", "limit", "at")
    agent_id: str
    limit: float
    spent: float
    at: datetime


class ApprovalGiven(Payload):
    type: ClassVar[str] = "approval_given"
    cause: ClassVar[tuple[str, ...]] = ("approval_id",)
    approval_id: str
    action_id: str
    approver: str
    reason: str = ""


class ApprovalDenied(ApprovalGiven):
    type: ClassVar[str] = "approval_denied"


class InsightsRecalled(Payload):
    """What memory had to say of a campaign that began; the surfacing and budget advice follows from it."""

    type: ClassVar[str] = "insights_recalled"
    cause: ClassVar[tuple[str, ...]] = ("trigger_event_id",)
    trigger_event_id: str
    campaign_id: str
    patterns: int
    answered: int
    insights: int
    validated: int


class RootCauseIdentified(Payload):
    """The likeliest cause of a broken promise; `contribution` is None where no share of it could be measured."""

    type: ClassVar[str] = "root_cause_identified"
    cause: ClassVar[tuple[str, ...]] = ("trigger_event_id",)
    trigger_event_id: str
    incident_id: str
    module: str
    slo: str
    cause_found: str
    kind: str
    subject_kind: str | None = None
    """What `subject` is: source, dataset, prompt, model, agent, policy, engine."""
    subject: str | None = None
    version: str | None = None
    earlier_version: str | None = None
    contribution: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: str = ""
    decisions: tuple[str, ...] = ()
    """Ledger entries that concern the module and its time, by `position:kind`."""


class RemediationOrdered(Payload):
    """A remedy that policy or a person let through and that runs here: `dataset` is made anew."""

    type: ClassVar[str] = "remediation_ordered"
    cause: ClassVar[tuple[str, ...]] = ("action_id",)
    action_id: str
    action: str
    dataset: str


class AgentRolloutDecided(Payload):
    """What sequential tests say of a version: `from_version` serves before the move, `to_version` after it.

    The judged `version` goes from `from_stage` to `stage`; `number` counts its moves so far, so that each is one event.
    """

    type: ClassVar[str] = "agent_rollout_decided"
    cause: ClassVar[tuple[str, ...]] = ("agent_id", "version", "decision", "from_stage", "number")
    agent_id: str
    version: str
    from_version: str
    to_version: str
    from_stage: str
    stage: str
    decision: str
    reason: str
    number: int = 0
    evidence: dict[str, float | None] = {}


class LlmExperimentDecided(Payload):
    """An experiment of a prompt or model came to a decision; told once for each experiment, arm and decision."""

    type: ClassVar[str] = "llm_experiment_decided"
    cause: ClassVar[tuple[str, ...]] = ("experiment", "variant_a", "variant_b", "decision")
    experiment: str
    prompt_name: str
    arm: str
    """What `variant_a` and `variant_b` name: variant or prompt_version."""
    decision: str
    """ship_b, rollback_b, keep_a or invalid_srm."""
    variant_a: str
    variant_b: str
    metric: str
    looked_at: datetime
    p_b_better: float | None
    expected_loss: float | None
    """Of what was decided, on average and in the metric's unit."""
    reason: str
    version_a: str | None = None
    version_b: str | None = None
    """The prompt version of each variant's calls; None where they used several."""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    """B minus A in the metric's unit, with its 90 % interval."""


class LlmRegressionDetected(Payload):
    """A deployment of a prompt does worse than the one it took over from; `estimate` is after minus before."""

    type: ClassVar[str] = "llm_regression_detected"
    cause: ClassVar[tuple[str, ...]] = ("prompt_name", "model", "prompt_version", "metric")
    prompt_name: str
    model: str
    prompt_version: str
    previous_model: str
    previous_version: str
    metric: str
    switched_at: datetime
    estimate: float
    low: float
    high: float
    p_value_adjusted: float
    n_before: int
    n_after: int


PAYLOADS: dict[str, type[Payload]] = {
    payload.type: payload
    for payload in (
        SentimentDropDetected,
        CausalImpactIdentified,
        AgentActionInitiated,
        CampaignStarted,
        VisibilityShiftDetected,
        AlgorithmChangeDetected,
        TrustDegraded,
        DriftDetected,
        CausalPatternDetected,
        PolicyViolationDetected,
        BudgetExhausted,
        ApprovalGiven,
        ApprovalDenied,
        InsightsRecalled,
        RootCauseIdentified,
        RemediationOrdered,
        LlmExperimentDecided,
        AgentRolloutDecided,
        LlmRegressionDetected,
    )
}
