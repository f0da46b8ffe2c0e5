"""What the ledger is told of a response: the decision with all it rests on, and what came of the action."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from liftos_pipelines.assets.agentic_precedents import Citation
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.ledger_state import ACTION, DECISION
from liftos_pipelines.modules.agentic.proposals import Proposal
from liftos_pipelines.modules.agentic.remedies import Cause
from liftos_pipelines.resources.actions import ActionFailed, Means, Order, execute
from liftos_pipelines.spine.database import Event, LedgerNote
from liftos_pipelines.spine.decisions import Alternative, Input, accountable
from liftos_pipelines.spine.payloads import DriftDetected, RootCauseIdentified


def cause_of(event: Event) -> Cause:
    """What a root cause or a drift says, as the remedies read it."""
    said = event.payload
    if isinstance(said, RootCauseIdentified):
        return Cause(
            event_id=event.event_id,
            what=f"{said.module}: {said.slo} is broken",
            kind=said.kind,
            cause=said.cause_found,
            evidence=said.evidence,
            **said.model_dump(
                include={"subject_kind", "subject", "version", "earlier_version", "contribution", "low", "high"}
            ),
        )
    assert isinstance(said, DriftDetected)
    loss = said.estimated_performance_loss
    known = "performance loss unknown" if loss is None else f"estimated performance loss {loss:.3g}"
    p_value = "" if said.p_value_adjusted is None else f", adjusted p {said.p_value_adjusted:.2g}"
    return Cause(
        event_id=event.event_id,
        what=f"{said.dataset}: column {said.column} drifted",
        kind="drift",
        cause=f"drift of {said.dataset}.{said.column}",
        subject_kind="dataset",
        subject=said.dataset,
        evidence=f"{said.test} {said.statistic:.4g}{p_value} as of {said.as_of}; {known}.",
    )


def decision_note(
    proposal: Proposal,
    cause: Event,
    engine: PolicyEngine,
    shared: AgentHistory,
    versions: Mapping[str, int | None],
    now: datetime,
    cited: Citation | None = None,
) -> LedgerNote:
    """Judge a proposal; the verdict with all it rests on, for the ledger, before anything is done about it.

    `cited` : what memory knew of like contexts; None where memory was not asked
    """
    # Each response is a run of its own: sequence rules see the calls of one run only.
    history = RunHistory(run_id=proposal.action_id, agents=shared)
    call = engine.call(proposal.agent, proposal.action, proposal.arguments, now, None)
    if isinstance(call, str):
        verdict = engine.refuse(call)
    else:
        verdict = engine.judge(call, history)
        history.record(call, verdict, engine.period(call, history.run_id))
    body = {
        "action_id": proposal.action_id,
        "event_id": proposal.event_id,
        "agent_id": proposal.agent.agent_id,
        "proposed_at": now.isoformat(timespec="microseconds"),
        "action": proposal.action,
        "arguments": json.dumps(proposal.arguments, sort_keys=True, default=str),
        "context": proposal.context,
        "decision": verdict.decision,
        "policy": verdict.policy,
        "reason": verdict.reason,
        "policy_version": verdict.policy_version,
        "predicted_effect": proposal.predicted_effect,
        "predicted_low": proposal.predicted_low,
        "predicted_high": proposal.predicted_high,
        "trigger": cause.type,
    } | accountable(
        inputs=[Input(table=name, version=version) for name, version in sorted(versions.items())],
        reasoning=proposal.reasoning,
        alternatives=[Alternative(action=action, reason=reason) for action, reason in proposal.alternatives],
        evidence=cause.payload.model_dump(mode="json") | (cited.as_evidence() if cited else {}),
        confidence=proposal.confidence,
        correlation_id=cause.correlation_id,
    )
    return LedgerNote(DECISION, proposal.agent.agent_id, body, f"{proposal.action_id}:decision")


def order_of(client: str, row: Mapping[str, Any]) -> Order:
    """The order that a decided action stands for."""
    return Order(
        client=client,
        action_id=row["action_id"],
        agent_id=row["agent_id"],
        action=row["action"],
        arguments=json.loads(row["arguments"]),
        ordered_at=row["proposed_at"],
    )


def carried_out(order: Order, row: Mapping[str, Any], means: Means, now: datetime) -> LedgerNote:
    """Carry out an order; what came of it, for the ledger."""
    try:
        outcome = execute(order, means)
    except ActionFailed as error:
        return action_note(row, "failed", str(error), key=f"failed:{now.isoformat()}")
    return action_note(row, "executed", outcome, key="executed")


def action_note(row: Mapping[str, Any], status: str, outcome: str, *, key: str) -> LedgerNote:
    body = {"action_id": row["action_id"], "action": row["action"], "status": status, "outcome": outcome}
    return LedgerNote(ACTION, row["agent_id"], body, f"{row['action_id']}:{key}")
