"""Restores a backup into an empty stack: everything is verified first, then files, then rows in one transaction."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, Table, delete, insert

from shared.db.session import make_engine
from shared.settings import Settings
from shared.storage import Storage
from stack.backup import archive, resuming, tables
from stack.backup.archive import Reader, pieces
from stack.backup.contents import (
    FILES,
    MANIFEST,
    SEEDED,
    BackupError,
    Manifest,
    Part,
    StoredFile,
    file_path,
    parse_manifest,
    table_path,
)

_ROOT = Path(__file__).resolve().parents[2]
STORED_IN = ("jobs", "datasets")  # folders of storage


def verify(source: Path) -> Manifest:
    """Compare every part of a backup with its checksum. Raises BackupError, OSError."""
    with archive.reading(source) as reader:
        return _verified(reader)


def restore(settings: Settings, source: Path) -> Manifest:
    """Restore a backup. Jobs that were running are queued, and continue from their newest checkpoint.

    Raises BackupError for a damaged backup or a stack that is not empty, SetupError, OSError, SQLAlchemyError. A
    restore that was cut off has written no row, and can be repeated.
    """
    storage = Storage.open_url(settings.resolved_storage_url)
    engine = make_engine(settings)
    try:
        with archive.reading(source) as reader:
            manifest = _verified(reader)
            files = list(_files(reader, manifest))
            _check_empty(engine, storage, {file.key for file in files})
            is_newest = _migrate_to(settings, engine, manifest.revision)
            for file in files:
                _put(storage, reader, file)
            _load(engine, reader, manifest)
        if not is_newest:
            _migrate(settings, "upgrade", "head")
    finally:
        engine.dispose()
    return manifest


def _verified(reader: Reader) -> Manifest:
    with reader.part(MANIFEST) as stream:
        manifest = parse_manifest(b"".join(pieces(stream, MANIFEST)))
    for name, part in (
        *((table_path(table), part) for table, part in manifest.tables.items()),
        (FILES, manifest.files),
    ):
        _check(reader, name, part.sha256)
    for file in _files(reader, manifest):
        _check(reader, file_path(file.key), file.sha256)
    return manifest


def _check(reader: Reader, name: str, sha256: str) -> None:
    if archive.digest(reader, name)[0] != sha256:
        raise BackupError(f"{name} of the backup has changed since it was written.")


def _files(reader: Reader, manifest: Manifest) -> Iterator[StoredFile]:
    yield from (StoredFile.model_validate_json(line) for line in _lines(reader, FILES, manifest.files))


def _lines(reader: Reader, name: str, part: Part) -> Iterator[bytes]:
    count = 0
    with reader.part(name) as stream:
        for line in stream:
            count += 1
            yield line
    if count != part.rows:
        raise BackupError(f"{name} of the backup has {count} lines instead of {part.rows}.")


# --- the empty stack --------------------------------------------------------------------------------------------


def _check_empty(engine: Engine, storage: Storage, keys: set[str]) -> None:
    with engine.connect() as connection:
        connection.execution_options(mimeo_read=True)
        filled = [table for table in tables.tables_of(connection) if table.name not in SEEDED]
        found = tables.row_counts(connection, [*filled, *_workers(connection)])
    if found:
        rows = ", ".join(f"{count:,} in {name}" for name, count in sorted(found.items()))
        raise BackupError(
            f"The database is not empty (rows: {rows}). Restore before the first start, into a new MIMEO_HOME or "
            "MIMEO_DATABASE_URL."
        )
    # Files of a restore that was cut off are those of the same backup.
    for folder in STORED_IN:
        for name in storage.list_names(folder):
            if f"{folder}/{name}" not in keys:
                raise BackupError(
                    f"The storage is not empty: it has {folder}/{name}, which the backup has not. Restore into a new "
                    "MIMEO_HOME or MIMEO_STORAGE_URL."
                )


def _workers(connection: Connection) -> list[Table]:
    """The table of workers: while there are any, the stack runs."""
    return tables.excluded_tables(connection, {"workers"})


def _migrate_to(settings: Settings, engine: Engine, revision: str) -> bool:
    """Give the empty database the revision of the backup, so that its rows fit and migrate with it.

    Returns whether it is the newest revision.
    """
    _migrate(settings, "upgrade", "head")
    with engine.connect() as connection:
        newest = tables.revision(connection)
    if newest != revision:
        _migrate(settings, "downgrade", revision)
    return newest == revision


def _migrate(settings: Settings, command: str, revision: str) -> None:
    """Run the migrations as their own program. Raises BackupError."""
    search_path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "PYTHONPATH": search_path,
    }
    environment.pop("MIMEO_DATABASE_PASSWORD_FILE", None)  # the URL has its password
    done = subprocess.run(
        [sys.executable, "-m", "migrations", command, revision],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no reason given"]
        reason = lines[-1].removeprefix("mimeo: ")
        raise BackupError(f"The database cannot be migrated to revision {revision}: {reason}")


# --- files and rows ---------------------------------------------------------------------------------------------


def _put(storage: Storage, reader: Reader, file: StoredFile) -> None:
    def content(stream: IO[bytes]) -> Iterator[bytes]:
        yield from pieces(stream, file.key)

    with reader.part(file_path(file.key)) as stream:
        storage.put_pieces(content(stream), file.key)


def _load(engine: Engine, reader: Reader, manifest: Manifest) -> None:
    with engine.begin() as connection:
        tables.prepare_load(connection)
        known = {table.name: table for table in tables.tables_of(connection)}
        if missing := manifest.tables.keys() - known.keys():
            raise BackupError(f"The revision {manifest.revision} has no table {', '.join(sorted(missing))}.")
        for name in SEEDED & known.keys():
            connection.execute(delete(known[name]))
        events = resuming.Events()
        for name, table in known.items():  # rows precede those that refer to them
            if part := manifest.tables.get(name):
                lines = _lines(reader, table_path(name), part)
                change = partial(resuming.changed, events=events) if name == "jobs" else _unchanged
                tables.load(connection, table, lines, change)
        tables.set_sequences(connection, known.values())
        if events.rows:
            connection.execute(insert(known["job_events"]), events.rows)


def _unchanged(row: tables.Row) -> tables.Row:
    return row
