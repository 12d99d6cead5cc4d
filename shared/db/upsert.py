"""INSERT … ON CONFLICT for SQLite and PostgreSQL, for which SQLAlchemy has two constructs."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Base


def upsert(
    session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, key: tuple[str, ...], written_at: str
) -> None:
    """Insert rows, all with the same columns; an existing row with the same key gets the new values and keeps its id.

    written_at: the column that gets the time of the database's clock. Rows hold plain values only, so that one
    compiled statement serves any number of them.
    """
    if rows:
        statement = _statement(session.get_bind().dialect.name, table, tuple(rows[0]), key, written_at)
        session.execute(statement, list(rows))


def add_missing(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, written_at: str) -> None:
    """Insert rows, all with the same columns; an existing row with the same key stays as it is."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table.__table__).values({written_at: db_now()}).on_conflict_do_nothing()
    session.execute(statement, list(rows))


@cache
def _statement(
    dialect_name: str, table: type[Base], columns: tuple[str, ...], key: tuple[str, ...], written_at: str
) -> Insert:
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    statement = dialect.insert(table.__table__).values({written_at: db_now()})
    changed = {*columns, written_at} - {*key, "id"}
    changes = {column: statement.excluded[column] for column in sorted(changed)}
    complete: Insert = statement.on_conflict_do_update(index_elements=list(key), set_=changes)
    return complete
