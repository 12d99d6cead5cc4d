"""Uploaded datasets get a description, a version and the time of their last change."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("datasets", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("datasets", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("datasets", sa.Column("updated_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in ("updated_at", "version", "description"):
        op.drop_column("datasets", name)
