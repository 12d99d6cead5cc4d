"""The queue is fair between owners: their use, the start of an attempt, and indexes by owner."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_ORDER = ["kind", "share", "priority", "created_at", "id", "not_before"]
_IS_QUEUED = "status = 'queued'"
_IS_HELD = "status IN ('cancelling', 'pausing', 'running')"


def upgrade() -> None:
    op.create_table(
        "owner_use",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("charged_at", sa.BigInteger(), nullable=False),  # milliseconds since 1970 UTC
        sa.PrimaryKeyConstraint("owner", "kind", name="pk_owner_use"),
    )
    op.add_column("jobs", sa.Column("share", sa.String(length=64), nullable=False, server_default="local"))
    op.execute("UPDATE jobs SET share = coalesce(owner, '') WHERE owner IS NULL OR owner <> 'local'")
    op.add_column("jobs", sa.Column("claimed_at", sa.BigInteger(), nullable=True))
    _create_index("ix_jobs_share", _ORDER, _IS_QUEUED, _IS_QUEUED)
    _create_index("ix_jobs_quick_share", _ORDER, f"{_IS_QUEUED} AND is_quick = 1", f"{_IS_QUEUED} AND is_quick")
    _create_index("ix_jobs_held", ["kind", "share", "claimed_at"], _IS_HELD, _IS_HELD)


def _create_index(name: str, columns: list[str], on_sqlite: str, on_postgresql: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(on_sqlite), postgresql_where=sa.text(on_postgresql))


def downgrade() -> None:
    for name in ("ix_jobs_held", "ix_jobs_quick_share", "ix_jobs_share"):
        op.drop_index(name, table_name="jobs")
    op.drop_column("jobs", "claimed_at")
    op.drop_column("jobs", "share")
    op.drop_table("owner_use")
