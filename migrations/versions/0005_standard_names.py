"""Columns and tables get standard names: notified_at, fencing_token, pending_deletions."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
contract = True  # code of earlier revisions uses the earlier names


def upgrade() -> None:
    op.alter_column("jobs", "hinted_at", new_column_name="notified_at")
    op.alter_column("jobs", "lease_token", new_column_name="fencing_token")
    _move("garbage", "pending_deletions")


def downgrade() -> None:
    _move("pending_deletions", "garbage")
    op.alter_column("jobs", "fencing_token", new_column_name="lease_token")
    op.alter_column("jobs", "notified_at", new_column_name="hinted_at")


def _move(source: str, target: str) -> None:
    """Copy the rows into a new table. SQLite cannot rename the primary key's constraint in place."""
    op.create_table(
        target,
        sa.Column("storage_key", sa.String(length=300), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("storage_key", name=f"pk_{target}"),
    )
    columns = "storage_key, due_at, created_at"
    op.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608  constant names
    op.drop_index(f"ix_{source}_due", table_name=source)
    op.drop_table(source)
    op.create_index(f"ix_{target}_due", target, ["due_at"])
