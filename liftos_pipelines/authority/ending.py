"""What becomes of a call that the gate let through: confirmed right before it runs, then settled or released."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from liftos_pipelines.authority.history import CALLS, RESULT
from liftos_pipelines.authority.notes import ending_note
from liftos_pipelines.authority.requests import (
    LONGEST_ARGUMENTS,
    AlreadyEnded,
    DecisionUnknown,
    GateError,
    NotAuthorised,
    Settlement,
)
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.authority.stops import Stops
from liftos_pipelines.spine.budgets import MICRO, Refusal, micro
from liftos_pipelines.spine.connection import retry, utc
from liftos_pipelines.spine.database import Spine

_ANSWERED = (
    select(CALLS)
    .where(CALLS.c.client == bindparam("client"), CALLS.c.decision_id == bindparam("decision_id"), CALLS.c.attempt > 0)
    .order_by(CALLS.c.attempt.desc())
    .limit(1)
)
UNDONE = ("failed", "error", "cancelled")
"""Outcomes after which the same action for the same incident may be tried again."""


class Endings:
    """Ends of one client's calls."""

    def __init__(self, client: str, spine: Spine, stops: Stops, turn: threading.RLock, settings: GateSettings) -> None:
        self.client, self.spine, self.stops, self.turn, self.settings = client, spine, stops, turn, settings

    def row(self, connection: Connection, decision_id: str) -> Any:
        """A decision as it was answered last; None without one."""
        return connection.execute(_ANSWERED, {"client": self.client, "decision_id": decision_id}).first()

    def lapsed(self, connection: Connection, row: Any, now: datetime) -> str | None:
        """Why what was promised to an allowed call no longer holds; None where it does."""
        reservation = self.spine.reservation_within(connection, self.client, row.decision_id)
        if reservation is not None and (reservation.status != "reserved" or reservation.expires_at <= now):
            return f"the money reserved for it was given back at {reservation.expires_at:%H:%M:%S}"
        if not self.spine.holds_within(connection, self.client, row.decision_id, now=now):
            return "its leases are over: somebody else may have acted on its targets since"
        return None

    def confirm(self, decision_id: str, now: datetime) -> None:
        with self.turn, self.spine.reading() as connection:
            row = self._allowed(connection, decision_id)
            if row.status != "decided":
                raise AlreadyEnded(f"decision {decision_id} was {row.status}")
            self.stops.read(connection)
            stop = self.stops.of(row.agent_id, now)
            if stop is not None:
                raise NotAuthorised(f"agent {row.agent_id} was stopped since: {stop.reason}")
            lapsed = self.lapsed(connection, row, now)
        if lapsed is not None:
            raise NotAuthorised(f"decision {decision_id} may not run any more: {lapsed}")
        if json.loads(row.answer)["leases"]:
            held = self.spine.transaction(
                lambda writing: self.spine.renew_within(
                    writing, self.client, decision_id, now=now, lifetime=self.settings.leased_for
                )
            )
            if not held:
                raise NotAuthorised(f"decision {decision_id} may not run any more: its leases are over")

    def settle(
        self,
        decision_id: str,
        actual_cost: float | Decimal | None,
        outcome: str,
        result: str | None,
        flags: Sequence[str],
        now: datetime,
    ) -> tuple[Settlement, list[tuple[str, Refusal]]]:
        """The settlement, and of which agent which budgets it has exhausted."""
        if not outcome or len(outcome) > 32:
            raise GateError(f"an outcome is a word of at most 32 characters, found {outcome!r}")
        try:
            spent = None if actual_cost is None else micro(actual_cost)
        except ValueError as error:
            raise GateError(str(error)) from error

        def work(session: Session) -> tuple[Settlement, list[tuple[str, Refusal]]]:
            connection = session.connection()
            row = self._allowed(connection, decision_id)
            if row.status != "decided":
                return self._again(row, "settled", outcome, spent), []
            reservation = self.spine.reservation_within(connection, self.client, decision_id)
            actual = spent
            if actual is None:
                actual = max(reservation.pots.values(), default=0) if reservation else None
            overrun, exhausted = 0, list[tuple[str, Refusal]]()
            if reservation is not None and actual is not None:
                settled = self.spine.settle_within(connection, self.client, decision_id, actual, now=now)
                overrun = settled.overrun
                if overrun:
                    exhausted = self._exhausted(connection, row.agent_id, list(reservation.pots), overrun, now)
            in_time = self.spine.end_within(
                connection,
                self.client,
                decision_id,
                done=outcome not in UNDONE,
                now=now,
                remembered=self.settings.remembered,
            )
            ended = Settlement(
                decision_id=decision_id,
                status="settled",
                outcome=outcome,
                cost=None if actual is None else str(Decimal(actual) / MICRO),
                overrun=str(Decimal(overrun) / MICRO) if overrun else None,
                in_time=in_time,
            )
            self._end(session, row, ended, None, now)
            if result is not None or flags:
                self._note_result(connection, row, result, flags, now)
            return ended, exhausted

        return self._write(work)

    def release(self, decision_id: str, reason: str, now: datetime) -> Settlement:
        def work(session: Session) -> Settlement:
            connection = session.connection()
            row = self._allowed(connection, decision_id)
            if row.status != "decided":
                return self._again(row, "released", "not_run", None)
            if self.spine.reservation_within(connection, self.client, decision_id) is not None:
                self.spine.release_within(connection, self.client, decision_id, now=now)
            in_time = self.spine.end_within(connection, self.client, decision_id, done=False, now=now)
            ended = Settlement(
                decision_id=decision_id, status="released", outcome="not_run", cost=None, overrun=None, in_time=in_time
            )
            self._end(session, row, ended, reason, now)
            return ended

        return self._write(work)

    def _write(self, work: Any) -> Any:
        def attempt() -> Any:
            with self.spine.session_writing(f"gate:{self.client}") as session:
                return work(session)

        return retry(attempt)

    def _allowed(self, connection: Connection, decision_id: str) -> Any:
        row = self.row(connection, decision_id)
        if row is None:
            raise DecisionUnknown(f"{self.client} has no decision {decision_id}")
        if row.decision != "allow":
            raise NotAuthorised(f"decision {decision_id} is {row.decision}: nothing may have run under it")
        return row

    def _again(self, row: Any, status: str, outcome: str, spent: int | None) -> Settlement:
        """The same end told twice; another one is an error."""
        known = json.loads(row.result or "{}")
        cost = None if spent is None else str(Decimal(spent) / MICRO)
        if row.status != status or row.outcome != outcome or (cost is not None and known.get("cost") != cost):
            raise AlreadyEnded(f"decision {row.decision_id} was already {row.status} as {row.outcome}")
        return Settlement(**known)

    def _end(self, session: Session, row: Any, ended: Settlement, reason: str | None, now: datetime) -> None:
        mine = (CALLS.c.client == self.client) & (CALLS.c.seq == row.seq)
        session.connection().execute(
            CALLS.update()
            .where(mine)
            .values(status=ended.status, outcome=ended.outcome, result=json.dumps(ended.__dict__), ended_at=now)
        )
        self.spine.append_within(session, self.client, [ending_note(row.agent_id, ended, reason, now)])
        session.flush()

    def _note_result(
        self, connection: Connection, row: Any, result: str | None, flags: Sequence[str], now: datetime
    ) -> None:
        text = None if result is None else result.replace("\x00", "")[:LONGEST_ARGUMENTS]
        connection.execute(
            CALLS.insert().values(
                client=self.client, decision_id=row.decision_id, request_id=row.request_id, attempt=0,
                run_id=row.run_id, agent_id=row.agent_id, tool=row.tool, arguments="{}", seal="", at=now,
                decision=RESULT, answer=json.dumps({"flags": sorted(flags)}), status="decided", result=text,
            )
        )  # fmt: skip

    def _exhausted(
        self, connection: Connection, agent_id: str, pots: Sequence[str], overrun: int, now: datetime
    ) -> list[tuple[str, Refusal]]:
        found = self.spine.pots_within(connection, self.client, pots)
        return [
            (
                agent_id,
                Refusal(
                    pot=pot.pot,
                    limit=pot.limit,
                    committed=pot.settled + pot.reserved,
                    amount=pot.overrun,
                    hard=True,
                    exhausted_at=pot.exhausted_at or utc(now),
                ),
            )
            for pot in found.values()
            if pot.overrun
        ]
