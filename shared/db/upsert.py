"""INSERT … ON CONFLICT DO UPDATE, which SQLite and PostgreSQL both have and SQLAlchemy spells once for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.models import Base


def upsert(
    session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, key: tuple[str, ...], written_at: str
) -> None:
    """Insert rows, all with the same columns; a row whose key is taken takes the new values (and keeps its id).

    written_at: the column that says when, by the database's clock. Rows hold plain values only, so that the statement
    is the same for any number of them, and compiled once.
    """
    if not rows:
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table.__table__).values({written_at: db_now()})
    changed = {*rows[0], written_at} - {*key, "id"}
    changes = {column: statement.excluded[column] for column in sorted(changed)}
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changes), list(rows))
