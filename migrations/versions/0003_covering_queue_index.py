"""The queue's index holds all that decides who is next: finding and counting waiting jobs reads nothing else."""

from alembic import op

revision = "0003"
down_revision = "0002"

_PLACE = ["kind", "status", "priority", "created_at", "id"]


def upgrade() -> None:
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.create_index("ix_jobs_queue", "jobs", [*_PLACE, "not_before"])


def downgrade() -> None:
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.create_index("ix_jobs_queue", "jobs", _PLACE)
