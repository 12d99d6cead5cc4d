"""Fixtures of all tests. Servers are real and start once; each test gets a fresh database."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from shared.broker import NullBroker
from shared.db.session import SessionFactory, make_engine, session_factory, transaction
from shared.db.tables import Base
from shared.model_types import REGISTRY, ModelType
from shared.settings import Settings
from shared.storage import Storage
from tests import servers
from tests.fourth_type.contract import SKETCH

DATABASES = ("sqlite", "postgresql")

# By default Hypothesis fails examples of more than 200 ms, and inputs that are slow to generate.
hypothesis.settings.register_profile(
    "any-speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-speed")


def pytest_configure() -> None:
    """Restore SIGINT: shells start background jobs with it ignored, and child processes inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


_engines: set[Engine] = set()


@event.listens_for(Engine, "engine_connect")
def _connected(connection: Connection) -> None:
    _engines.add(connection.engine)


@pytest.fixture(autouse=True)
def connections_closed() -> Iterator[None]:
    """Close the connections of each engine that the test used first. psycopg warns when it collects an open one."""
    wider = set(_engines)
    yield
    for engine in _engines - wider:
        if isinstance(engine.pool, QueuePool) and engine.pool.checkedout():
            continue
        engine.dispose()
        _engines.discard(engine)


@pytest.fixture
def fourth_type(monkeypatch: pytest.MonkeyPatch) -> ModelType:
    """A fourth model type, in the registry for one test."""
    monkeypatch.setitem(REGISTRY, SKETCH.name, SKETCH)
    return SKETCH


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the PostgreSQL variant of `slow_on_postgresql` tests as slow."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if parameters.get("database_kind") == "postgresql" and item.get_closest_marker("slow_on_postgresql"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server's maintenance database."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: str) -> Iterator[Engine]:
    """A database with all tables, which tests use one after another."""
    with _new_database(postgresql_server) as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables. Each test copies it."""
    home = tmp_path_factory.mktemp("sqlite-tables")
    engine = make_engine(Settings(home=home))
    Base.metadata.create_all(engine)
    engine.dispose()
    return home / "mimeo.db"


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[servers.Valkey]:
    """A Valkey server. A test that stops it starts it again."""
    with servers.valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: servers.Valkey) -> servers.Valkey:
    """A Valkey server without data."""
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


@pytest.fixture
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes databases of a kind without tables; returns the URL of each."""
    with ExitStack() as opened:

        def make(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path / uuid4().hex / 'empty.db'}"
            return opened.enter_context(_new_database(request.getfixturevalue("postgresql_server")))

        yield make


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite`, then `postgresql`: each test with a database runs on both."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """URL of a database with no rows. On PostgreSQL it has its tables; on SQLite `engine` creates them."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'mimeo.db'}"
    tables: Engine = request.getfixturevalue("postgresql_tables")
    _empty(tables)
    return tables.url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def object_store_server() -> Iterator[servers.ObjectStore]:
    """An S3 server."""
    with servers.object_store() as server:
        yield server


@pytest.fixture
def object_store(object_store_server: servers.ObjectStore) -> Iterator[str]:
    """URL of a folder of this test in an object store."""
    with servers.s3_at(object_store_server.environment):
        yield f"{object_store_server.url}/{uuid4().hex}"


@pytest.fixture
def unreachable_store() -> Iterator[str]:
    """URL of an object store at an address without a server."""
    absent = servers.ObjectStore()
    with servers.s3_at(absent.environment):
        yield absent.url


@pytest.fixture
def missing_bucket(object_store: str) -> str:
    """URL of a bucket that the object store does not have."""
    return "s3://another-bucket/store"


@pytest.fixture(scope="session")
def refusing_server() -> Iterator[servers.ObjectStore]:
    """An S3 server that refuses every key."""
    with servers.object_store(checks_keys=True) as server:
        yield server


@pytest.fixture
def refused_store(refusing_server: servers.ObjectStore) -> Iterator[str]:
    """URL of an object store that refuses this process's key."""
    with servers.s3_at(refusing_server.environment):
        yield refusing_server.url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a separate stack: short leases, and nothing that is shared with other tests."""
    return Settings(
        home=tmp_path / "home",
        datasets_dir=None,  # tests must not depend on the hardware of this machine
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
def engine(request: pytest.FixtureRequest, settings: Settings, database_kind: str) -> Iterator[Engine]:
    """An engine on a fresh database with all tables."""
    made = make_engine(settings)
    if database_kind == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_tables"), str(made.url.database))
        event.listen(made, "connect", without_fsync)
    yield made
    made.dispose()


@pytest.fixture
def database(engine: Engine) -> SessionFactory:
    """A factory of sessions on a fresh database."""
    return session_factory(engine)


@pytest.fixture
def session(database: SessionFactory) -> Iterator[Session]:
    """One transaction on a fresh database, committed at the end of the test."""
    with transaction(database) as open_session:
        yield open_session


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """Storage in a local folder of this test."""
    return Storage.open_url(settings.resolved_storage_url)


@pytest.fixture
def broker() -> NullBroker:
    """A broker that records notifications."""
    return NullBroker()


def without_fsync(connection: Any, _record: object) -> None:
    """Switch off SQLite's fsync in this process: test databases need not survive a power failure."""
    connection.execute("PRAGMA synchronous=OFF")


def _empty(tables: Engine) -> None:
    """Remove all rows, and the connections of an earlier test.

    Deleting few rows takes a tenth of the time of truncating every table.
    """
    names = [table.name for table in Base.metadata.sorted_tables]
    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    statements = [
        f"SELECT pg_terminate_backend(pid) FROM ({others}) AS others",
        "SET session_replication_role = replica",  # makes the order of the tables irrelevant
        *(f"DELETE FROM {name}" for name in names),
        "SET session_replication_role = DEFAULT",
        "SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'",
    ]
    _execute(tables, "; ".join(statements))


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    """A PostgreSQL database that exists within the block; yields its URL."""
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
