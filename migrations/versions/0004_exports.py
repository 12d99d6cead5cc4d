"""Exports of models, each with the job that creates its files."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("model_id", sa.String(length=32), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_exports_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_exports_model_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", "format", name="pk_exports"),
    )
    op.create_index("ix_exports_job", "exports", ["job_id"])


def downgrade() -> None:
    op.drop_index("ix_exports_job", table_name="exports")
    op.drop_table("exports")
