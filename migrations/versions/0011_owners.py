"""Owners, their API keys and browser sessions; jobs, models, datasets and idempotency keys belong to an owner."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

OWNER = sa.String(length=64)
TIMESTAMP = sa.BigInteger()  # milliseconds since 1970 UTC
_LISTS = {"id": ["kind", "id"], "status_id": ["kind", "status", "id"], "model_type_id": ["kind", "model_type", "id"]}


def upgrade() -> None:
    op.create_table(
        "owners",
        sa.Column("name", OWNER, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_owners"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("owner", OWNER, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=100), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=True),
        sa.Column("revoked_at", TIMESTAMP, nullable=True),
        sa.ForeignKeyConstraint(["owner"], ["owners.name"], name="fk_api_keys_owner"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    op.create_table(
        "login_sessions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_login_sessions_key_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256", name="pk_login_sessions"),
    )
    op.create_index("ix_login_sessions_key", "login_sessions", ["key_id"])
    op.create_index("ix_login_sessions_expires", "login_sessions", ["expires_at"])
    # Rows that exist, and rows of an older release beside this schema, belong to the owner `local`.
    op.add_column("jobs", sa.Column("owner", OWNER, nullable=True, server_default="local"))
    op.add_column("models", sa.Column("owner", OWNER, nullable=True, server_default="local"))
    _share_ready_models()
    for name, columns in _LISTS.items():
        op.drop_index(f"ix_jobs_kind_{name}", table_name="jobs")
        op.create_index(f"ix_jobs_owner_{name}", "jobs", ["owner", *columns])
    for table, key in (("datasets", "name"), ("idempotency_keys", "key")):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("owner", OWNER, nullable=False, server_default="local"))
            batch.drop_constraint(f"pk_{table}", type_="primary")
            batch.create_primary_key(f"pk_{table}", ["owner", key])


def _share_ready_models() -> None:
    """Ready-made models belong to every owner."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    source = "json_extract(spec, '$.source')" if is_sqlite else "spec->>'source'"
    op.execute(f"UPDATE jobs SET owner = NULL WHERE kind = 'import' AND {source} = 'ready-made'")  # noqa: S608
    op.execute("UPDATE models SET owner = NULL WHERE job_id IN (SELECT id FROM jobs WHERE owner IS NULL)")


def downgrade() -> None:
    for table, key in (("datasets", "name"), ("idempotency_keys", "key")):
        op.execute(f"DELETE FROM {table} WHERE owner <> 'local'")  # noqa: S608  their names may be taken
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"pk_{table}", type_="primary")
            batch.create_primary_key(f"pk_{table}", [key])
            batch.drop_column("owner")
    for name, columns in _LISTS.items():
        op.drop_index(f"ix_jobs_owner_{name}", table_name="jobs")
        op.create_index(f"ix_jobs_kind_{name}", "jobs", columns)
    op.drop_column("models", "owner")
    op.drop_column("jobs", "owner")
    op.drop_table("login_sessions")
    op.drop_table("api_keys")
    op.drop_table("owners")
