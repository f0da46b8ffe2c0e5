"""Carrying out what was decided: each action once, while nobody is in its way, with its money and consent.

Right before an action runs its agent may have been stopped, its targets taken, its consent used or its policy
changed: all of it is asked in one transaction, which takes what the action needs. What came of a batch, the money that
it cost and the targets that it leaves are written in one transaction after it. A kill in between is made good by the
next run: handlers do a thing once, promises stand until they are settled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from liftos_pipelines.assets.agentic_ledger import state_of
from liftos_pipelines.assets.agentic_notes import (
    action_note,
    carried_out,
    judged_again_note,
    order_of,
    refused_consent_note,
    turn_note,
)
from liftos_pipelines.authority.agents import RegisteredAgent
from liftos_pipelines.authority.holding import Held
from liftos_pipelines.authority.own_actions import OwnAction, OwnActions, Standing
from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.modules.agentic.proposals import Situation
from liftos_pipelines.resources.actions import Means
from liftos_pipelines.spine.budgets import Refusal
from liftos_pipelines.spine.connection import retry
from liftos_pipelines.spine.database import Approval, LedgerMoved, LedgerNote, Spine
from liftos_pipelines.spine.leases import LEASED_FOR
from liftos_pipelines.spine.tracing import span

WRITTEN_AGAIN = 20
"""Times that results are written anew because another process decided or acted meanwhile, before the run gives up."""
FRESH = LEASED_FOR / 5
"""So long after its decision an action need not ask whether it still holds what it was given."""


def own_action(
    action_id: str, facts: AgentFacts, action: str, arguments: Mapping[str, Any], incident: str | None, told: Situation
) -> OwnAction:
    """An action as the authority knows it, with its agent as registered."""
    version, owner, rank = told.registered.get(facts.agent_id, ("", None, 0))
    stages = {} if facts.stage is None else {version: facts.stage}
    agent = RegisteredAgent(facts=facts, version=version, stages=stages, owner=owner, rank=rank)
    return OwnAction(action_id=action_id, agent=agent, action=action, arguments=arguments, incident=incident)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Carries out actions of one client's ledger.

    `situation` : agents as registered; `exhausted` : is told which agent met the end of which budget
    """

    client: str
    spine: Spine
    authority: OwnActions
    means: Means
    situation: Callable[[], Situation]
    exhausted: Callable[[str, Refusal], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    waiting: dict[str, str] = field(default_factory=dict)
    """Actions that wait for another one's end, and for whose."""

    def carry_out(self, state: LedgerState, keys: Sequence[str]) -> None:
        """Do what decisions allow, each once; what waited for another one's end is looked at again after it."""
        pending = [key for key in keys if key in state.open]
        while pending:
            asked = self._asked(state, pending)
            ended: list[tuple[LedgerNote, Mapping[str, Any]]] = []
            turns: list[str] = []
            for key in pending:
                row = state.decided[key]
                found = self._standing(row, asked.get(key, ()), untried=key not in state.status)
                self.waiting.pop(key, None)
                if found.outcome == "turn":
                    turns.append(key)
                    self.waiting[key] = found.reason
                elif found.outcome == "closed":
                    ended.append((action_note(row, "denied", found.reason, key="closed"), {}))
                elif found.outcome == "go":
                    about = {"gen_ai.agent.id": row["agent_id"], "liftos.action_id": row["action_id"]}
                    with span(f"action {row['action']}", correlation_id=row.get("correlation_id"), attributes=about):
                        note = carried_out(order_of(self.client, row), row, self.means, self.clock())
                    ended.append((note, _holding(found)))
            self.means.outbox.sync()
            self._finish(state, ended)
            pending = [key for key in turns if key in state.open] if ended else []

    def _asked(self, state: LedgerState, keys: Sequence[str]) -> dict[str, list[Approval]]:
        people = [key for key in keys if state.decided[key]["decision"] == "needs_approval"]
        return self.spine.approvals_for(self.client, people) if people else {}

    def _standing(self, row: Mapping[str, Any], approvals: Sequence[Approval], *, untried: bool) -> Standing:
        """Whether an action may go on now; takes what it needs where it may."""
        own, now = self._own(row), self.clock()
        if own is None:
            return Standing(outcome="wait", reason=f"agent {row['agent_id']} is not in the registry")
        holds = row["decision"] == "allow" and "reserved" in row
        known = None if holds else self._answered(row, own, approvals, now)
        if known is not None:
            return known
        stopped = self.authority.stopped(own, now)
        if stopped is not None:
            return Standing(outcome="wait", reason=stopped)
        # What was promised a moment ago, to an action that was not tried since, stands.
        if holds and untried and now - row["proposed_at"] < FRESH:
            return Standing(outcome="go", held=Held(reserved=row["reserved"], tokens=row["leases"]))

        def attempt() -> Standing:
            with self.spine.session_writing(f"gate:{self.client}") as session:
                found = self.authority.standing(session, own, approvals, now, holds=holds)
                notes = self._news(row, own, approvals, found, now)
                if notes:
                    self.spine.append_within(session, self.client, notes)
                return found

        found = retry(attempt)
        if found.held.refusal is not None:
            self.exhausted(row["agent_id"], found.held.refusal)
        return found

    def _answered(
        self, row: Mapping[str, Any], own: OwnAction, approvals: Sequence[Approval], now: datetime
    ) -> Standing | None:
        """What people's answers say by themselves; None where the policy and the budgets must be asked."""
        version = self.authority.policy.version
        if row["decision"] != "needs_approval" or row["policy_version"] != version:
            return None
        if any(each.consumed_by == own.action_id for each in approvals):
            return None
        if approvals and all(each.status == "open" and each.expires_at > now for each in approvals):
            return Standing(outcome="wait", reason="approval open")  # what it covers is asked once it is given
        covering = []
        for each in approvals:
            if own.covered_by(each, self.client, version) is None:
                covering.append(each)
            elif each.status in ("open", "given"):
                return None
        if not covering or covering[-1].status == "used":
            return None
        last = covering[-1]
        if last.status == "denied":
            return Standing(outcome="closed", reason="approval denied")
        if last.status == "expired" or last.expires_at <= now:
            return Standing(outcome="closed", reason="approval expired")
        return None if last.status == "given" else Standing(outcome="wait", reason="approval open")

    def _news(
        self, row: Mapping[str, Any], own: OwnAction, approvals: Sequence[Approval], found: Standing, now: datetime
    ) -> list[LedgerNote]:
        """What the ledger does not know yet of a look at an action."""
        notes = []
        version, judged = self.authority.policy.version, found.judged
        if judged is not None and judged.decision != "deny":
            changed = row["decision"] not in (judged.decision, "wait") or row["policy_version"] != version
            if changed:
                notes.append(judged_again_note(row, judged, now))
            for each in approvals:
                differs = own.covered_by(each, self.client, version)
                if differs is not None and each.status == "given":
                    notes.append(refused_consent_note(row, each, differs))
        if found.held.lease is not None and not found.held.lease.granted:
            notes.append(turn_note(row, found.held.lease))
        return notes

    def _finish(self, state: LedgerState, ended: Sequence[tuple[LedgerNote, Mapping[str, Any]]]) -> None:
        """Write down what came of actions, settle their money and let go of their targets, in one transaction."""
        for _ in range(WRITTEN_AGAIN):
            # What another process has ended meanwhile is ended.
            fresh = [(note, told) for note, told in ended if note.body["action_id"] in state.open]
            try:
                if fresh:
                    self._write_ends(state, fresh)
                state_of(self.spine, self.client, state)
                return
            except LedgerMoved:
                state_of(self.spine, self.client, state)
        raise LedgerMoved(f"ledger of {self.client}: it moved {WRITTEN_AGAIN} times while results were written")

    def _write_ends(self, state: LedgerState, fresh: Sequence[tuple[LedgerNote, Mapping[str, Any]]]) -> None:
        def attempt() -> None:
            now = self.clock()
            with self.spine.session_writing(f"gate:{self.client}") as session:
                connection = self.authority.lock(session, state.position)
                notes = []
                for note, told in fresh:
                    said = dict(told)
                    row = state.decided[note.body["action_id"]]
                    own = self._own(row)
                    if said or own is None or (row["decision"] != "deny" and self.authority.needs_holding(own)):
                        said |= self.authority.end(
                            connection, note.body["action_id"], status=note.body["status"], now=now
                        )
                    notes.append(LedgerNote(note.kind, note.actor, note.body | said, note.idempotency_key))
                self.spine.append_within(session, self.client, notes)

        retry(attempt)

    def _own(self, row: Mapping[str, Any]) -> OwnAction | None:
        situation = self.situation()
        facts = next((each for each in situation.agents if each.agent_id == row["agent_id"]), None)
        if facts is None:
            return None
        arguments = json.loads(row["arguments"])
        return own_action(row["action_id"], facts, row["action"], arguments, row.get("correlation_id"), situation)


def _holding(found: Standing) -> dict[str, Any]:
    """What an action held when it was carried out, for the ledger."""
    held = {
        "reserved": dict(found.held.reserved),
        "leases": dict(found.held.tokens),
        "approval_id": found.held.approval_id,
    }
    return {name: value for name, value in held.items() if value}
