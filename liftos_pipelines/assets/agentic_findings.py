"""What events say of versions, as the answers to them read it."""

from __future__ import annotations

from liftos_pipelines.modules.agentic.version_changes import Finding, StageFinding, VersionFinding
from liftos_pipelines.spine.payloads import AgentRolloutDecided, LlmExperimentDecided, LlmRegressionDetected

_FINDINGS: dict[str, Finding] = {
    "ship_b": "better",
    "rollback_b": "worse",
    "keep_a": "no_gain",
    "invalid_srm": "invalid",
}


def finding_of(event_id: str, said: LlmExperimentDecided | LlmRegressionDetected) -> VersionFinding:
    """An experiment's decision, or a regression, as a finding about the version that was tried.

    Raises
    ------
    ValueError : a decision of an experiment that nobody knows how to answer
    """
    if isinstance(said, LlmRegressionDetected):
        same_prompt = said.prompt_version == said.previous_version
        return VersionFinding(
            event_id=event_id,
            kind="model" if same_prompt else "prompt",
            name=said.prompt_name,
            what=f"Regression of {said.metric} since {said.switched_at:%Y-%m-%d}",
            finding="worse",
            serving=said.previous_model if same_prompt else said.previous_version,
            tried=said.model if same_prompt else said.prompt_version,
            reason=f"{said.n_after} calls after against {said.n_before} before; always-valid adjusted p "
            f"{said.p_value_adjusted:.2g}",
            metric=said.metric,
            estimate=said.estimate,
            low=said.low,
            high=said.high,
        )
    if said.decision not in _FINDINGS:
        raise ValueError(f"experiment {said.experiment}: no answer is known to {said.decision!r}")
    return VersionFinding(
        event_id=event_id,
        kind="prompt",
        name=said.prompt_name,
        what=f"Experiment {said.experiment}",
        finding=_FINDINGS[said.decision],
        serving=said.version_a,
        tried=said.version_b,
        reason=f"variant {said.variant_b} against {said.variant_a}: {said.reason}",
        metric=said.metric,
        estimate=said.estimate,
        low=said.low,
        high=said.high,
        # What the posterior says of the metric; of a broken guardrail or a split gone wrong it says nothing.
        confidence=said.p_b_better if said.decision == "ship_b" else None,
    )


def rollout_of(event_id: str, said: AgentRolloutDecided) -> StageFinding:
    """A rollout's decision as the move that it asks for."""
    return StageFinding(
        event_id=event_id,
        agent_id=said.agent_id,
        version=said.version,
        from_stage=said.from_stage,
        to_stage=said.stage,
        decision=said.decision,
        reason=said.reason,
    )
