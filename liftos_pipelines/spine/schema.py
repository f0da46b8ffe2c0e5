"""Tables of the spine database. Alembic migrations in `migrations/` bring a database to this schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    pass


class EventRow(Base):
    """Something that happened; appended once, never changed."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("event_id", name="events_event_id_unique"),
        Index("events_by_client_and_type", "client", "type", "seq"),
        Index("events_by_type", "type", "seq"),
    )
    seq: Mapped[int] = mapped_column(SEQUENCE, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(64))
    client: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(64))
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    causation_id: Mapped[str | None] = mapped_column(String(64), nullable=True)
    correlation_id: Mapped[str] = mapped_column(String(64), index=True)


class HandledRow(Base):
    """A reaction that has dealt with an event; the pair is what makes effects happen once."""

    __tablename__ = "handled"
    event_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    reaction: Mapped[str] = mapped_column(String(128), primary_key=True)
    handled_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DeliveryRow(Base):
    """An event that a reaction owes an answer: gone when handled, `dead` when given up, with the reason."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_by_place", "reaction", "status", "seq"),
        Index("deliveries_by_chain", "reaction", "correlation_id", "seq"),
    )
    event_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    reaction: Mapped[str] = mapped_column(String(128), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    client: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(64))
    correlation_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)
    next_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)
    reason: Mapped[str | None] = mapped_column(Text, nullable=True)
    last_run: Mapped[str | None] = mapped_column(String(64), nullable=True)


class ReachRow(Base):
    """How far into the log a reaction has looked for events of a type."""

    __tablename__ = "reaches"
    reaction: Mapped[str] = mapped_column(String(128), primary_key=True)
    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)


class ClaimRow(Base):
    """Who drives a reaction of a client just now, and until when nobody else may."""

    __tablename__ = "claims"
    reaction: Mapped[str] = mapped_column(String(128), primary_key=True)
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
    taken_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LedgerRow(Base):
    """A decision, action or approval in a client's hash chain. `position` counts from 0 within the client."""

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("client", "idempotency_key", name="ledger_idempotency_unique"),)
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    recorded_at: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    idempotency_key: Mapped[str] = mapped_column(String(256))
    body: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(String(64))
    entry_hash: Mapped[str] = mapped_column(String(64))
    hash_version: Mapped[int] = mapped_column(Integer, server_default="1")


class LedgerHeadRow(Base):
    """How long a client's chain is and where it ends, so that a cut tail is seen; its Merkle state (hashes with
    commas), its newest checkpoint and the key it is signed with."""

    __tablename__ = "ledger_heads"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    entries: Mapped[int] = mapped_column(Integer)
    head_hash: Mapped[str] = mapped_column(String(64))
    peaks: Mapped[str | None] = mapped_column(Text, nullable=True)
    checkpoint: Mapped[str | None] = mapped_column(String(64), nullable=True)
    key_id: Mapped[str | None] = mapped_column(String(64), nullable=True)


class LedgerCheckpointRow(Base):
    """A signed statement of a client's ledger at one length (see `checkpoints.py`)."""

    __tablename__ = "ledger_checkpoints"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(Integer, primary_key=True)
    root: Mapped[str] = mapped_column(String(128))
    head_hash: Mapped[str] = mapped_column(String(128))
    signed_at: Mapped[str] = mapped_column(String(128))
    previous: Mapped[str] = mapped_column(String(128))
    key_id: Mapped[str] = mapped_column(String(128))
    signature: Mapped[str] = mapped_column(String(128))


class LedgerStubRow(Base):
    """A signed statement that stands for entries that were retired."""

    __tablename__ = "ledger_stubs"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(Integer, primary_key=True)
    root: Mapped[str] = mapped_column(String(128))
    head_hash: Mapped[str] = mapped_column(String(128))
    peaks: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(String(128))
    archive_sha256: Mapped[str] = mapped_column(String(128))
    signed_at: Mapped[str] = mapped_column(String(128))
    key_id: Mapped[str] = mapped_column(String(128))
    signature: Mapped[str] = mapped_column(String(128))


class ApprovalRow(Base):
    """A request for a person's consent to one action with exactly these arguments under one policy version."""

    __tablename__ = "approvals"
    __table_args__ = (Index("approvals_by_digest", "client", "digest"),)
    approval_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    client: Mapped[str] = mapped_column(String(64), index=True)
    action_id: Mapped[str] = mapped_column(String(128))
    agent_id: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(128))
    arguments: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)
    approver: Mapped[str | None] = mapped_column(String(128), nullable=True)
    reason: Mapped[str | None] = mapped_column(Text, nullable=True)
    agent_version: Mapped[str | None] = mapped_column(String(128), nullable=True)
    subject: Mapped[str | None] = mapped_column(String(256), nullable=True)
    quorum: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    approvers: Mapped[str | None] = mapped_column(Text, nullable=True)
    """JSON list of who may vote; null: anybody."""
    barred: Mapped[str | None] = mapped_column(Text, nullable=True)
    """JSON list of who may not: the requester and the agent's owner, where four eyes are wanted."""
    consumed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)
    consumed_by: Mapped[str | None] = mapped_column(String(64), nullable=True)
    """The decision that used the consent up."""
