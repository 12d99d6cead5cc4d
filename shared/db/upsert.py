"""INSERT … ON CONFLICT DO UPDATE, which SQLite and PostgreSQL both have and SQLAlchemy spells once for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.models import Base


def upsert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, key: tuple[str, ...]) -> None:
    """Insert rows, all with the same columns; a row whose key is taken takes the new values (and keeps its id)."""
    if not rows:
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(list(rows))
    fixed = {*key, "id"}
    changes = {column: statement.excluded[column] for column in rows[0] if column not in fixed}
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changes))
