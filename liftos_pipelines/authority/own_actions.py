"""LiftOS' own actions under the authority that binds every agent: stops, targets, money and consent.

The responder decides on batches and carries out later, so it takes from the gate's parts what it needs, inside its
own transactions. What is allowed holds its money and targets from its decision on; what waits for a person or for
another agent's end holds nothing, and gets everything or nothing once it may go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from liftos_pipelines.authority.agents import RegisteredAgent, at_stage
from liftos_pipelines.authority.holding import NAMED, Held, Wanted, hold, take_targets
from liftos_pipelines.authority.requests import ActionRequest
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.authority.stops import EVERY_AGENT, Stops
from liftos_pipelines.modules.agentic.conditions import Call
from liftos_pipelines.modules.agentic.coordination import targets_of
from liftos_pipelines.modules.agentic.engine import AgentHistory, PolicyEngine, RunHistory, Verdict
from liftos_pipelines.modules.agentic.ledger_state import KINDS
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.spine.approvals import Approval, Sealed
from liftos_pipelines.spine.database import LedgerMoved, Spine
from liftos_pipelines.spine.ledger import canonical, digest
from liftos_pipelines.spine.schema import LedgerRow

RESERVED_FOR = timedelta(days=31)
"""An allowed action that could not be carried out is tried again by later runs: its money stays promised so long."""
BARRED = ("suspended", "retired")
_LEDGER: Any = LedgerRow.__table__
_NEWS = (
    select(_LEDGER.c.position)
    .where(
        _LEDGER.c.client == bindparam("client"),
        _LEDGER.c.position > bindparam("position"),
        _LEDGER.c.kind.in_(KINDS),
    )
    .limit(1)
)
_STOPS: dict[tuple[str, str], Stops] = {}


@dataclass(frozen=True, kw_only=True)
class OwnAction:
    """An action of the responder. `incident` : the chain it answers; agents that share it are coordinated."""

    action_id: str
    agent: RegisteredAgent
    action: str
    arguments: Mapping[str, Any]
    incident: str | None

    @property
    def agent_id(self) -> str:
        return self.agent.facts.agent_id

    @property
    def read_arguments(self) -> dict[str, Any]:
        """The arguments as they stand in the ledger."""
        return dict(json.loads(json.dumps(dict(self.arguments), sort_keys=True, default=str)))

    def sealed(self, client: str, policy_version: str) -> Sealed:
        """What consent is given to: this one action, and no other like it."""
        return Sealed(
            client=client,
            agent_id=self.agent_id,
            agent_version=self.agent.version,
            tool=self.action,
            arguments=self.read_arguments,
            subject=f"action:{self.action_id}",
            policy_version=policy_version,
        )

    def covered_by(self, approval: Approval, client: str, policy_version: str) -> str | None:
        """None where the consent is to this, else what differs, in words."""
        sealed = self.sealed(client, policy_version)
        if approval.subject is None and approval.agent_version is None:  # asked before consent was to agent versions
            old = (client, self.action_id, self.agent_id, self.action, canonical(self.read_arguments), policy_version)
            if approval.digest == digest(*old):
                return None
            sealed = replace(sealed, agent_version=None, subject=None)
        return approval.covers(sealed)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether an action may be carried out now: `go`, `wait` (for people, or until it may go on), `turn` (until another
    one has ended on its targets) or `closed` for good, with why; and what it holds."""

    outcome: str
    reason: str = ""
    held: Held = field(default_factory=Held)
    judged: Verdict | None = None
    """What the policy said, where it was asked anew."""


