"""Budgets with reservations, leases on targets, judged calls, and votes on approvals that can be used once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)
TABLES = ("budget_pots", "reservations", "leases", "lease_tokens", "coordination", "gate_calls", "approval_votes")


def upgrade() -> None:
    op.create_table(
        "budget_pots",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("pot", sa.String(256), primary_key=True),
        sa.Column("limit_micro", sa.BigInteger, nullable=False),
        sa.Column("settled_micro", sa.BigInteger, nullable=False),
        sa.Column("reserved_micro", sa.BigInteger, nullable=False),
        sa.Column("overrun_micro", sa.BigInteger, nullable=False),
        sa.Column("exhausted_at", MOMENT),
    )
    op.create_table(
        "reservations",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("decision_id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("pots", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("actual_micro", sa.BigInteger),
        sa.Column("overrun_micro", sa.BigInteger, nullable=False),
        sa.Column("reserved_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
    )
    op.create_index("reservations_by_end", "reservations", ["client", "status", "expires_at"])
    op.create_table(
        "leases",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("decision_id", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(256), primary_key=True),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("incident", sa.String(128)),
        sa.Column("tool", sa.String(128), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
    )
    op.create_index("leases_by_target", "leases", ["client", "target", "status"])
    op.create_table(
        "lease_tokens",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(256), primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "coordination",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("incident", sa.String(128)),
        sa.Column("outcome", sa.String(24), nullable=False),
        sa.Column("other", sa.String(64)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.UniqueConstraint("client", "decision_id", "target", "outcome", name="coordination_once"),
    )
    op.create_table(
        "gate_calls",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("tool", sa.String(128)),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("cost", sa.String(40)),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.Column("result", sa.Text),
        sa.Column("ended_at", MOMENT),
        sa.UniqueConstraint("client", "decision_id", "attempt", name="gate_calls_once"),
    )
    op.create_index("gate_calls_by_run", "gate_calls", ["client", "run_id", "seq"])
    op.create_index("gate_calls_in_order", "gate_calls", ["client", "seq"])
    op.create_table(
        "approval_votes",
        sa.Column("approval_id", sa.String(64), primary_key=True),
        sa.Column("voter", sa.String(128), primary_key=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("voted_at", MOMENT, nullable=False),
    )
    # A request of before asks for one person's word, as it did.
    for column in (
        sa.Column("agent_version", sa.String(128)),
        sa.Column("subject", sa.String(256)),
        sa.Column("quorum", sa.Integer, nullable=False, server_default="1"),
        sa.Column("approvers", sa.Text),
        sa.Column("barred", sa.Text),
        sa.Column("consumed_at", MOMENT),
        sa.Column("consumed_by", sa.String(64)),
    ):
        op.add_column("approvals", column)
    op.create_index("approvals_by_digest", "approvals", ["client", "digest"])


def downgrade() -> None:
    op.drop_index("approvals_by_digest", "approvals")
    with op.batch_alter_table("approvals") as table:
        for name in ("agent_version", "subject", "quorum", "approvers", "barred", "consumed_at", "consumed_by"):
            table.drop_column(name)
    for name in reversed(TABLES):
        op.drop_table(name)
