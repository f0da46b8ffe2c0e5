"""Leases on what agents act upon: a campaign, a channel's budget, a page, a prompt, another agent.

An action takes all of its targets at once or none, in one transaction, so that two actions never wait for one another
in a circle. A lease ends by itself when its holder is gone, and each grant has a number that grows with the target
(fencing token): a holder that comes back after its time is told so. Whether an intent may have its targets is decided
by the pure rules that the caller hands in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.engine import Connection

from liftos_pipelines.clients import check_client_id
from liftos_pipelines.modules.agentic.coordination import Answer, Intent, Standing, coordinate
from liftos_pipelines.spine.connection import Store, utc
from liftos_pipelines.spine.schema_authority import CoordinationRow, LeaseRow, LeaseTokenRow

LEASES: Any = LeaseRow.__table__
TOKENS: Any = LeaseTokenRow.__table__
COORDINATION: Any = CoordinationRow.__table__
LEASED_FOR = timedelta(minutes=5)
QUEUED_FOR = timedelta(minutes=2)
"""A place in the queue is kept this long after the last time that its holder asked."""
REMEMBERED = timedelta(days=1)
"""What was done on a target stays known this long: the same action for the same incident is then a duplicate."""
# Statements that every decision needs are built once: building one costs five times what running it does.
_STANDING = select(LEASES).where(
    LEASES.c.client == bindparam("client"),
    LEASES.c.target.in_(bindparam("targets", expanding=True)),
    LEASES.c.status.in_(["held", "queued", "done"]),
    LEASES.c.lease_until > bindparam("now"),
)
_HELD = (
    select(LEASES.c.status, LEASES.c.token, LEASES.c.lease_until, TOKENS.c.token.label("newest"))
    .join(TOKENS, (TOKENS.c.client == LEASES.c.client) & (TOKENS.c.target == LEASES.c.target), isouter=True)
    .where(LEASES.c.client == bindparam("client"), LEASES.c.decision_id == bindparam("decision_id"))
)
Rules = Callable[[Intent, Sequence[str], Sequence[Standing]], Answer]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The answer to an intent. `tokens` are by target and empty unless it was granted; `until` ends it."""

    answer: Answer
    targets: tuple[str, ...]
    tokens: Mapping[str, int]
    until: datetime | None

    @property
    def granted(self) -> bool:
        return self.answer.outcome == "granted"


@dataclass(frozen=True, kw_only=True)
class Coordinated:
    """One line of what was answered about one target."""

    decision_id: str
    agent_id: str
    target: str
    incident: str | None
    outcome: str
    other: str | None
    reason: str
    at: datetime


