"""Pending deletions of storage folders, and indexes of idempotency keys by job and by age."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "garbage",
        sa.Column("storage_key", sa.String(length=300), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("storage_key", name="pk_garbage"),
    )
    op.create_index("ix_garbage_due", "garbage", ["due_at"])
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_job", "idempotency_keys", ["job_id"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_job", table_name="idempotency_keys")
    op.drop_index("ix_idempotency_keys_created", table_name="idempotency_keys")
    op.drop_index("ix_garbage_due", table_name="garbage")
    op.drop_table("garbage")
