"""Trainings ask for a device and for labels of workers, and training workers hold devices."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "placements",
        sa.Column("name", sa.String(length=700), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_placements"),
    )
    op.create_table(
        "device_leases",
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "slot", name="pk_device_leases"),
        sa.UniqueConstraint("worker_id", name="uq_device_leases_worker_id"),
    )
    op.add_column("jobs", sa.Column("placement", sa.String(length=700), nullable=False, server_default="any"))
    op.add_column("jobs", sa.Column("threads", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("batch_parts", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("workers", sa.Column("labels", sa.String(length=700), nullable=True))
    op.add_column("workers", sa.Column("machine", sa.String(length=200), nullable=True))
    op.add_column("workers", sa.Column("device_id", sa.String(length=200), nullable=True))


def downgrade() -> None:
    for name in ("device_id", "machine", "labels"):
        op.drop_column("workers", name)
    for name in ("batch_parts", "threads", "placement"):
        op.drop_column("jobs", name)
    op.drop_table("device_leases")
    op.drop_table("placements")
