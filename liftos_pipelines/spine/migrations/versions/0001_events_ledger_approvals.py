"""Events, handled reactions, the ledger with its heads and approvals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("causation_id", sa.String(64)),
        sa.Column("correlation_id", sa.String(64), nullable=False),
        sa.UniqueConstraint("event_id", name="events_event_id_unique"),
    )
    op.create_index("events_by_client_and_type", "events", ["client", "type", "seq"])
    op.create_index("ix_events_correlation_id", "events", ["correlation_id"])
    op.create_table(
        "handled",
        sa.Column("event_id", sa.String(64), primary_key=True),
        sa.Column("reaction", sa.String(128), primary_key=True),
        sa.Column("handled_at", MOMENT, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recorded_at", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("idempotency_key", sa.String(256), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("client", "idempotency_key", name="ledger_idempotency_unique"),
    )
    op.create_table(
        "ledger_heads",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("head_hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(64), primary_key=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("action_id", sa.String(128), nullable=False),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("action", sa.String(128), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("policy_version", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("decided_at", MOMENT),
        sa.Column("approver", sa.String(128)),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ix_approvals_client", "approvals", ["client"])


def downgrade() -> None:
    for name in ("approvals", "ledger_heads", "ledger", "handled", "events"):
        op.drop_table(name)
