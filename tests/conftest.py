"""Fixtures that every part's tests share. Servers are real and started once; databases are fresh for each test."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session

from shared.broker import NullBroker
from shared.db.session import SessionFactory, make_engine, session_factory, transaction
from shared.db.tables import Base
from shared.model_types import REGISTRY, ModelType
from shared.settings import Settings
from shared.storage import Storage
from tests import servers
from tests.fourth_type.contract import SKETCH

DATABASES = ("sqlite", "postgresql")


def pytest_configure() -> None:
    """Have SIGINT work as in a terminal: shells start background jobs with it ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fourth_type(monkeypatch: pytest.MonkeyPatch) -> ModelType:
    """A further model type, in the registry for one test."""
    monkeypatch.setitem(REGISTRY, SKETCH.name, SKETCH)
    return SKETCH


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server's maintenance database."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: str) -> Iterator[str]:
    """URL of a database with all tables, which one test after another uses."""
    with _new_database(postgresql_server) as url:
        engine = create_engine(url)
        Base.metadata.create_all(engine)
        engine.dispose()
        yield url


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[servers.Valkey]:
    """A Valkey server; tests that stop it start it again."""
    with servers.valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: servers.Valkey) -> servers.Valkey:
    """A Valkey server with nothing in it."""
    valkey_server.flush()
    return valkey_server


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'empty.db'}"
        return
    with _new_database(request.getfixturevalue("postgresql_server")) as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite`, then `postgresql`: a test that uses a database runs on both."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """URL of a database with no rows; on PostgreSQL it has its tables, on SQLite `engine` makes them."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'mimeo.db'}"
    url: str = request.getfixturevalue("postgresql_tables")
    _empty(url)
    return url


@pytest.fixture(scope="session")
def object_store_server() -> Iterator[servers.ObjectStore]:
    """A server that speaks S3."""
    with servers.object_store() as server:
        yield server


@pytest.fixture
def object_store(object_store_server: servers.ObjectStore) -> Iterator[str]:
    """URL of a place of one's own in an object store."""
    with servers.s3_at(object_store_server.environment):
        yield f"{object_store_server.url}/{uuid4().hex}"


@pytest.fixture
def unreachable_store() -> Iterator[str]:
    """URL of an object store at whose address nobody listens."""
    nobody = servers.ObjectStore()
    with servers.s3_at(nobody.environment):
        yield nobody.url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a stack of its own: short leases, and nothing that is shared with other tests."""
    return Settings(
        home=tmp_path / "home",
        datasets_dir=None,  # what this machine has must not decide what a test sees
        database_url=SecretStr(database_url),
        redis_url=SecretStr(f"unix://{tmp_path / 'nobody.sock'}"),
        lease_s=2.0,
        heartbeat_s=0.3,
        control_poll_s=0.05,
        reconcile_s=0.05,
        notification_stale_s=1.0,
        backoff_s=0.05,
        backoff_max_s=0.2,
        stop_grace_s=5.0,
    )


@pytest.fixture
def engine(settings: Settings, database_kind: str) -> Iterator[Engine]:
    """An engine on a fresh database with all tables."""
    made = make_engine(settings)
    if database_kind == "sqlite":
        Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def database(engine: Engine) -> SessionFactory:
    """Makes sessions on a fresh database."""
    return session_factory(engine)


@pytest.fixture
def session(database: SessionFactory) -> Iterator[Session]:
    """One transaction on a fresh database, committed at the end of the test."""
    with transaction(database) as open_session:
        yield open_session


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """A store of its own in a local folder."""
    return Storage.open_url(settings.resolved_storage_url)


@pytest.fixture
def broker() -> NullBroker:
    """A broker that remembers."""
    return NullBroker()


def _empty(url: str) -> None:
    """Remove every row, and whatever connections an earlier test left behind."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    _execute(
        engine,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    _execute(engine, f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    engine.dispose()


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    """A PostgreSQL database that is there within the block; gives its URL."""
    name = f"test_{uuid4().hex}"
    with _maintenance(server) as maintenance:
        _execute(maintenance, f"CREATE DATABASE {name}")
        yield _url_of(server, name)
        _execute(maintenance, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _maintenance(server: str) -> Iterator[Engine]:
    engine = create_engine(_url_of(server, None), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _execute(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(statement))


def _url_of(server: str, name: str | None) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg")
    return (url.set(database=name) if name else url).render_as_string(hide_password=False)