class LeaseStore(Store):
    """Taking, confirming and ending leases. Methods that end in `_within` are a part of the caller's transaction."""

    def take_leases(
        self,
        client: str,
        intent: Intent,
        targets: Sequence[str],
        *,
        now: datetime,
        lifetime: timedelta = LEASED_FOR,
        rules: Rules = coordinate,
    ) -> Lease:
        """`take_within` in a transaction of its own."""
        return self.transaction(
            lambda connection: self.take_within(
                connection, client, intent, targets, now=now, lifetime=lifetime, rules=rules
            )
        )

    def take_within(
        self,
        connection: Connection,
        client: str,
        intent: Intent,
        targets: Sequence[str],
        *,
        now: datetime,
        lifetime: timedelta = LEASED_FOR,
        rules: Rules = coordinate,
    ) -> Lease:
        """All targets for an intent, or a place behind others, or a refusal; asked again while it holds, the same."""
        self.lock(connection, f"leases:{check_client_id(client)}")
        wanted, moment = sorted(set(targets)), utc(now)
        rows = connection.execute(_STANDING, {"client": client, "targets": wanted, "now": moment}).all()
        mine = [row for row in rows if row.decision_id == intent.decision_id]
        held = {row.target: row.token for row in mine if row.status == "held"}
        if held and sorted(held) == wanted:
            until = min(utc(row.lease_until) for row in mine)
            known = Answer(outcome="granted", other=None, reason="it holds it already")
            return Lease(answer=known, targets=tuple(wanted), tokens=held, until=until)
        queued = [utc(row.taken_at) for row in mine if row.status == "queued"]
        if queued:
            intent = _since(intent, min(queued))
        answer = rules(intent, wanted, self._standings(connection, client, rows))
        tokens: dict[str, int] = {}
        ends: datetime | None = None
        if answer.outcome == "granted":
            ends = moment + lifetime
            for target in wanted:
                tokens[target] = self._next_token(connection, client, target)
                self._write(connection, client, intent, target, "held", tokens[target], moment, ends)
        elif answer.outcome == "ordered":
            ends = moment + QUEUED_FOR
            for target in wanted:
                self._write(connection, client, intent, target, "queued", 0, intent.at, ends)
        elif mine:
            connection.execute(
                delete(LEASES).where(LEASES.c.client == client, LEASES.c.decision_id == intent.decision_id)
            )
        said = {
            "client": client,
            "decision_id": intent.decision_id,
            "agent_id": intent.agent_id,
            "incident": intent.incident,
            "outcome": answer.outcome,
            "other": answer.other,
            "reason": answer.reason,
            "at": moment,
        }
        told = self.built("coordination", lambda: self.insert(COORDINATION).on_conflict_do_nothing())
        for target in wanted:
            connection.execute(told, said | {"target": target})
        return Lease(answer=answer, targets=tuple(wanted), tokens=tokens, until=ends)

    def holds_leases(self, client: str, decision_id: str, *, now: datetime) -> bool:
        """Whether a decision still has all of its targets and nobody had one of them since; True without any."""
        with self.reading() as connection:
            return self.holds_within(connection, client, decision_id, now=now)

    def holds_within(self, connection: Connection, client: str, decision_id: str, *, now: datetime) -> bool:
        """`holds_leases`, seen from within a transaction."""
        rows = connection.execute(_HELD, {"client": client, "decision_id": decision_id}).all()
        return all(row.status == "held" and utc(row.lease_until) > utc(now) and row.token == row.newest for row in rows)

    def renew_within(
        self, connection: Connection, client: str, decision_id: str, *, now: datetime, lifetime: timedelta = LEASED_FOR
    ) -> bool:
        """Hold on for a lifetime more; False for one whose time is over, which is then left as it is."""
        self.lock(connection, f"leases:{check_client_id(client)}")
        if not self.holds_within(connection, client, decision_id, now=now):
            return False
        mine = (LEASES.c.client == client) & (LEASES.c.decision_id == decision_id)
        connection.execute(LEASES.update().where(mine).values(lease_until=utc(now) + lifetime))
        return True

    def end_within(
        self,
        connection: Connection,
        client: str,
        decision_id: str,
        *,
        done: bool,
        now: datetime,
        remembered: timedelta = REMEMBERED,
    ) -> bool:
        """Let go of a decision's targets; what was `done` is remembered. False when its time was over before."""
        self.lock(connection, f"leases:{check_client_id(client)}")
        in_time = self.holds_within(connection, client, decision_id, now=now)
        mine = (LEASES.c.client == client) & (LEASES.c.decision_id == decision_id)
        if done:
            connection.execute(LEASES.update().where(mine).values(status="done", lease_until=utc(now) + remembered))
        else:
            connection.execute(LEASES.update().where(mine).values(status="released", lease_until=utc(now)))
        return in_time

    def coordination(self, client: str) -> list[Coordinated]:
        """Everything that was answered about targets of a client, oldest first."""
        query = (
            select(COORDINATION).where(COORDINATION.c.client == check_client_id(client)).order_by(COORDINATION.c.seq)
        )
        with self.reading() as connection:
            return [
                Coordinated(
                    **{name: getattr(row, name) for name in Coordinated.__dataclass_fields__ if name != "at"},
                    at=utc(row.at),
                )
                for row in connection.execute(query)
            ]

    def _standings(self, connection: Connection, client: str, rows: Sequence[Any]) -> list[Standing]:
        """What stands on the targets, one a decision."""
        by_decision: dict[str, list[Any]] = {}
        for row in rows:
            by_decision.setdefault(row.decision_id, []).append(row)
        return [
            Standing(
                intent=Intent(
                    decision_id=decision_id,
                    agent_id=theirs[0].agent_id,
                    run_id=theirs[0].run_id,
                    tool=theirs[0].tool,
                    arguments=json.loads(theirs[0].arguments),
                    incident=theirs[0].incident,
                    rank=theirs[0].rank,
                    at=utc(theirs[0].taken_at),
                ),
                targets=frozenset(row.target for row in theirs),
                status=theirs[0].status,
            )
            for decision_id, theirs in by_decision.items()
        ]

    def _next_token(self, connection: Connection, client: str, target: str) -> int:
        count = self.built(
            "lease token",
            lambda: (
                self.insert(TOKENS)
                .on_conflict_do_update(index_elements=["client", "target"], set_={"token": TOKENS.c.token + 1})
                .returning(TOKENS.c.token)
            ),
        )
        return int(connection.execute(count, {"client": client, "target": target, "token": 1}).scalar_one())

    def _write(
        self,
        connection: Connection,
        client: str,
        intent: Intent,
        target: str,
        status: str,
        token: int,
        taken_at: datetime,
        until: datetime,
    ) -> None:
        values = {
            "client": client,
            "decision_id": intent.decision_id,
            "target": target,
            "agent_id": intent.agent_id,
            "run_id": intent.run_id,
            "incident": intent.incident,
            "tool": intent.tool,
            "arguments": json.dumps(intent.arguments, sort_keys=True, default=str),
            "rank": intent.rank,
            "status": status,
            "token": token,
            "taken_at": utc(taken_at),
            "lease_until": utc(until),
        }
        connection.execute(self.built("lease", self._upsert), values)

    def _upsert(self) -> Any:
        """A lease that is written again: what names it stays, the rest is new."""
        insert, key = self.insert(LEASES), ["client", "decision_id", "target"]
        changed = {column.name: insert.excluded[column.name] for column in LEASES.columns if column.name not in key}
        return insert.on_conflict_do_update(index_elements=key, set_=changed)


def _since(intent: Intent, asked_at: datetime) -> Intent:
    """The intent as of when it was first asked for: its place in the queue."""
    return Intent(**{**intent.__dict__, "at": asked_at})
