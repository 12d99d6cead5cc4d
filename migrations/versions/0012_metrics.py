"""Counters for `/metrics`, and what workers report of their speed, memory and disk."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("steps_per_s", sa.Double()),
    ("memory_bytes", sa.BigInteger()),
    ("memory_total_bytes", sa.BigInteger()),
    ("disk_free_bytes", sa.BigInteger()),
)


def upgrade() -> None:
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "kind", "label", name="pk_metric_totals"),
    )
    # Counting begins with the next event: earlier ones would appear as one burst.
    op.execute(
        "INSERT INTO metric_totals (name, kind, label, value, updated_at) "
        "SELECT 'event_cursor', '', '', COALESCE(MAX(id), 0), 0 FROM job_events"
    )
    for name, of_type in _COLUMNS:
        op.add_column("workers", sa.Column(name, of_type, nullable=True))


def downgrade() -> None:
    for name, _ in reversed(_COLUMNS):
        op.drop_column("workers", name)
    op.drop_table("metric_totals")
