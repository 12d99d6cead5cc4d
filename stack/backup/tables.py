"""Rows of every table as JSON lines, in a form that both databases read.

Tables are read as the database has them and not as this version declares them, so a backup of an earlier revision
loads into the tables of that revision. Timestamps are integers in both databases; bytes are base64.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any

from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Table,
    cast,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import REGCLASS

from shared.db.column_types import JSON_TYPE
from stack.backup.contents import EXCLUDED, BackupError, Part

Row = dict[str, Any]
_VERSION_TABLE = "alembic_version"
_AT_ONCE = 500


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads one state of the database, while others write."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            reader = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            reader.execute(text("SET LOCAL statement_timeout = 0"))
            reader.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield reader
        else:
            yield connection.execution_options(mimeo_read=True)


def revision(connection: Connection) -> str | None:
    """Revision of the schema; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def tables_of(connection: Connection) -> list[Table]:
    """The tables of a backup as the database has them; a table follows those to which it refers."""
    found = MetaData()
    found.reflect(connection)
    kept = [table for table in found.sorted_tables if table.name not in {_VERSION_TABLE, *EXCLUDED}]
    for table in kept:
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON_TYPE  # None is NULL, and not JSON's null
    return kept


def dump(connection: Connection, table: Table, target: IO[bytes], note: Callable[[Row], object]) -> Part:
    """Write the rows of a table. note: called with each row."""
    binary = [column.name for column in table.columns if isinstance(column.type, LargeBinary)]
    digest, count = hashlib.sha256(), 0
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(select(table).order_by(*table.primary_key.columns))
    for found in rows.mappings():
        row = dict(found)
        note(row)
        for name in binary:
            row[name] = None if row[name] is None else base64.b64encode(row[name]).decode()
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        target.write(line)
        digest.update(line)
        count += 1
    return Part(rows=count, sha256=digest.hexdigest())


def load(connection: Connection, table: Table, lines: Iterable[bytes], change: Callable[[Row], Row]) -> None:
    """Insert dumped rows into a table. change: applied to each. Raises BackupError for columns that it lacks."""
    binary = [column.name for column in table.columns if isinstance(column.type, LargeBinary)]
    left = iter(lines)
    while rows := [change(json.loads(line)) for line in islice(left, _AT_ONCE)]:
        unknown = {name for row in rows for name in row} - {column.name for column in table.columns}
        if unknown:
            raise BackupError(f"The table {table.name} has no column {', '.join(sorted(unknown))}.")
        for row in rows:
            for name in binary:
                row[name] = None if row[name] is None else base64.b64decode(row[name])
        connection.execute(insert(table), rows)


def prepare_load(connection: Connection) -> None:
    """Let rows of one table refer to later ones on SQLite until the end of the transaction; end no long statement."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    else:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def set_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """Let PostgreSQL number new rows after the loaded ones. SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.primary_key.columns:
            place: Mapping[str, str] = {"table": f'"{table.name}"', "column": column.name}
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), place)
            if sequence is not None:
                newest = func.max(column)
                statement = select(func.setval(cast(sequence, REGCLASS), newest))
                connection.execute(statement.having(newest.is_not(None)))


def row_counts(connection: Connection, tables: Iterable[Table]) -> dict[str, int]:
    """Tables that have rows, with their number."""
    counts = {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    return {name: count for name, count in counts.items() if count}


def excluded_tables(connection: Connection, names: set[str]) -> list[Table]:
    """Tables of these names that the database has, although backups do not have them."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in names)
    return list(found.sorted_tables)
