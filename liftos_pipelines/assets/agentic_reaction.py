"""The reaction to what was found: propose, judge, execute or ask, and write each step down before the next.

Impacts, root causes, drifts and findings about versions become proposals; a person's answer to a request executes or
closes one. The `agentic/proposals` table is a projection of the ledger: what was decided and done stands there, so that
a run killed half-way, or a lost table, is made good by the next run, and nothing is done twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.assets.agentic_findings import finding_of, rollout_of
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_notes import action_note, carried_out, cause_of, decision_note, order_of
from liftos_pipelines.assets.agentic_precedents import Precedents
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.proposals import Impact, Proposal, Situation, propose
from liftos_pipelines.modules.agentic.remedies import remedy
from liftos_pipelines.modules.agentic.version_changes import change_stage, change_version
from liftos_pipelines.resources.actions import Means
from liftos_pipelines.spine.database import Approval, Event, LedgerMoved, LedgerNote, Spine
from liftos_pipelines.spine.ledger import canonical, digest
from liftos_pipelines.spine.outbox import Tells
from liftos_pipelines.spine.payloads import (
    AgentActionInitiated,
    AgentRolloutDecided,
    ApprovalDenied,
    ApprovalGiven,
    CausalImpactIdentified,
    DriftDetected,
    LlmExperimentDecided,
    LlmRegressionDetected,
    RemediationOrdered,
    RootCauseIdentified,
)
from liftos_pipelines.spine.tracing import event_attributes, span
from liftos_pipelines.tables import table

REACTION, DRIFT_REACTION = "agentic/proposals", "agentic/drift"
FOUND = (
    CausalImpactIdentified.type,
    RootCauseIdentified.type,
    LlmExperimentDecided.type,
    LlmRegressionDetected.type,
    AgentRolloutDecided.type,
)
ANSWERS = (ApprovalGiven.type, ApprovalDenied.type)
OWN_DRIFT = "causal/mmm_posterior"
"""A drift that has a reaction of its own: the marketing-mix model asks for its refit itself."""
ORDERED = ("refit_model", "reingest_source")
"""Actions that are carried out by a run of the platform, asked for by an event."""
BATCH = 200
"""Events whose decisions are chained together: a burst pays one transaction a batch, a crash repeats at most one."""
MOST = 100_000
JUDGED_AGAIN = 20
"""Times that a batch is judged anew because the ledger moved meanwhile, before the run gives up."""
log = logging.getLogger(__name__)
EXTRA = {"trigger": pl.String(), "confidence": pl.Float64(), "reasoning": pl.String()}


_Answer = tuple[Event, str, list[str]]
"""An event, the reaction that answers it, and the ids of the actions that answer it."""


@dataclass
class _Answers:
    """Of a batch of events: those that have an answer, and those that have none, with why."""

    found: list[_Answer] = field(default_factory=list)
    failed: list[tuple[Event, str, str]] = field(default_factory=list)
    calls: AgentHistory = field(default_factory=AgentHistory)
    """What the agents' calls come to with these."""


