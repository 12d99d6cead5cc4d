"""Engines and transactions. Sessions are short: none stays open across network calls, generation or an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from shared.db.fair_lock import FairLock
from shared.errors import SetupError
from shared.settings import Settings

try:
    # Mimeo installs its own SQLite, because most systems have a version with the write-ahead log defect below.
    from pysqlite3 import dbapi2 as sqlite
except ImportError:
    import sqlite3 as sqlite

SessionFactory = sessionmaker[Session]

# WAL can corrupt a database when two connections checkpoint at once, in every SQLite from 3.7.0 to 3.51.2.
_WAL_IS_SOUND = sqlite.sqlite_version_info >= (3, 51, 3)
_BUSY_TIMEOUT_MS = 10_000
_READ = {"mimeo_read": True}
_write_locks: WeakKeyDictionary[Engine, FairLock] = WeakKeyDictionary()

# These detect a half-open connection within seconds and end the row locks of a stopped process.
_POSTGRESQL_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c statement_timeout=60s -c lock_timeout=15s -c idle_in_transaction_session_timeout=30s",
}


def make_engine(settings: Settings) -> Engine:
    """The engine of `settings.resolved_database_url`. It opens no connection; SQLite's folder is created.

    Raises SetupError for a URL that is neither SQLite nor PostgreSQL, or a folder that cannot be created.
    """
    url = database_url(settings)
    # Enough for the threads of the API, and for both heartbeats of a worker, without waiting for a connection.
    pool = {"pool_size": settings.api_threads + 2, "max_overflow": 8, "pool_timeout": 10}
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, connect_args=dict(_POSTGRESQL_CONNECT), **pool)
    _make_folder(url)
    engine = create_engine(url, module=sqlite, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    _write_locks[engine] = FairLock()
    return engine


def database_url(settings: Settings) -> URL:
    """The parsed database URL, with psycopg 3 as PostgreSQL's driver."""
    try:
        url = make_url(settings.resolved_database_url)
    except ArgumentError:
        raise SetupError("MIMEO_DATABASE_URL is not a database URL; use sqlite:///PATH or postgresql://…") from None
    backend = url.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url
    raise SetupError(f"MIMEO_DATABASE_URL names {backend}; use sqlite:///PATH (a file) or postgresql://…")


def session_factory(engine: Engine) -> SessionFactory:
    """Makes sessions whose objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def transaction(factory: SessionFactory) -> Iterator[Session]:
    """One write transaction: commits at the end of the block, rolls back on an exception.

    On SQLite the write lock is taken at once (`BEGIN IMMEDIATE`). A read lock that is upgraded later fails without
    waiting when another transaction has written meanwhile. Threads of one engine write in order of arrival: SQLite
    lets one that waits sleep for up to 100 ms while others overtake it.
    """
    lock = _write_locks.get(factory.kw["bind"])
    with lock.held(_BUSY_TIMEOUT_MS / 1000) if lock else nullcontext(), factory() as session, session.begin():
        yield session


@contextmanager
def reading(factory: SessionFactory) -> Iterator[Session]:
    """One read-only transaction; on SQLite it does not queue behind writers that have not committed."""
    with factory() as session:
        session.connection(execution_options=_READ)
        yield session


@contextmanager
def read_connection(factory: SessionFactory) -> Iterator[Connection]:
    """One read-only transaction without a session, for frequent queries; it takes half the time of a session."""
    engine: Engine = factory.kw["bind"]
    with engine.connect() as connection:
        yield connection.execution_options(**_READ)


def is_transient(error: BaseException) -> bool:
    """Whether a database error is temporary (no connection, a lock, a restart) and a later try may succeed."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return isinstance(error, PoolTimeout)


def _make_folder(url: URL) -> None:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The database's folder {folder} cannot be created: {error.strerror}.") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions implicitly
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA journal_mode={'WAL' if _WAL_IS_SOUND else 'TRUNCATE'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.create_function("power", 2, pow, deterministic=True)  # some systems' own SQLite has none
    connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows ASCII only


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def _begin_sqlite(connection: Connection) -> None:
    is_read = connection.get_execution_options().get("mimeo_read", False)
    connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")
