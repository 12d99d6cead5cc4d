"""Alembic's hook: runs the migrations on the connection that `migrations.runner` opened, inside its transaction."""

from alembic import context
from sqlalchemy import Connection

from shared.db.tables import Base
from shared.failpoints import failpoint

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite rolls back DDL, although Alembic assumes that it does not
    render_as_batch=True,  # SQLite alters columns by copying the table
    on_version_apply=lambda **_: failpoint("migrate.revision"),
)
context.run_migrations()
