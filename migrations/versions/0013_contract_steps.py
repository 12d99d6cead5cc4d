"""The newest contract step that each worker's code knows (shared/db/contract_steps.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("workers", sa.Column("contract_step", sa.String(length=8), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "contract_step")
