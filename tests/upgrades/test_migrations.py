"""Migrations only add, so that workers and APIs of the release before go on beside a newer schema.

A migration that does more is in ALLOWED, with what older code does there.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, UniqueConstraint, inspect

from migrations import runner
from shared.db.session import make_engine
from shared.settings import Settings

BEFORE = "0010"  # the release before
ALLOWED = {
    # An older API writes the default owner, `local`. It reads by name, and finds several rows once there are several
    # owners.
    "0011": "the primary keys of datasets and idempotency_keys gain the owner",
}


@dataclass(frozen=True)
class Schema:
    """What older code may rely on. required: columns that an INSERT has to name."""

    columns: dict[str, dict[str, str]]
    required: dict[str, set[str]]
    unique: dict[str, set[tuple[str, ...]]]


def schema_of(connection: Connection) -> Schema:
    found = MetaData()
    found.reflect(connection)
    tables = found.tables
    return Schema(
        columns={name: {column.name: str(column.type) for column in table.columns} for name, table in tables.items()},
        required={name: required(table) for name, table in tables.items()},
        unique={name: unique(connection, table) for name, table in tables.items()},
    )


def required(table: Table) -> set[str]:
    return {
        column.name
        for column in table.columns
        if not column.nullable and column.server_default is None and table.autoincrement_column is not column
    }


def unique(connection: Connection, table: Table) -> set[tuple[str, ...]]:
    """Columns of each constraint to which ON CONFLICT may refer."""
    keys = {tuple(sorted(column.name for column in table.primary_key.columns))}
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            keys.add(tuple(sorted(column.name for column in constraint.columns)))
    for index in inspect(connection).get_indexes(table.name):
        if index["unique"]:
            keys.add(tuple(sorted(name for name in index["column_names"] if name)))
    return keys


def problems(before: Schema, after: Schema) -> list[str]:
    """What older code would miss."""
    found = [f"the table {name} is gone" for name in before.columns.keys() - after.columns.keys()]
    for name, columns in before.columns.items():
        now = after.columns.get(name, {})
        found += [f"{name}.{each} is gone" for each in columns.keys() - now.keys()]
        types = {each: (columns[each], now.get(each, columns[each])) for each in columns}
        found += [f"{name}.{each} is {new}, was {old}" for each, (old, new) in types.items() if new != old]
        found += [f"{name}.{each} needs a value" for each in after.required.get(name, set()) - before.required[name]]
        lost = before.unique[name] - after.unique.get(name, set())
        found += [f"{name} is no longer unique by {', '.join(key)}" for key in lost]
    return found


def revisions() -> list[str]:
    """Revisions after the release before, the oldest first."""
    scripts = ScriptDirectory(str(Path(runner.__file__).parent))
    return [script.revision for script in reversed(list(scripts.iterate_revisions("head", BEFORE)))]


def test_migrations_after_the_release_before_only_add(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    runner.upgrade(settings, BEFORE)
    engine = make_engine(settings)
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        before = schema_of(connection)
    for revision in revisions():
        runner.upgrade(settings, revision)
        with engine.connect() as connection:
            after = schema_of(connection)
        found[revision] = problems(before, after)
        before = after
    engine.dispose()

    assert {revision for revision, lines in found.items() if lines} == set(ALLOWED), found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DROP TABLE ready_models", "the table ready_models is gone"),
        ("ALTER TABLE jobs DROP COLUMN warnings", "jobs.warnings is gone"),
        ("ALTER TABLE jobs ADD COLUMN new TEXT NOT NULL DEFAULT ''", None),
        ("ALTER TABLE jobs ADD COLUMN new TEXT", None),
        ("DROP TABLE exports; CREATE TABLE exports (model_id VARCHAR(32), extra INTEGER NOT NULL)",
         "exports.extra needs a value"),
    ],
)  # fmt: skip
def test_change_that_older_code_cannot_work_beside_is_found(change: str, problem: str | None, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    runner.upgrade(settings, BEFORE)
    engine = make_engine(settings)
    with engine.connect() as connection:
        before = schema_of(connection)
    with engine.begin() as connection:
        for statement in change.split(";"):
            connection.exec_driver_sql(statement)
        after = schema_of(connection)
    engine.dispose()

    found = problems(before, after)
    assert problem in found if problem else found == []
