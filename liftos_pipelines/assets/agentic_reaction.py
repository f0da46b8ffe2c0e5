"""The reaction to what was found: propose, judge, execute or ask, and write each step down before the next.

Impacts, root causes and drifts become proposals; a person's answer to a request executes or closes one. The
`agentic/proposals` table is a projection of the ledger: what was decided and done stands there, so that a run killed
half-way, or a lost table, is made good by the next run, and nothing is done twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory
from liftos_pipelines.modules.agentic.ledger_state import ACTION, DECISION, LedgerState
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.proposals import Impact, Proposal, Situation, propose
from liftos_pipelines.modules.agentic.remedies import Cause, remedy
from liftos_pipelines.resources.action_handlers import ActionFailed, Order, Outbox, execute, webhook_address
from liftos_pipelines.spine.database import Approval, Event, LedgerNote, Spine
from liftos_pipelines.spine.decisions import Alternative, Input, accountable
from liftos_pipelines.spine.ledger import canonical, digest
from liftos_pipelines.spine.outbox import Tells
from liftos_pipelines.spine.payloads import (
    AgentActionInitiated,
    ApprovalDenied,
    ApprovalGiven,
    CausalImpactIdentified,
    DriftDetected,
    RemediationOrdered,
    RootCauseIdentified,
)
from liftos_pipelines.spine.tracing import event_attributes, span
from liftos_pipelines.tables import table

REACTION, DRIFT_REACTION = "agentic/proposals", "agentic/drift"
FOUND = (CausalImpactIdentified.type, RootCauseIdentified.type)
ANSWERS = (ApprovalGiven.type, ApprovalDenied.type)
OWN_DRIFT = "causal/mmm_posterior"
"""A drift that has a reaction of its own: the marketing-mix model asks for its refit itself."""
ORDERED = ("refit_model", "reingest_source")
"""Actions that are carried out by a run of the platform, asked for by an event."""
BATCH = 200
"""Events whose decisions are chained together: a burst pays one transaction a batch, a crash repeats at most one."""
MOST = 100_000
EXTRA = {"trigger": pl.String(), "confidence": pl.Float64(), "reasoning": pl.String()}


@dataclass(frozen=True, kw_only=True)
class Responder:
    """Everything a run needs to answer events of one client.

    `versions` : of the tables that decisions rest on, for the ledger; `refittable` : models a refit can change
    """

    client: str
    spine: Spine
    told: Tells
    policy: Policy
    situation: Callable[[Mapping[str, str]], Situation]
    """From the stopped agents; read only when there is something to answer."""
    folder: Path
    versions: Callable[[], Mapping[str, int | None]]
    refittable: Collection[str]
    now: datetime

    def answer(self) -> pl.DataFrame:
        """Answer every unanswered event, follow up on open approvals and failures; the whole table of proposals."""
        state = state_of(self.spine, self.client)
        asked = self.spine.unhandled(REACTION, (*FOUND, *ANSWERS), limit=MOST, client=self.client)
        drifts = self.spine.unhandled(DRIFT_REACTION, (DriftDetected.type,), limit=MOST, client=self.client)
        pending = [(event, REACTION) for event in asked if event.type in FOUND]
        pending += [(event, DRIFT_REACTION) for event in drifts if getattr(event.payload, "dataset", "") != OWN_DRIFT]
        earlier = list(state.open)
        if pending:
            stopped = state.stopped(self.now)
            situation, versions = self.situation(stopped), self.versions()
            engine, shared = PolicyEngine(self.policy, state.stops_of()), AgentHistory()
            shared.reserved.update(state.reserved)
            for start in range(0, len(pending), BATCH):
                self._answer(pending[start : start + BATCH], situation, versions, engine, shared, state)
        # Actions of earlier runs that wait for an approval, or failed, get another look.
        self._carry_out(state, [key for key in earlier if key in state.open])
        for event in asked:
            if event.type in ANSWERS:
                self.told.mark_handled(event.event_id, REACTION)
        return proposals_table(state)

    def _answer(
        self,
        events: Sequence[tuple[Event, str]],
        situation: Situation,
        versions: Mapping[str, int | None],
        engine: PolicyEngine,
        shared: AgentHistory,
        state: LedgerState,
    ) -> None:
        """Decide on a batch of events in one transaction, then act, then tell."""
        answers: list[tuple[Event, str, list[str]]] = []
        notes = []
        for event, reaction in events:
            about = event_attributes(self.client, event.type, event.event_id, event.correlation_id)
            with span("decision", correlation_id=event.correlation_id, attributes=about):
                proposed = self._propose(event, situation)
                answers.append((event, reaction, [proposal.action_id for proposal in proposed]))
                notes += [
                    _decide(proposal, event, engine, shared, versions, self.now)
                    for proposal in proposed
                    if proposal.action_id not in state.decided
                ]
        self._write(state, notes)
        self._carry_out(state, [key for _, _, keys in answers for key in keys if key in state.open])
        for event, reaction, keys in answers:
            for key in keys:
                self._announce(state.decided[key], state.status_of(key), event)
            self.told.mark_handled(event.event_id, reaction)

    def _propose(self, event: Event, situation: Situation) -> list[Proposal]:
        payload = event.payload
        if isinstance(payload, CausalImpactIdentified):
            # What a later version says besides is not ours to judge by.
            fields = payload.model_dump(include=set(CausalImpactIdentified.model_fields) - {"trigger_event_id"})
            return propose(Impact(event_id=event.event_id, **fields), situation)
        return [remedy(cause_of(event), situation, self.refittable)]

    def _carry_out(self, state: LedgerState, keys: Sequence[str]) -> None:
        """Do what decisions allow, each once."""
        if not keys:
            return
        waiting = [key for key in keys if state.decided[key]["decision"] == "needs_approval"]
        asked = {found.approval_id: found for found in self.spine.approvals(self.client)} if waiting else {}
        notes, webhook, outbox = [], webhook_address(), Outbox(self.folder)
        for key in keys:
            row = state.decided[key]
            note: LedgerNote | None
            verdict = self._consent(row, asked) if row["decision"] == "needs_approval" else "go"
            if verdict == "wait":
                continue
            if verdict != "go":
                note = _note(row, "denied", verdict, key="closed")
            else:
                about = {"gen_ai.agent.id": row["agent_id"], "liftos.action_id": row["action_id"]}
                with span(f"action {row['action']}", correlation_id=row.get("correlation_id"), attributes=about):
                    note = _executed(self.client, row, self.folder, webhook, outbox, self.now)
            notes.append(note)
        self._write(state, notes)
        for note in notes:
            row = state.decided[note.body["action_id"]]
            if note.body["status"] == "executed" and row["action"] in ORDERED:
                self._order(row)

    def _consent(self, row: Mapping[str, Any], asked: Mapping[str, Approval]) -> str:
        """`go`, `wait`, or why the action is closed. Consent is to exactly these arguments under this policy."""
        arguments = json.loads(row["arguments"])
        sealed = (self.client, row["action_id"], row["agent_id"], row["action"], canonical(arguments))
        approval = asked.get(digest(*sealed, row["policy_version"])[:32])
        if approval is None:
            approval = self.spine.request_approval(
                self.client,
                action_id=row["action_id"],
                agent_id=row["agent_id"],
                action=row["action"],
                arguments=arguments,
                policy_version=row["policy_version"],
                requested_at=row["proposed_at"],
            )
        if approval.status == "given":
            return "go"
        if approval.status == "open" and approval.expires_at >= self.now:
            return "wait"
        return "approval denied" if approval.status == "denied" else "approval expired"

    def _write(self, state: LedgerState, notes: Sequence[LedgerNote]) -> None:
        if notes:
            self.spine.append_ledger_many(self.client, notes)
            state_of(self.spine, self.client, state)

    def _announce(self, row: Mapping[str, Any], status: str, cause: Event) -> None:
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
        self.told.raise_event(
            self.client,
            payload,
            occurred_at=self.now,
            causation_id=cause.event_id,
            correlation_id=cause.correlation_id,
        )

    def _order(self, row: Mapping[str, Any]) -> None:
        """Ask for the run that carries a remedy out; the same action asks once."""
        cause = self.spine.event(row["event_id"])
        self.told.raise_event(
            self.client,
            RemediationOrdered(
                action_id=row["action_id"], action=row["action"], dataset=json.loads(row["arguments"])["dataset"]
            ),
            occurred_at=self.now,
            causation_id=row["event_id"],
            correlation_id=cause.correlation_id if cause else None,
        )


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


def proposals_table(state: LedgerState) -> pl.DataFrame:
    """All that was ever proposed, with where it stands."""
    contract = table(REACTION)
    schema = contract.columns | EXTRA
    rows = [
        {name: row.get(name) for name in schema} | {"status": state.status_of(key)}
        for key, row in state.decided.items()
    ]
    return contract.conform(pl.DataFrame(rows, schema=schema))


def _decide(
    proposal: Proposal,
    cause: Event,
    engine: PolicyEngine,
    shared: AgentHistory,
    versions: Mapping[str, int | None],
    now: datetime,
) -> LedgerNote:
    """Judge a proposal; the verdict with all it rests on, for the ledger, before anything is done about it."""
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
        evidence=cause.payload.model_dump(mode="json"),
        confidence=proposal.confidence,
        correlation_id=cause.correlation_id,
    )
    return LedgerNote(DECISION, proposal.agent.agent_id, body, f"{proposal.action_id}:decision")


def _executed(
    client: str, row: Mapping[str, Any], folder: Path, webhook: str | None, outbox: Outbox, now: datetime
) -> LedgerNote:
    order = Order(
        client=client,
        action_id=row["action_id"],
        agent_id=row["agent_id"],
        action=row["action"],
        arguments=json.loads(row["arguments"]),
        ordered_at=row["proposed_at"],
    )
    try:
        outcome = execute(order, folder, webhook, outbox)
    except ActionFailed as error:
        return _note(row, "failed", str(error), key=f"failed:{now.isoformat()}")
    return _note(row, "executed", outcome, key="executed")


def _note(row: Mapping[str, Any], status: str, outcome: str, *, key: str) -> LedgerNote:
    body = {"action_id": row["action_id"], "action": row["action"], "status": status, "outcome": outcome}
    return LedgerNote(ACTION, row["agent_id"], body, f"{row['action_id']}:{key}")
