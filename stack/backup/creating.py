"""Makes a backup of a stack that may be running."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, inspect

from shared.db.session import SessionFactory, make_engine, session_factory, transaction
from shared.db.tables import StorageHold
from shared.services import storage_holds
from shared.settings import Settings
from shared.storage import Storage
from shared.version import VERSION
from stack.backup import archive, tables
from stack.backup.archive import Writer
from stack.backup.contents import (
    FILES,
    MANIFEST,
    BackupError,
    Lost,
    Manifest,
    Part,
    StoredFile,
    table_path,
)
from stack.backup.files import NamedFiles, copy, expected_files

_RENEW_S = storage_holds.HOLD_S / 10


def create(settings: Settings, target: Path) -> Manifest:
    """Write a backup; returns its manifest. Files that storage has lost are in `lost`.

    Raises BackupError, SetupError, OSError, SQLAlchemyError; nothing is left at the target then.
    """
    storage = Storage.open_url(settings.resolved_storage_url)
    engine = make_engine(settings)
    try:
        with archive.writing(target) as writer:
            with engine.connect() as connection:
                if tables.revision(connection) is None:
                    raise BackupError("The database is empty; there is nothing to back up.")
                if not inspect(connection).has_table(StorageHold.__tablename__):
                    raise BackupError(
                        "The database has the schema of an earlier version. Start this version once, or back up with "
                        "the version that wrote it."
                    )
            with _held(session_factory(engine)) as hold:
                return _write(engine, storage, writer, hold)
    finally:
        engine.dispose()


def _write(engine: Engine, storage: Storage, writer: Writer, hold: "_Renewal") -> Manifest:
    named = NamedFiles()
    parts: dict[str, Part] = {}
    with tables.snapshot(engine) as connection:
        revision = tables.revision(connection)
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        for table in tables.tables_of(connection):
            with writer.part(table_path(table.name)) as part:
                parts[table.name] = tables.dump(connection, table, part, partial(named.note, table.name))
            hold()
    lost: list[Lost] = []
    copied = list(_copy_files(storage, named, writer, lost, hold))
    hold(now=True)  # raises where files may have been removed meanwhile
    manifest = Manifest(
        mimeo=VERSION,
        revision=str(revision),
        created_at=created_at,
        database=engine.dialect.name,
        tables=parts,
        files=_write_list(writer, copied),
        size=sum(file.size for file in copied),
        lost=lost,
    )
    with writer.part(MANIFEST) as part:
        part.write(manifest.sealed())
    return manifest


def _copy_files(
    storage: Storage, named: NamedFiles, writer: Writer, lost: list[Lost], hold: "_Renewal"
) -> Iterator[StoredFile]:
    for expected in expected_files(storage, named, lost):
        hold()
        result = copy(storage, expected, writer, hold)
        if isinstance(result, Lost):
            lost.append(result)
        else:
            yield result


def _write_list(writer: Writer, files: list[StoredFile]) -> Part:
    digest = hashlib.sha256()
    with writer.part(FILES) as part:
        for file in files:
            line = json.dumps(file.model_dump(), separators=(",", ":")).encode() + b"\n"
            part.write(line)
            digest.update(line)
    return Part(rows=len(files), sha256=digest.hexdigest())


@contextmanager
def _held(sessions: SessionFactory) -> Iterator["_Renewal"]:
    """Hold the files in storage within the block. Yields a function that renews the hold when it is time."""
    with transaction(sessions) as session:
        hold_id = storage_holds.take(session)
    try:
        with transaction(sessions) as session:
            storage_holds.fence(session)
        yield _Renewal(sessions, hold_id)
    finally:
        with transaction(sessions) as session:
            storage_holds.end(session, hold_id)


class _Renewal:
    """Renews a hold at most every _RENEW_S."""

    def __init__(self, sessions: SessionFactory, hold_id: str) -> None:
        self._sessions, self._hold_id = sessions, hold_id
        self._renewed_at = time.monotonic()

    def __call__(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._renewed_at < _RENEW_S:
            return
        with transaction(self._sessions) as session:
            storage_holds.renew(session, self._hold_id)
        self._renewed_at = time.monotonic()
