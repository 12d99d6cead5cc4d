"""Warnings of a job, and the configuration of a checkpoint's model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("warnings", _JSON, nullable=True))
    op.add_column("checkpoints", sa.Column("config", _JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "config")
    op.drop_column("jobs", "warnings")
