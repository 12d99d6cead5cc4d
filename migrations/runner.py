"""Migrates a database between revisions. Each migration is one transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, Engine, text

from migrations import live_workers
from shared.db.session import make_engine
from shared.errors import SetupError
from shared.failpoints import failpoint
from shared.settings import Settings

_LOCK = 0x6D696D656F  # "mimeo", as PostgreSQL's advisory lock number


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Upgrade the database to a revision.

    Raises SetupError when its revision is unknown to this version, or a live worker does not know a contract step.
    """

    def run(config: Config, connection: Connection) -> None:
        with suppress(RevisionError):  # of a revision that is unknown or behind: the command below reports it
            pending = list(_scripts().iterate_revisions(revision, _known_revision(connection) or "base"))
            live_workers.refuse_beside_older(connection, settings, pending)
        command.upgrade(config, revision)

    _move(settings, run)


def downgrade(settings: Settings, revision: str) -> None:
    """Downgrade the database to a revision (`base`: an empty one).

    Raises SetupError when its revision is unknown to this version, or a worker is live.
    """

    def run(config: Config, connection: Connection) -> None:
        live_workers.refuse_beside_any(connection, settings)
        command.downgrade(config, revision)

    _move(settings, run)


def current(settings: Settings) -> tuple[str | None, str]:
    """The database's revision (None: empty) and the newest one. Raises SetupError for an unknown one."""
    with _engine(settings) as engine, engine.connect() as connection:
        return _known_revision(connection), str(_scripts().get_current_head())


def _move(settings: Settings, run: Callable[[Config, Connection], None]) -> None:
    with _engine(settings) as engine, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # The lock lasts until the end of the transaction, so upgrades run in turn. SQLite has BEGIN IMMEDIATE.
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _known_revision(connection)
        config = _config()
        config.attributes["connection"] = connection
        run(config, connection)
        failpoint("migrate.applied")


def _known_revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise SetupError(
            f"The database is at revision {revision}, which is unknown to this version of Mimeo. "
            "Start the version that wrote it, or point MIMEO_DATABASE_URL or MIMEO_HOME at another database."
        )
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()
