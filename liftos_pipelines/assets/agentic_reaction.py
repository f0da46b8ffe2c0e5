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
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from liftos_pipelines.assets.agentic_acting import Actor, own_action
from liftos_pipelines.assets.agentic_findings import finding_of, rollout_of
from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_notes import cause_of, decision_notes
from liftos_pipelines.assets.agentic_precedents import Citation, Precedents
from liftos_pipelines.authority.own_actions import OwnAction, OwnActions
from liftos_pipelines.modules.agentic.conditions import Call
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, Verdict
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.modules.agentic.proposals import Impact, Proposal, Situation, propose
from liftos_pipelines.modules.agentic.remedies import remedy
from liftos_pipelines.modules.agentic.version_changes import change_stage, change_version
from liftos_pipelines.resources.actions import Means
from liftos_pipelines.resources.table_locks import table_lock
from liftos_pipelines.spine.budgets import MICRO, Refusal
from liftos_pipelines.spine.connection import retry
from liftos_pipelines.spine.database import Event, LedgerMoved, LedgerNote, Spine
from liftos_pipelines.spine.outbox import Tells
from liftos_pipelines.spine.payloads import (
    AgentActionInitiated,
    AgentRolloutDecided,
    ApprovalDenied,
    ApprovalGiven,
    BudgetExhausted,
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
ANSWERING = "agentic/answering"
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
class _Draft:
    """A proposal with what the policy says of it, before anything is taken or written."""

    proposal: Proposal
    event: Event
    own: OwnAction
    judged: tuple[Call | None, Verdict]
    cited: Citation | None
    moment: datetime


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
    _read: list[Situation] = field(default_factory=list)

    def answer(self) -> pl.DataFrame:
        """Answer every unanswered event, follow up on open approvals and failures; the whole table of proposals.

        Two processes that answer for one client take turns.
        """
        with table_lock(self.client, ANSWERING):
            return self._answer_all()

    def _answer_all(self) -> pl.DataFrame:
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
            versions, calls = self.versions(), AgentHistory()
            for start in range(0, len(pending), BATCH):
                self._answer(pending[start : start + BATCH], versions, calls, state)
        # Actions of earlier runs that wait for an approval or their turn, or failed, get another look.
        if earlier:
            state_of(self.spine, self.client, state)
        self._actor.carry_out(state, [key for key in earlier if key in state.open])
        for event in asked:
            if event.type in ANSWERS:
                self._answered(event, REACTION, [str(getattr(event.payload, "action_id", ""))])
        self._order_runs(state)
        return proposals_table(state)

    @cached_property
    def _authority(self) -> OwnActions:
        return OwnActions(self.client, self.spine, self.policy)

    @cached_property
    def _actor(self) -> Actor:
        return Actor(
            client=self.client,
            spine=self.spine,
            authority=self._authority,
            means=self.means or Means.of(self.folder),
            situation=self._situation,
            exhausted=self._exhausted,
        )

    def _situation(self, *, anew: bool = False) -> Situation:
        if anew or not self._read:
            self._read[:] = [self.situation()]
        return self._read[0]

    def _answer(
        self,
        events: Sequence[tuple[Event, str]],
        versions: Mapping[str, int | None],
        calls: AgentHistory,
        state: LedgerState,
    ) -> None:
        """Decide on a batch of events in one transaction, then act, then tell."""
        answers = self._decide(events, versions, calls, state)
        self._actor.carry_out(state, [key for _, _, keys in answers for key in keys if key in state.open])
        for event, reaction, keys in answers:
            for key in keys:
                self._announce(state.decided[key], state.status_of(key), event)
            self._answered(event, reaction, keys)

    def _answered(self, event: Event, reaction: str, keys: Sequence[str]) -> None:
        """An event is answered once none of its actions waits for another one's end: until then it comes again."""
        turns = [self._actor.waiting[key] for key in keys if key in self._actor.waiting]
        if turns:
            self._note_failure(event, reaction, f"waits for its turn: {turns[0]}")
        else:
            self.told.mark_handled(event.event_id, reaction)

    def _decide(
        self,
        events: Sequence[tuple[Event, str]],
        versions: Mapping[str, int | None],
        calls: AgentHistory,
        state: LedgerState,
    ) -> list[_Answer]:
        """Decisions on a batch, written down; judged anew where a stop, a move or another decision came meanwhile, so
        that a stop holds from the entry in which it stands, for every decision behind it."""
        for trial in range(JUDGED_AGAIN):
            answers, drafts, engine = self._judge(events, self._situation(anew=trial > 0), calls, state)
            try:
                refusals = self._write(state, drafts, engine, versions)
            except LedgerMoved as moved:
                log.info("%s", moved)
                state_of(self.spine, self.client, state)
                continue
            calls.times = answers.calls.times
            for agent_id, refusal in refusals:
                self._exhausted(agent_id, refusal)
            for event, reaction, reason in answers.failed:
                self._note_failure(event, reaction, reason)
            return answers.found
        raise LedgerMoved(f"ledger of {self.client}: it moved {JUDGED_AGAIN} times while it was judged; run again")

    def _judge(
        self,
        events: Sequence[tuple[Event, str]],
        situation: Situation,
        calls: AgentHistory,
        state: LedgerState,
    ) -> tuple[_Answers, list[_Draft], PolicyEngine]:
        """What to answer to each event of a batch, and what is new of it; touches nothing."""
        moment = state.moment(self.now)
        situation = replace(situation, stopped=state.stopped(moment))
        engine = PolicyEngine(self.policy, state.stops_of())
        answers, drafts = _Answers(), list[_Draft]()
        answers.calls.times.update({agent: list(times) for agent, times in calls.times.items()})
        for event, reaction in events:
            about = event_attributes(self.client, event.type, event.event_id, event.correlation_id)
            try:
                with span("decision", correlation_id=event.correlation_id, attributes=about):
                    proposed = self._propose(event, situation)
                    fresh = [
                        self._draft(proposal, event, situation, engine, answers.calls, moment)
                        for proposal in proposed
                        if proposal.action_id not in state.decided
                    ]
            except Exception as error:  # one event that cannot be answered must not hold up the others
                answers.failed.append((event, reaction, f"{type(error).__name__}: {error}"))
                continue
            answers.found.append((event, reaction, [proposal.action_id for proposal in proposed]))
            drafts += fresh
        return answers, drafts, engine

    def _draft(
        self,
        proposal: Proposal,
        event: Event,
        situation: Situation,
        engine: PolicyEngine,
        calls: AgentHistory,
        moment: datetime,
    ) -> _Draft:
        own = own_action(
            proposal.action_id, proposal.agent, proposal.action, proposal.arguments, event.correlation_id, situation
        )
        judged = self._authority.judge(own, engine, calls, moment)
        cited = self.precedents.of(proposal.context) if self.precedents else None
        return _Draft(proposal=proposal, event=event, own=own, judged=judged, cited=cited, moment=moment)

    def _write(
        self,
        state: LedgerState,
        drafts: Sequence[_Draft],
        engine: PolicyEngine,
        versions: Mapping[str, int | None],
    ) -> list[tuple[str, Refusal]]:
        """Take what the drafts' actions need, and write the decisions down, in one transaction."""
        if not drafts:
            return []

        def attempt() -> list[tuple[str, Refusal]]:
            notes, refusals = list[LedgerNote](), list[tuple[str, Refusal]]()
            with self.spine.session_writing(f"gate:{self.client}") as session:
                self._authority.lock(session, state.position)
                for draft in drafts:
                    held = self._authority.hold(session, draft.own, draft.judged, engine, draft.moment)
                    notes += decision_notes(draft.proposal, draft.event, held, versions, draft.moment, draft.cited)
                    if held.refusal is not None:
                        refusals.append((draft.own.agent_id, held.refusal))
                self.spine.append_within(session, self.client, notes)
            return refusals

        refusals = retry(attempt)
        state_of(self.spine, self.client, state)
        return refusals

    def _exhausted(self, agent_id: str, refusal: Refusal) -> None:
        """Tell of a spent budget, as the gate does; once for its period."""
        limit, spent = refusal.limit / MICRO, (refusal.committed + refusal.amount) / MICRO
        said = BudgetExhausted(agent_id=agent_id, limit=limit, spent=spent, at=refusal.exhausted_at)
        self.told.raise_event(self.client, said, occurred_at=self.now)

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