@dataclass(frozen=True, kw_only=True)
class Responder:
    """Everything a run needs to answer events of one client.

    `versions` : of the tables that decisions rest on, for the ledger; `refittable` : models a refit can change;
    `precedents` : cites memory, None where it is not asked
    """

    client: str
    spine: Spine
    told: Tells
    policy: Policy
    situation: Callable[[], Situation]
    """Read only when there is something to answer."""
    folder: Path
    versions: Callable[[], Mapping[str, int | None]]
    refittable: Collection[str]
    now: datetime
    precedents: Precedents | None = None
    means: Means | None = None
    """What actions are carried out with; None: the folder's files, the webhook, and nothing that could be moved."""
    run_id: str | None = None
    unanswered: list[str] = field(default_factory=list)
    """Events that could not be answered, each with why: their attempt is counted, the others go on."""

    def answer(self) -> pl.DataFrame:
        """Answer every unanswered event, follow up on open approvals and failures; the whole table of proposals."""
        state = state_of(self.spine, self.client)
        asked = self.spine.unhandled(REACTION, (*FOUND, *ANSWERS), limit=MOST, client=self.client)
        drifts = self.spine.unhandled(DRIFT_REACTION, (DriftDetected.type,), limit=MOST, client=self.client)
        pending = [(event, REACTION) for event in asked if event.type in FOUND]
        for event in drifts:
            if getattr(event.payload, "dataset", "") == OWN_DRIFT:
                self.told.mark_handled(event.event_id, DRIFT_REACTION)
            else:
                pending.append((event, DRIFT_REACTION))
        earlier = list(state.open)
        if pending:
            versions, situation, calls = self.versions(), self.situation(), AgentHistory()
            for start in range(0, len(pending), BATCH):
                self._answer(pending[start : start + BATCH], situation, versions, calls, state)
        # Actions of earlier runs that wait for an approval, or failed, get another look.
        if earlier:
            state_of(self.spine, self.client, state)
        self._carry_out(state, [key for key in earlier if key in state.open])
        for event in asked:
            if event.type in ANSWERS:
                self.told.mark_handled(event.event_id, REACTION)
        self._order_runs(state)
        return proposals_table(state)

    def _answer(
        self,
        events: Sequence[tuple[Event, str]],
        situation: Situation,
        versions: Mapping[str, int | None],
        calls: AgentHistory,
        state: LedgerState,
    ) -> None:
        """Decide on a batch of events in one transaction, then act, then tell."""
        answers = self._decide(events, situation, versions, calls, state)
        self._carry_out(state, [key for _, _, keys in answers for key in keys if key in state.open])
        for event, reaction, keys in answers:
            for key in keys:
                self._announce(state.decided[key], state.status_of(key), event)
            self.told.mark_handled(event.event_id, reaction)

    def _decide(
        self,
        events: Sequence[tuple[Event, str]],
        situation: Situation,
        versions: Mapping[str, int | None],
        calls: AgentHistory,
        state: LedgerState,
    ) -> list[_Answer]:
        """Decisions on a batch, written down; judged anew where the ledger moved meanwhile, so that a stop holds from
        the entry in which it stands, for every decision behind it."""
        for _ in range(JUDGED_AGAIN):
            answers, notes = self._judge(events, situation, versions, calls, state)
            try:
                self._write(state, notes, read_until=state.position)
            except LedgerMoved as moved:
                log.info("%s", moved)
                state_of(self.spine, self.client, state)
                continue
            calls.times = answers.calls.times
            for event, reaction, reason in answers.failed:
                self._note_failure(event, reaction, reason)
            return answers.found
        raise LedgerMoved(f"ledger of {self.client}: it moved {JUDGED_AGAIN} times while it was judged; run again")

    def _judge(
        self,
        events: Sequence[tuple[Event, str]],
        situation: Situation,
        versions: Mapping[str, int | None],
        calls: AgentHistory,
        state: LedgerState,
    ) -> tuple[_Answers, list[LedgerNote]]:
        """What to answer to each event of a batch, and what is new of it for the ledger; touches nothing."""
        moment = state.moment(self.now)
        situation = replace(situation, stopped=state.stopped(moment))
        engine = PolicyEngine(self.policy, state.stops_of())
        answers, notes = _Answers(), list[LedgerNote]()
        answers.calls.reserved.update(state.reserved)
        answers.calls.times.update({agent: list(times) for agent, times in calls.times.items()})
        for event, reaction in events:
            about = event_attributes(self.client, event.type, event.event_id, event.correlation_id)
            try:
                with span("decision", correlation_id=event.correlation_id, attributes=about):
                    proposed = self._propose(event, situation)
                    fresh = [
                        self._decision_note(proposal, event, engine, answers.calls, versions, moment)
                        for proposal in proposed
                        if proposal.action_id not in state.decided
                    ]
            except Exception as error:  # one event that cannot be answered must not hold up the others
                answers.failed.append((event, reaction, f"{type(error).__name__}: {error}"))
                continue
            answers.found.append((event, reaction, [proposal.action_id for proposal in proposed]))
            notes += fresh
        return answers, notes

    def _decision_note(
        self,
        proposal: Proposal,
        event: Event,
        engine: PolicyEngine,
        calls: AgentHistory,
        versions: Mapping[str, int | None],
        moment: datetime,
    ) -> LedgerNote:
        cited = self.precedents.of(proposal.context) if self.precedents else None
        return decision_note(proposal, event, engine, calls, versions, moment, cited)

    def _note_failure(self, event: Event, reaction: str, reason: str) -> None:
        said = f"{event.type} {event.event_id[:12]}: {reason}"
        log.warning("%s cannot answer %s", reaction, said)
        self.unanswered.append(said)
        self.spine.note_failure(
            [event.event_id], reaction, reason[:2000], now=self.now, run_id=self.run_id, in_passing=True
        )

    def _propose(self, event: Event, situation: Situation) -> list[Proposal]:
        payload = event.payload
        if isinstance(payload, CausalImpactIdentified):
            # What a later version says besides is not ours to judge by.
            fields = payload.model_dump(include=set(CausalImpactIdentified.model_fields) - {"trigger_event_id"})
            return propose(Impact(event_id=event.event_id, **fields), situation)
        if isinstance(payload, (LlmExperimentDecided, LlmRegressionDetected)):
            return [change_version(finding_of(event.event_id, payload), situation)]
        if isinstance(payload, AgentRolloutDecided):
            return [change_stage(rollout_of(event.event_id, payload), situation)]
        return [remedy(cause_of(event), situation, self.refittable)]

    def _carry_out(self, state: LedgerState, keys: Sequence[str]) -> None:
        """Do what decisions allow, each once."""
        if not keys:
            return
        stopped = state.stopped(state.moment(self.now))
        # A stopped agent acts no more: what it was allowed before waits until it may go on.
        keys = [key for key in keys if state.decided[key]["agent_id"] not in stopped]
        waiting = [key for key in keys if state.decided[key]["decision"] == "needs_approval"]
        asked = {found.approval_id: found for found in self.spine.approvals(self.client)} if waiting else {}
        notes, means = [], self.means or Means.of(self.folder)
        for key in keys:
            row = state.decided[key]
            note: LedgerNote | None
            verdict = self._consent(row, asked) if row["decision"] == "needs_approval" else "go"
            if verdict == "wait":
                continue
            if verdict != "go":
                note = action_note(row, "denied", verdict, key="closed")
            else:
                about = {"gen_ai.agent.id": row["agent_id"], "liftos.action_id": row["action_id"]}
                with span(f"action {row['action']}", correlation_id=row.get("correlation_id"), attributes=about):
                    note = carried_out(order_of(self.client, row), row, means, self.now)
            notes.append(note)
        means.outbox.sync()
        self._write(state, notes)

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

    def _write(self, state: LedgerState, notes: Sequence[LedgerNote], read_until: int | None = None) -> None:
        if notes:
            self.spine.append_ledger_many(self.client, notes, read_until=read_until)
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

    def _order_runs(self, state: LedgerState) -> None:
        """Ask for the runs that carry remedies out: for every one that the ledger calls executed and nobody asked for,
        also when a run was killed between the two."""
        done = {
            key: row
            for key, row in state.decided.items()
            if row["action"] in ORDERED and state.status_of(key) == "executed"
        }
        if done:
            for event in self.spine.events(self.client, [RemediationOrdered.type]):
                done.pop(getattr(event.payload, "action_id", ""), None)
        for row in done.values():
            self._order(row)

    def _order(self, row: Mapping[str, Any]) -> None:
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


def proposals_table(state: LedgerState) -> pl.DataFrame:
    """All that was ever proposed, with where it stands."""
    contract = table(REACTION)
    schema = contract.columns | EXTRA
    said = {name: [row.get(name) for row in state.decided.values()] for name in schema}
    said["status"] = [state.status_of(key) for key in state.decided]
    return contract.conform(pl.DataFrame(said, schema=schema))
