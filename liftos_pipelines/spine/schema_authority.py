"""Tables of the spine that stand between agents and their tools: budgets, leases, judged calls, votes.

Money is counted in millionths of the client's currency, as whole numbers: sums are exact.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from liftos_pipelines.spine.schema import SEQUENCE, Base


class PotRow(Base):
    """What one limit has given out: `settled` is spent, `reserved` promised, `overrun` spent beyond what was left."""

    __tablename__ = "budget_pots"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    pot: Mapped[str] = mapped_column(String(256), primary_key=True)
    limit_micro: Mapped[int] = mapped_column(BigInteger)
    settled_micro: Mapped[int] = mapped_column(BigInteger)
    reserved_micro: Mapped[int] = mapped_column(BigInteger)
    overrun_micro: Mapped[int] = mapped_column(BigInteger)
    exhausted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)
    """When the pot first refused, or was overrun."""


class ReservationRow(Base):
    """Money promised to one decision, from every pot it draws on."""

    __tablename__ = "reservations"
    __table_args__ = (Index("reservations_by_end", "client", "status", "expires_at"),)
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(128))
    pots: Mapped[str] = mapped_column(Text)
    """JSON: each pot with the micro-units reserved in it."""
    status: Mapped[str] = mapped_column(String(16))
    actual_micro: Mapped[int | None] = mapped_column(BigInteger, nullable=True)
    overrun_micro: Mapped[int] = mapped_column(BigInteger)
    reserved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)


class LeaseRow(Base):
    """A decision's hold on one target, or its place in the queue for it; what it did stays known for a while."""

    __tablename__ = "leases"
    __table_args__ = (Index("leases_by_target", "client", "target", "status"),)
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(128))
    run_id: Mapped[str] = mapped_column(String(128))
    incident: Mapped[str | None] = mapped_column(String(128), nullable=True)
    tool: Mapped[str] = mapped_column(String(128))
    arguments: Mapped[str] = mapped_column(Text)
    rank: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    """held, queued, done, released, expired."""
    token: Mapped[int] = mapped_column(BigInteger)
    """Fencing token: grows with every grant on the target; 0 in the queue."""
    taken_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LeaseTokenRow(Base):
    """The newest fencing token of a target."""

    __tablename__ = "lease_tokens"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256), primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)


class CoordinationRow(Base):
    """What was answered when a decision asked for a target; appended, never changed."""

    __tablename__ = "coordination"
    __table_args__ = (UniqueConstraint("client", "decision_id", "target", "outcome", name="coordination_once"),)
    seq: Mapped[int] = mapped_column(SEQUENCE, primary_key=True, autoincrement=True)
    client: Mapped[str] = mapped_column(String(64))
    decision_id: Mapped[str] = mapped_column(String(64))
    agent_id: Mapped[str] = mapped_column(String(128))
    target: Mapped[str] = mapped_column(String(256))
    incident: Mapped[str | None] = mapped_column(String(128), nullable=True)
    outcome: Mapped[str] = mapped_column(String(24))
    other: Mapped[str | None] = mapped_column(String(64), nullable=True)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class GateCallRow(Base):
    """A call that the gate judged, and what became of it; `seq` orders what happened over all processes.

    `attempt` counts how often the request was judged. Rows with `decision` `result` and `message` (attempt 0 and below)
    hold what a tool answered and what was said, where sequence rules need it.
    """

    __tablename__ = "gate_calls"
    __table_args__ = (
        UniqueConstraint("client", "decision_id", "attempt", name="gate_calls_once"),
        Index("gate_calls_by_run", "client", "run_id", "seq"),
        Index("gate_calls_in_order", "client", "seq"),
    )
    seq: Mapped[int] = mapped_column(SEQUENCE, primary_key=True, autoincrement=True)
    client: Mapped[str] = mapped_column(String(64))
    decision_id: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    attempt: Mapped[int] = mapped_column(Integer)
    run_id: Mapped[str] = mapped_column(String(128))
    agent_id: Mapped[str] = mapped_column(String(128))
    tool: Mapped[str | None] = mapped_column(String(128), nullable=True)
    arguments: Mapped[str] = mapped_column(Text)
    seal: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    cost: Mapped[str | None] = mapped_column(String(40), nullable=True)
    decision: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str] = mapped_column(Text)
    """JSON of the whole answer, given again when the request is asked again."""
    status: Mapped[str] = mapped_column(String(16))
    """decided, settled or released."""
    outcome: Mapped[str | None] = mapped_column(String(32), nullable=True)
    result: Mapped[str | None] = mapped_column(Text, nullable=True)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)


class VoteRow(Base):
    """One person's word on a request for approval; a person has one vote."""

    __tablename__ = "approval_votes"
    approval_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    voter: Mapped[str] = mapped_column(String(128), primary_key=True)
    """The name as it is compared: without case and surrounding spaces."""
    client: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    given: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    voted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
