"""Indexes for live streams: jobs by their last change, and points in the order of their writing."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index("ix_jobs_updated", "jobs", ["updated_at"])
    op.create_index("ix_metrics_job_id", "metrics", ["job_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_metrics_job_id", table_name="metrics")
    op.drop_index("ix_jobs_updated", table_name="jobs")
