"""Trainings may be preempted."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("preemptible", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("preempted_by", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "preempted_by")
    op.drop_column("jobs", "preemptible")
