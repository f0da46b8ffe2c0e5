"""Deliveries with attempts and dead letters, how far each reaction has looked, and claims."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_index("events_by_type", "events", ["type", "seq"])
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.String(64), primary_key=True),
        sa.Column("reaction", sa.String(128), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("correlation_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failed_at", MOMENT),
        sa.Column("next_attempt_at", MOMENT),
        sa.Column("reason", sa.Text),
        sa.Column("last_run", sa.String(64)),
    )
    op.create_index("deliveries_by_place", "deliveries", ["reaction", "status", "seq"])
    op.create_index("deliveries_by_chain", "deliveries", ["reaction", "correlation_id", "seq"])
    op.create_table(
        "reaches",
        sa.Column("reaction", sa.String(128), primary_key=True),
        sa.Column("type", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("reaction", sa.String(128), primary_key=True),
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
    )


def downgrade() -> None:
    for name in ("claims", "reaches", "deliveries"):
        op.drop_table(name)
    op.drop_index("events_by_type", "events")
