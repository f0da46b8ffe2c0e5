"""Signed checkpoints and stubs of the ledger, its hash version and Merkle state, and guards against changing it."""

import sqlalchemy as sa
from alembic import op

from liftos_pipelines.spine.ledger_guards import arm, disarm

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("hash_version", sa.Integer, nullable=False, server_default="1"))
    # Unknown for ledgers that are there already: the first checkpoint verifies them, then adds it.
    op.add_column("ledger_heads", sa.Column("peaks", sa.Text))
    op.add_column("ledger_heads", sa.Column("checkpoint", sa.String(64)))
    op.add_column("ledger_heads", sa.Column("key_id", sa.String(64)))
    op.create_table(
        "ledger_checkpoints",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.String(128), nullable=False) for name in ("root", "head_hash", "signed_at", "previous")),
        *(sa.Column(name, sa.String(128), nullable=False) for name in ("key_id", "signature")),
    )
    op.create_table(
        "ledger_stubs",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.String(128), nullable=False) for name in ("root", "head_hash", "before")),
        sa.Column("peaks", sa.Text, nullable=False),
        *(sa.Column(name, sa.String(128), nullable=False) for name in ("archive_sha256", "signed_at")),
        *(sa.Column(name, sa.String(128), nullable=False) for name in ("key_id", "signature")),
    )
    arm(op.get_bind())


def downgrade() -> None:
    disarm(op.get_bind())
    op.drop_table("ledger_stubs")
    op.drop_table("ledger_checkpoints")
    for name in ("key_id", "checkpoint", "peaks"):
        op.drop_column("ledger_heads", name)
    op.drop_column("ledger", "hash_version")
