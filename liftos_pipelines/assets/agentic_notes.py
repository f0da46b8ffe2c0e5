"""What the ledger is told of a response: the decision with all it rests on, and what came of the action."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from liftos_pipelines.assets.agentic_precedents import Citation
from liftos_pipelines.authority.holding import Held
from liftos_pipelines.authority.notes import lease_note
from liftos_pipelines.modules.agentic.engine import Verdict
from liftos_pipelines.modules.agentic.ledger_state import ACTION, DECISION
from liftos_pipelines.modules.agentic.proposals import Proposal
from liftos_pipelines.modules.agentic.remedies import Cause
from liftos_pipelines.resources.actions import ActionFailed, Means, Order, execute
from liftos_pipelines.spine.database import Approval, Event, LedgerNote
from liftos_pipelines.spine.decisions import Alternative, Input, accountable
from liftos_pipelines.spine.leases import Lease
from liftos_pipelines.spine.payloads import DriftDetected, RootCauseIdentified

CONSENT_REFUSED = "approval_refused"


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


def decision_notes(
    proposal: Proposal,
    cause: Event,
    held: Held,
    versions: Mapping[str, int | None],
    now: datetime,
    cited: Citation | None = None,
) -> list[LedgerNote]:
    """The verdict with all it rests on and what it holds, for the ledger, before anything is done about it.

    `cited` : what memory knew of like contexts; None where memory was not asked
    """
    verdict, agent_id = held.verdict, proposal.agent.agent_id
    assert verdict is not None
    body = {
        "action_id": proposal.action_id,
        "event_id": proposal.event_id,
        "agent_id": agent_id,
        "proposed_at": now.isoformat(timespec="microseconds"),
        "action": proposal.action,
        "arguments": json.dumps(proposal.arguments, sort_keys=True, default=str),
        "context": proposal.context,
        "decision": "wait" if held.waits else verdict.decision,
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
    if body["decision"] == "allow":
        body |= {"reserved": dict(held.reserved), "leases": dict(held.tokens)}
    if held.approval_id is not None:
        body["approval_id"] = held.approval_id
    notes = [LedgerNote(DECISION, agent_id, body, f"{proposal.action_id}:decision")]
    if held.lease is not None and not held.lease.granted:
        notes.append(turn_note(body, held.lease))
    return notes


def judged_again_note(row: Mapping[str, Any], judged: Verdict, now: datetime) -> LedgerNote:
    """What another policy than the one it was decided under says of an action that still waits."""
    body = dict(row) | {
        "proposed_at": row["proposed_at"].isoformat(timespec="microseconds"),
        "decision": judged.decision,
        "policy": judged.policy,
        "reason": judged.reason,
        "policy_version": judged.policy_version,
        "judged_again": now.isoformat(timespec="microseconds"),
        "judged_before": {name: row[name] for name in ("decision", "policy", "policy_version")},
    }
    return LedgerNote(DECISION, row["agent_id"], body, f"{row['action_id']}:decision:{now.isoformat()}")


def turn_note(row: Mapping[str, Any], lease: Lease) -> LedgerNote:
    """That an action waits for its turn, or lost it, once for each reason."""
    said = hashlib.sha256(f"{lease.answer.outcome}|{lease.answer.other}|{lease.answer.reason}".encode()).hexdigest()
    key = f"{row['action_id']}:lease:{said[:32]}"
    return lease_note(row["action_id"], row["agent_id"], row.get("correlation_id"), lease, key)


def refused_consent_note(row: Mapping[str, Any], approval: Approval, differs: str) -> LedgerNote:
    """That consent was to something else, by name."""
    body = {
        "action_id": row["action_id"],
        "approval_id": approval.approval_id,
        "policy": "approval_for_something_else",
        "reason": differs,
    }
    return LedgerNote(CONSENT_REFUSED, row["agent_id"], body, f"approval:{approval.approval_id}:refused")


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
    """What came of an action."""
    body = {"action_id": row["action_id"], "action": row["action"], "status": status, "outcome": outcome}
    return LedgerNote(ACTION, row["agent_id"], body, f"{row['action_id']}:{key}")
