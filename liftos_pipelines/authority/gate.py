"""The gate between an agent and its tools: every call is judged before it runs, and only `allow` lets it.

One decision is one transaction of the spine: kill switch, policy with the run's history, leases on what the call
changes, money from every budget, consent, and the entry in the ledger are written together or not at all. Whatever
goes wrong is a denial: an agent whose gate cannot be reached does nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from liftos_pipelines.authority.agents import Agents, RegisteredAgent, at_stage
from liftos_pipelines.authority.ending import Endings
from liftos_pipelines.authority.guarded import Guarded, guarded_call
from liftos_pipelines.authority.history import CALLS, MESSAGE, ClientHistory
from liftos_pipelines.authority.holding import Held, Wanted, hold
from liftos_pipelines.authority.notes import decision_notes
from liftos_pipelines.authority.requests import ActionRequest, Authorisation, GateError, Settlement
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.authority.stops import EVERY_AGENT, Stops
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.modules.agentic.conditions import AgentFacts
from liftos_pipelines.modules.agentic.engine import PolicyEngine, Verdict
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.spine.approvals import Sealed
from liftos_pipelines.spine.budgets import MICRO, Refusal
from liftos_pipelines.spine.connection import retry, utc
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.ledger import LedgerEntry, digest
from liftos_pipelines.spine.payloads import BudgetExhausted

log = logging.getLogger(__name__)
_JUDGED = CALLS.insert()


class Gate:
    """The enforcement point of one client; safe to share between threads, and exact between processes.

    Parameters
    ----------
    policy : what holds now, read at each decision where it is a callable: a changed file holds at once
    agents : the registered agents (`agents.agents_of`)
    clock : the time, for tests
    """

    def __init__(
        self,
        client: str,
        policy: Policy | Callable[[], Policy],
        spine: Spine,
        agents: Agents,
        *,
        settings: GateSettings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.client, self.spine, self.clock = check_client_id(client), spine, clock
        self.settings = settings or GateSettings()
        self._policy = policy if callable(policy) else lambda: policy
        self._agents = agents
        self._turn = threading.RLock()
        self._stops = Stops(client)
        self._engine: PolicyEngine | None = None
        self._history: ClientHistory | None = None
        self._endings = Endings(self.client, spine, self._stops, self._turn, self.settings)
        self._written: list[LedgerEntry] = []
        self._told: set[tuple[str, float, datetime]] = set()

    def authorise(self, request: ActionRequest) -> Authorisation:
        """Judge one call before it runs. Never raises: what cannot be decided is denied as `gate_unavailable`.

        The same request asked again gets the same answer, unless it waited for a person or another agent, or a stop
        came meanwhile.
        """
        try:
            with self._turn:
                answer, refusal = retry(lambda: self._in_transaction(request))
                if self._written:
                    self._stops.wrote(self._written[0].position, len(self._written))
        except Exception as error:
            log.exception("the gate of %s cannot decide", self.client)
            return Authorisation(
                decision="deny",
                policy="gate_unavailable",
                reason=f"the gate cannot decide, so nothing may run: {type(error).__name__}: {error}",
                policy_version=None,
                decision_id=self._decision_id(request),
            )
        if refusal is not None:
            self._tell(request.agent_id, refusal)
        return answer

    def confirm(self, decision_id: str) -> None:
        """To be called right before the tool runs: the call may still be made, and its leases last anew.

        Raises
        ------
        NotAuthorised : not let through, ended, stopped meanwhile, or its leases are over (the fencing token is old)
        """
        self._endings.confirm(decision_id, utc(self.clock()))

    def settle(
        self,
        decision_id: str,
        actual_cost: float | Decimal | None = None,
        outcome: str = "succeeded",
        *,
        result: str | None = None,
        flags: tuple[str, ...] = (),
    ) -> Settlement:
        """The call ran: what it cost takes the place of what was reserved, its leases end, its result is known to the
        rules of its run. An unknown cost counts as what was reserved.

        Parameters
        ----------
        result, flags : what the tool answered, and what a screen found in it

        Raises
        ------
        DecisionUnknown, NotAuthorised, AlreadyEnded : by name what is wrong
        """
        now = utc(self.clock())
        settled, refusals = self._endings.settle(decision_id, actual_cost, outcome, result, flags, now)
        for agent_id, refusal in refusals:
            self._tell(agent_id, refusal)
        return settled

    def release(self, decision_id: str, *, reason: str = "it did not run") -> Settlement:
        """The call did not run: its money and leases are given back. Consent that it used stays used.

        Raises
        ------
        DecisionUnknown, NotAuthorised, AlreadyEnded : by name what is wrong
        """
        return self._endings.release(decision_id, reason, utc(self.clock()))

    def report(
        self,
        decision_id: str,
        *,
        status: str,
        cost: float | Decimal | None = None,
        result: str | None = None,
        flags: tuple[str, ...] = (),
    ) -> Settlement:
        """What the agent did: `not_run` releases, any other status settles."""
        if status == "not_run":
            return self.release(decision_id)
        return self.settle(decision_id, cost, status, result=result, flags=flags)

    def guarded(self, tool: str, *, run_id: str, agent_id: str, **about: Any) -> Guarded:
        """A decorator for a tool: each call of it is authorised first, then confirmed, run and settled."""
        return Guarded(self, tool, run_id=run_id, agent_id=agent_id, about=about)

    def call(self, request: ActionRequest) -> AbstractContextManager[Any]:
        """A context for one call: entered only when it may run, settled at its end, also when it failed."""
        return guarded_call(self, request)

    def stopped(self) -> Mapping[str, str]:
        """Agents that may not decide now (`*`: all of them), with why."""
        with self._turn, self.spine.reading() as connection:
            self._stops.read(connection)
            return {stop.agent_id: stop.reason for stop in self._stops.all(utc(self.clock()))}

    def decision(self, decision_id: str) -> dict[str, Any] | None:
        """A decision as it was answered last, with what became of it."""
        with self.spine.reading() as connection:
            row = self._endings.row(connection, decision_id)
        if row is None:
            return None
        return json.loads(row.answer) | {
            "status": row.status,
            "outcome": row.outcome,
            "tool": row.tool,
            "agent_id": row.agent_id,
        }

    def _decision_id(self, request: ActionRequest) -> str:
        return digest(self.client, str(request.request_id))[:32]

    def _in_transaction(self, request: ActionRequest) -> tuple[Authorisation, Refusal | None]:
        self._written = []
        try:
            with self.spine.session_writing(f"gate:{self.client}") as session:
                return self._decide(session, request)
        except BaseException:
            # What this process had read of its own transaction did not happen.
            self._history = None
            raise

    def _decide(self, session: Session, request: ActionRequest) -> tuple[Authorisation, Refusal | None]:
        connection, now = session.connection(), utc(self.clock())
        engine = self._current_engine()
        decision_id, print_ = self._decision_id(request), request.fingerprint()
        self._stops.read(connection)
        agent = self._agents().get(request.agent_id) if isinstance(request.agent_id, str) else None
        known = self._endings.row(connection, decision_id)
        attempt = known.attempt + 1 if known is not None else 1

        def verdict(policy: str, reason: str) -> Verdict:
            return Verdict(decision="deny", policy=policy, reason=reason, policy_version=engine.policy.version)

        judged, arguments = self._first(request, agent, now, verdict), request.read_arguments()
        if judged is None and isinstance(arguments, str):
            judged = verdict("malformed_call", arguments)
        if judged is None and known is not None:
            if known.seal != print_:
                judged = verdict("request_changed", f"request {request.request_id} was asked before with other content")
            elif known.status in ("settled", "released"):
                judged = verdict("already_ended", f"this request was {known.status}; ask for a new call by a new id")
            elif known.decision == "allow" and (lapsed := self._endings.lapsed(connection, known, now)) is not None:
                judged = verdict("already_ended", f"{lapsed}; ask for a new call by a new id")
            elif known.decision in ("allow", "deny"):
                return Authorisation(**json.loads(known.answer)), None
        held = Held()
        if judged is None:
            assert agent is not None
            assert isinstance(arguments, dict)
            held = self._judge(session, request, agent, arguments, decision_id, engine, now)
            judged = held.verdict
        assert judged is not None
        answer = Authorisation(
            decision="wait" if held.waits else judged.decision,
            reason=judged.reason,
            policy=judged.policy,
            policy_version=engine.policy.version,
            decision_id=decision_id,
            reservation_id=decision_id if held.reserved else None,
            approval_id=held.approval_id,
            leases=dict(held.tokens),
            lease_until=held.lease_until,
            retry_after=1.0 if held.waits else None,
            attempt=attempt,
        )
        standing = judged.policy in ("request_changed", "already_ended") or (
            known is not None and known.decision == "allow"
        )
        same = known is not None and known.answer == json.dumps(replace(answer, attempt=known.attempt).as_json())
        if same and answer.decision in ("needs_approval", "wait"):
            return replace(answer, attempt=known.attempt), None  # asked again, nothing new to write down
        self._write(session, request, answer, held, print_, arguments, now, keep_row=standing)
        return answer, held.refusal

    def _first(
        self,
        request: ActionRequest,
        agent: RegisteredAgent | None,
        now: datetime,
        verdict: Callable[[str, str], Verdict],
    ) -> Verdict | None:
        """What is asked before anything else: can it be read, is its agent known and not stopped."""
        problem = request.problem()
        if problem is not None:
            return verdict("malformed_call", problem)
        stop = self._stops.of(request.agent_id, now)
        if stop is not None:
            who = "every agent" if stop.agent_id == EVERY_AGENT else f"agent {request.agent_id}"
            return verdict("agent_stopped", f"{who} is stopped: {stop.reason}")
        if agent is None:
            return verdict("unknown_agent", f"agent {request.agent_id} is not in the registry")
        if request.agent_version is not None and request.agent_version not in agent.stages:
            there = ", ".join(agent.stages)
            return verdict("unknown_version", f"version {request.agent_version} is not registered; there is {there}")
        return None

    def _judge(
        self,
        session: Session,
        request: ActionRequest,
        agent: RegisteredAgent,
        arguments: dict[str, Any],
        decision_id: str,
        engine: PolicyEngine,
        now: datetime,
    ) -> Held:
        """The policy's verdict, and what the call then needs: targets, money and consent."""
        connection, version = session.connection(), request.agent_version or agent.version
        history = self._known_history(engine).run(connection, request.run_id, now)
        said = request.last_message
        if said is not None and said != history.last_message:
            self._note_message(session, request, decision_id, said, now)
            history = self._known_history(engine).run(connection, request.run_id, now)
        stage = self._stops.stage(request.agent_id, version, agent.stages.get(version))
        facts = at_stage(agent, version, stage)
        cost = None if request.cost is None else float(request.cost)
        call = engine.call(facts, request.tool, arguments, now, cost)
        if isinstance(call, str):
            return Held(verdict=engine.refuse(call))
        # Money is reserved below, over all processes; the engine's own count has none of it.
        verdict = engine.judge(replace(call, agent=replace(facts, budget=None)), history)
        try:
            sealed = Sealed(
                client=self.client,
                agent_id=request.agent_id,
                agent_version=version,
                tool=call.tool,
                arguments=arguments,
                subject=request.subject,
                policy_version=engine.policy.version,
            )
            sealed.seal  # noqa: B018 - arguments that have no canonical form are refused here
        except ValueError as error:
            return Held(verdict=engine.refuse(f"its arguments have no canonical form: {error}"))
        if verdict.decision == "deny" and verdict.draw is None:
            return Held(verdict=verdict)
        wanted = Wanted(
            request=request,
            agent=agent,
            call=call,
            sealed=sealed,
            decision_id=decision_id,
            draws=engine.draws(call, request.run_id, self.client),
        )
        return hold(session, self.spine, wanted, verdict, self.settings, now)

    def _write(
        self,
        session: Session,
        request: ActionRequest,
        answer: Authorisation,
        held: Held,
        print_: str,
        arguments: dict[str, Any] | str,
        now: datetime,
        *,
        keep_row: bool,
    ) -> None:
        """The decision, in the ledger and the log of calls; there an earlier answer that holds stays (`keep_row`)."""
        self._written = self.spine.append_within(
            session,
            self.client,
            decision_notes(request, answer, held, arguments, print_, now, repeated=keep_row),
        )
        session.flush()
        if keep_row:
            return
        text = json.dumps(arguments, sort_keys=True) if isinstance(arguments, dict) else arguments
        values = {
            "client": self.client,
            "decision_id": answer.decision_id,
            "request_id": _cut(request.request_id),
            "attempt": answer.attempt,
            "run_id": _cut(request.run_id),
            "agent_id": _cut(request.agent_id),
            "tool": _cut(request.tool) if request.tool else None,
            "arguments": text,
            "seal": print_,
            "at": now,
            "cost": None if request.cost is None else str(request.cost)[:40],
            "decision": answer.decision,
            "answer": json.dumps(answer.as_json()),
            "status": "decided",
            # Why a denial was one, where rules over sequences do not count it.
            "outcome": answer.policy[:32] if answer.decision == "deny" else None,
        }
        session.connection().execute(_JUDGED, values)

    def _note_message(
        self, session: Session, request: ActionRequest, decision_id: str, said: str, now: datetime
    ) -> None:
        connection = session.connection()
        known = connection.execute(
            select(CALLS.c.attempt).where(
                CALLS.c.client == self.client, CALLS.c.decision_id == decision_id, CALLS.c.attempt < 0
            )
        ).all()
        connection.execute(
            CALLS.insert().values(
                client=self.client, decision_id=decision_id, request_id=request.request_id, attempt=-1 - len(known),
                run_id=request.run_id, agent_id=request.agent_id, tool=None, arguments="{}", seal="", at=now,
                decision=MESSAGE, answer="{}", status="decided", result=said.replace("\x00", ""),
            )
        )  # fmt: skip

    def _current_engine(self) -> PolicyEngine:
        """The engine of the policy as it is now; history is judged anew by a changed one."""
        policy = self._policy()
        if self._engine is None or self._engine.policy.version != policy.version:
            self._engine, self._history = PolicyEngine(policy), None
        return self._engine

    def _known_history(self, engine: PolicyEngine) -> ClientHistory:
        if self._history is None:

            def facts(agent_id: str) -> AgentFacts:
                known = self._agents().get(agent_id)
                return known.facts if known else AgentFacts(agent_id=agent_id, registered=False)

            self._history = ClientHistory(self.client, engine, facts)
        return self._history

    def _tell(self, agent_id: str, refusal: Refusal) -> None:
        """Raise the event of a spent budget, once for its period; what cannot be told now is told by the next one."""
        limit, spent = refusal.limit / MICRO, (refusal.committed + refusal.amount) / MICRO
        key = (agent_id, limit, refusal.exhausted_at)
        if key in self._told:
            return
        try:
            said = BudgetExhausted(agent_id=agent_id, limit=limit, spent=spent, at=refusal.exhausted_at)
            self.spine.raise_event(self.client, said, occurred_at=utc(self.clock()))
            self._told.add(key)
        except Exception as error:
            log.warning("the refusal stands, but the event that tells of it could not be raised: %s", error)


def _cut(text: Any) -> str:
    """What is stored of a name that may be malformed."""
    return str(text).replace("\x00", "")[:128]


__all__ = ["Gate", "GateError"]