class OwnActions:
    """The authority over one client's own actions. Everything that writes is a part of the caller's transaction."""

    def __init__(self, client: str, spine: Spine, policy: Policy) -> None:
        self.client, self.spine, self.policy = client, spine, policy
        self.settings = GateSettings(reserved_for=RESERVED_FOR)
        self._stops = _STOPS.setdefault((spine.url, client), Stops(client))

    def lock(self, session: Session, read_until: int) -> Connection:
        """Begin to write: no stop, move or decision may have come after the reader's last entry.

        Raises
        ------
        LedgerMoved : one has
        """
        self.spine.lock_ledger(session, self.client)
        connection = session.connection()
        news = connection.execute(_NEWS, {"client": self.client, "position": read_until}).first()
        if news is not None:
            raise LedgerMoved(f"ledger of {self.client}: entry {news.position} came after position {read_until}")
        self._stops.read(connection)
        return connection

    def stopped(self, own: OwnAction, now: datetime, connection: Connection | None = None) -> str | None:
        """Why an agent may not act at this moment: stopped here or everywhere, or suspended or retired meanwhile."""
        if connection is None:
            with self.spine.reading() as reading:
                self._stops.read(reading)
        stop = self._stops.of(own.agent_id, now)
        if stop is not None:
            who = "every agent" if stop.agent_id == EVERY_AGENT else f"agent {own.agent_id}"
            return f"{who} is stopped: {stop.reason}"
        stage = self._facts(own).stage
        return f"agent {own.agent_id} is {stage}" if stage in BARRED else None

    def judge(
        self, own: OwnAction, engine: PolicyEngine, calls: AgentHistory, now: datetime
    ) -> tuple[Call | None, Verdict]:
        """What the policy says; touches nothing. Each response is a run of its own for rules over sequences."""
        facts = self._facts(own)
        call = engine.call(facts, own.action, own.read_arguments, now, None)
        if isinstance(call, str):
            return None, engine.refuse(call)
        history = RunHistory(run_id=own.action_id, agents=calls, client=self.client)
        # Money is reserved over all processes, so the engine's own count has none of it.
        verdict = engine.judge(replace(call, agent=replace(facts, budget=None)), history)
        engine.record(call, verdict, history)
        calls.reserved.clear()
        return call, verdict

    def hold(
        self,
        session: Session,
        own: OwnAction,
        judged: tuple[Call | None, Verdict],
        engine: PolicyEngine,
        now: datetime,
    ) -> Held:
        """Take what a judged action needs, all or nothing; the verdict that comes of it is the decision."""
        call, verdict = judged
        stop = self._stops.of(own.agent_id, now)
        if stop is not None:
            why = self.stopped(own, now, session.connection()) or stop.reason
            return Held(verdict=_denied(verdict, "agent_stopped", why))
        if call is None or (verdict.decision == "deny" and verdict.draw is None):
            return Held(verdict=verdict)
        try:
            wanted = self._wanted(own, call, engine)
        except ValueError as error:
            return Held(verdict=engine.refuse(f"its arguments have no canonical form: {error}"))
        return hold(session, self.spine, wanted, verdict, self.settings, now)

    def standing(
        self, session: Session, own: OwnAction, approvals: Sequence[Approval], now: datetime, *, holds: bool
    ) -> Standing:
        """Right before an action is carried out: may it still, and does it hold what it needs?

        Parameters
        ----------
        approvals : requests that were made for it
        holds : it got what it needs when it was decided
        """
        connection = session.connection()
        stopped = self.stopped(own, now, connection)
        if stopped is not None:
            return Standing(outcome="wait", reason=stopped)
        engine = PolicyEngine(self.policy)
        call, verdict = judged = self.judge(own, engine, AgentHistory(), now)
        used = next((each for each in approvals if each.consumed_by == own.action_id), None)
        reservation = self.spine.reservation_within(connection, self.client, own.action_id)
        if holds or used is not None or reservation is not None:
            if reservation is not None and (reservation.status != "reserved" or reservation.expires_at <= now):
                return Standing(outcome="closed", reason="the money that was reserved for it was given back")
            if call is None:
                return Standing(outcome="closed", reason=verdict.reason)
            lease = take_targets(connection, self.spine, self._wanted(own, call, engine), self.settings, now)
            if lease is not None and lease.granted:
                self.spine.renew_within(connection, self.client, own.action_id, now=now)
            held = Held(
                reserved=reservation.pots if reservation else {},
                tokens=lease.tokens if lease else {},
                lease=lease,
                approval_id=used.approval_id if used else None,
            )
            if lease is None or lease.granted:
                return Standing(outcome="go", held=held)
            outcome = "turn" if lease.answer.outcome == "ordered" else "closed"
            return Standing(outcome=outcome, reason=lease.answer.reason, held=held)
        return self._first_time(session, own, judged, engine, approvals, now)

    def _first_time(
        self,
        session: Session,
        own: OwnAction,
        judged: tuple[Call | None, Verdict],
        engine: PolicyEngine,
        approvals: Sequence[Approval],
        now: datetime,
    ) -> Standing:
        """An action that held nothing so far: judged by the policy as it is now, and by the consent that covers it."""
        connection, version = session.connection(), engine.policy.version
        call, verdict = judged
        covering = [each for each in approvals if own.covered_by(each, self.client, version) is None]
        given = next((each for each in covering if each.status == "given" and each.expires_at > now), None)
        old = given is not None and given.subject is None
        asked = replace(verdict, decision="allow", approval=None) if old and verdict.approval is not None else verdict
        begun = connection.begin_nested()
        held = self.hold(session, own, (call, asked), engine, now)
        answer = held.verdict
        assert answer is not None
        if old and answer.decision == "allow" and given is not None and asked is not verdict:
            try:
                self.spine.use_within(
                    connection, self.client, given.approval_id, seal=given.digest, decision_id=own.action_id, now=now
                )
            except tuple(NAMED) as error:
                begun.rollback()
                return Standing(outcome="closed", reason=f"{NAMED[type(error)]}: {error}")
            held = replace(held, approval_id=given.approval_id)
        begun.commit()
        for each in approvals:
            differs = own.covered_by(each, self.client, version)
            if differs is not None:
                self.spine.lapse_within(connection, self.client, each.approval_id, f"it lapsed: {differs}", now)
        if held.waits:
            return Standing(outcome="turn", reason=answer.reason, held=held, judged=verdict)
        outcome = {"allow": "go", "needs_approval": "wait"}.get(answer.decision, "closed")
        reason = f"{answer.policy}: {answer.reason}" if outcome == "closed" else answer.reason
        return Standing(outcome=outcome, reason=reason, held=held, judged=verdict)

    def end(self, connection: Connection, action_id: str, *, status: str, now: datetime) -> dict[str, Any]:
        """What becomes of money and targets: settled by what was `executed`, given back by what was closed, and kept,
        but for the targets, by what failed and is tried again. Said in words for the ledger."""
        told: dict[str, Any] = {}
        reservation = self.spine.reservation_within(connection, self.client, action_id)
        if reservation is not None and status == "executed" and reservation.status in ("reserved", "expired"):
            actual = max(reservation.pots.values(), default=0)
            settled = self.spine.settle_within(connection, self.client, action_id, actual, now=now)
            told["settled"] = actual
            if settled.overrun:
                told["overrun"] = settled.overrun
        elif reservation is not None and status == "denied" and reservation.status == "reserved":
            self.spine.release_within(connection, self.client, action_id, now=now)
            told["released"] = max(reservation.pots.values(), default=0)
        self.spine.end_within(connection, self.client, action_id, done=status == "executed", now=now)
        return told

    def needs_holding(self, own: OwnAction) -> bool:
        """Whether there is something to be held for an action: a target or a budget."""
        spec = self.policy.spec(own.action)
        writes = spec is None or spec.writes
        budgets = bool(self.policy.budgets) or own.agent.facts.budget is not None
        return budgets or (writes and bool(targets_of(own.action, own.read_arguments)))

    def _facts(self, own: OwnAction) -> Any:
        registered = own.agent.stages.get(own.agent.version, own.agent.facts.stage)
        stage = self._stops.stage(own.agent_id, own.agent.version, registered)
        return at_stage(own.agent, own.agent.version, stage)

    def _wanted(self, own: OwnAction, call: Call, engine: PolicyEngine) -> Wanted:
        sealed = own.sealed(self.client, engine.policy.version)
        sealed.seal  # noqa: B018 - arguments that have no canonical form are refused here
        request = ActionRequest(
            run_id=own.action_id,
            agent_id=own.agent_id,
            tool=own.action,
            arguments=own.read_arguments,
            request_id=own.action_id,
            agent_version=own.agent.version,
            incident=own.incident,
            correlation_id=own.incident,
        )
        draws = engine.draws(call, own.action_id, self.client)
        return Wanted(
            request=request, agent=own.agent, call=call, sealed=sealed, decision_id=own.action_id, draws=draws
        )


def _denied(verdict: Verdict, policy: str, reason: str) -> Verdict:
    return Verdict(decision="deny", policy=policy, reason=reason, policy_version=verdict.policy_version)
