"""Quick generations get a column and an index, and generations the memory that they need at most."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PLACE = ["kind", "status", "priority", "created_at", "id", "not_before"]


def upgrade() -> None:
    op.add_column("jobs", sa.Column("is_quick", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_jobs_quick", "jobs", _PLACE, sqlite_where=sa.text("is_quick = 1"), postgresql_where=sa.text("is_quick")
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_quick", table_name="jobs")
    op.drop_column("jobs", "memory_bytes")
    op.drop_column("jobs", "is_quick")
