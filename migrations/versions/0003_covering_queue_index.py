"""The index of the queue covers the order of jobs: a claim and a count of waiting jobs read no other page."""

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
