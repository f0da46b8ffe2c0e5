"""The reaction to identified impacts: propose, judge, execute or ask, and write each step down before the next.

The `agentic/proposals` table is a projection of the ledger: what was decided and done stands there, so that a run
killed half-way, or a lost table, is made good by the next run, and nothing is done twice.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.proposals import Impact, Proposal, propose
from liftos_pipelines.resources.action_handlers import ActionFailed, Order, execute, webhook_address
from liftos_pipelines.spine.database import Event, Spine
from liftos_pipelines.spine.payloads import AgentActionInitiated, ApprovalDenied, ApprovalGiven, CausalImpactIdentified
from liftos_pipelines.tables import table

REACTION = "agentic/proposals"
DECISION, ACTION = "agent_decision", "agent_action"
ANSWERS = (ApprovalGiven.type, ApprovalDenied.type)


def answer_impacts(
    client: ClientConfig,
    *,
    spine: Spine,
    policy: Policy,
    agents: pl.DataFrame,
    campaigns: pl.DataFrame,
    plan: pl.DataFrame,
    folder: Path,
    now: datetime,
) -> pl.DataFrame:
    """Answer every unanswered impact, follow up on open approvals and failures; the whole table of proposals."""
    name = client.client
    recorded, done = _history(spine, name)
    answered: dict[str, str] = {}
    engine, shared = PolicyEngine(policy), AgentHistory()
    _count_reserved(recorded, engine, shared)
    for event in spine.events(name, [CausalImpactIdentified.type]):
        if spine.is_handled(event.event_id, REACTION):
            continue
        impact = _impact(event)
        responses = propose(impact, agents=agents, campaigns=campaigns, plan=plan, currency=client.currency)
        for proposal in responses:
            row = recorded.get(proposal.action_id)
            if row is None:
                row = _decide(spine, name, proposal, engine, shared, now)
                recorded[proposal.action_id] = row
            answered[proposal.action_id] = _carry_out(spine, name, row, done, folder, now)
            _announce(spine, name, row, answered[proposal.action_id], event, now)
        spine.mark_handled(event.event_id, REACTION)
    # Actions of earlier runs that wait for an approval, or failed, get another look.
    for key, row in recorded.items():
        if key not in answered:
            answered[key] = _carry_out(spine, name, row, done, folder, now)
    rows = [row | {"status": answered[key]} for key, row in recorded.items()]
    for event in spine.events(name, ANSWERS):
        spine.mark_handled(event.event_id, REACTION)
    contract = table(REACTION)
    return contract.conform(pl.DataFrame(rows, schema_overrides=contract.columns) if rows else contract.empty())


def _impact(event: Event) -> Impact:
    payload = event.payload
    assert isinstance(payload, CausalImpactIdentified)
    fields = payload.model_dump(exclude={"trigger_event_id"})
    return Impact(event_id=event.event_id, **fields)


def _decide(
    spine: Spine, client: str, proposal: Proposal, engine: PolicyEngine, shared: AgentHistory, now: datetime
) -> dict[str, Any]:
    """Judge a proposal and put the verdict in the ledger before anything is done about it."""
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
    }
    spine.append_ledger(
        client, DECISION, proposal.agent.agent_id, body, idempotency_key=f"{proposal.action_id}:decision"
    )
    return _row(body)


def _carry_out(
    spine: Spine, client: str, row: dict[str, Any], done: dict[str, str], folder: Path, now: datetime
) -> str:
    """Do what the decision allows, once; the status it ends in. `done` holds what was done so far, and is kept."""
    before = done.get(row["action_id"])
    if before is not None and before != "failed":
        return before
    if row["decision"] == "deny":
        return "denied"
    arguments = json.loads(row["arguments"])
    if row["decision"] == "needs_approval":
        # Asked again for exactly the same, the spine returns the request that is there, with its answer.
        approval = spine.request_approval(
            client,
            action_id=row["action_id"],
            agent_id=row["agent_id"],
            action=row["action"],
            arguments=arguments,
            policy_version=row["policy_version"],
            requested_at=row["proposed_at"],
        )
        if approval.status == "open" and approval.expires_at >= now:
            return "awaiting_approval"
        if approval.status != "given":
            why = "approval denied" if approval.status == "denied" else "approval expired"
            _write(spine, client, row, done, "denied", why, key="closed")
            return "denied"
    order = Order(
        client=client,
        action_id=row["action_id"],
        agent_id=row["agent_id"],
        action=row["action"],
        arguments=arguments,
        ordered_at=row["proposed_at"],
    )
    try:
        outcome = execute(order, folder, webhook_address())
    except ActionFailed as error:
        _write(spine, client, row, done, "failed", str(error), key=f"failed:{now.isoformat()}")
        return "failed"
    _write(spine, client, row, done, "executed", outcome, key="executed")
    return "executed"


def _write(
    spine: Spine, client: str, row: dict[str, Any], done: dict[str, str], status: str, outcome: str, *, key: str
) -> None:
    body = {"action_id": row["action_id"], "action": row["action"], "status": status, "outcome": outcome}
    spine.append_ledger(client, ACTION, row["agent_id"], body, idempotency_key=f"{row['action_id']}:{key}")
    done[row["action_id"]] = status


def _announce(spine: Spine, client: str, row: dict[str, Any], status: str, cause: Event, now: datetime) -> None:
    payload = AgentActionInitiated(
        action_id=row["action_id"],
        agent_id=row["agent_id"],
        action=row["action"],
        arguments=json.loads(row["arguments"]),
        context=row["context"],
        decision=row["decision"],
        status=status,
        predicted_effect=row["predicted_effect"],
        predicted_low=row["predicted_low"],
        predicted_high=row["predicted_high"],
    )
    spine.raise_event(
        client, payload, occurred_at=now, causation_id=cause.event_id, correlation_id=cause.correlation_id
    )


def _history(spine: Spine, client: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What the ledger holds: decided proposals, and the last status of what was done about them, by action id."""
    recorded: dict[str, dict[str, Any]] = {}
    done: dict[str, str] = {}
    for entry in spine.ledger(client):
        if entry.kind == DECISION:
            recorded[entry.content["action_id"]] = _row(entry.content)
        elif entry.kind == ACTION:
            done[entry.content["action_id"]] = entry.content["status"]
    return recorded, done


def _row(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"proposed_at": datetime.fromisoformat(body["proposed_at"])}


def _count_reserved(recorded: dict[str, dict[str, Any]], engine: PolicyEngine, shared: AgentHistory) -> None:
    """Money that earlier proposals reserved counts against today's budgets too."""
    for row in recorded.values():
        amount = json.loads(row["arguments"]).get("amount", 0.0)
        if row["decision"] != "deny" and isinstance(amount, (int, float)):
            spans = {"day": f"{row['proposed_at']:%Y-%m-%d}", "month": f"{row['proposed_at']:%Y-%m}", "total": "total"}
            period = spans.get(engine.policy.budget_period, row["action_id"])
            shared.reserved[(row["agent_id"], period)] += float(amount)
