"""The migrations, on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Engine, inspect, text

from migrations import runner
from shared.db.session import make_engine
from shared.db.tables import Base
from shared.errors import SetupError
from shared.settings import Settings
from tests.waiting import PATIENCE_S

HEAD = max(path.name[:4] for path in Path(runner.__file__).parent.glob("versions/0*.py"))

_A_WORKER = (
    "INSERT INTO workers (id, kind, host, pid, device, jobs_done, started_at, heartbeat_at) "
    "VALUES ('w', 'training', 'h', 1, 'cpu', 0, 0, 0)"
)


@pytest.fixture
def settings(empty_database_url: str, tmp_path: Path) -> Settings:
    """A stack whose database is empty."""
    return Settings(home=tmp_path / "home", database_url=SecretStr(empty_database_url))


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = make_engine(settings)
    yield made
    made.dispose()


def test_upgrade_makes_exactly_the_tables_of_the_models(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_database_is_upgraded_downgraded_and_upgraded_again(settings: Settings, engine: Engine) -> None:
    assert runner.current(settings)[0] is None
    runner.upgrade(settings)
    assert runner.current(settings) == (HEAD, HEAD)

    runner.downgrade(settings, "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]

    runner.upgrade(settings)
    assert runner.current(settings)[0] == HEAD


def test_each_revision_can_be_reverted_and_keeps_its_rows(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text(_A_WORKER))

    runner.downgrade(settings, "0001")
    assert runner.current(settings)[0] == "0001"
    runner.upgrade(settings)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1


JOB = """
INSERT INTO jobs (id, kind, status, model_type, spec, metadata, priority, seed, max_attempts, timeout_s, attempt,
                  lease_token, hinted_at, progress, metrics, created_at, updated_at, version)
VALUES ('trn_1', 'training', 'queued', 'vae', '{}', '{}', 1, 7, 3, 60, 1, 4, 123, '{}', '{}', 100, 100, 2)
"""


def test_renamed_columns_and_tables_keep_their_rows_in_both_directions(settings: Settings, engine: Engine) -> None:
    # Given: a database of the revision before the renaming
    runner.upgrade(settings, "0004")
    with engine.begin() as connection:
        connection.execute(text(JOB))
        connection.execute(text("INSERT INTO garbage VALUES ('jobs/trn_1', 500, 400)"))

    runner.upgrade(settings)
    with engine.connect() as connection:
        new = connection.execute(text("SELECT fencing_token, notified_at FROM jobs")).one()
        pending = connection.execute(text("SELECT storage_key, due_at, created_at FROM pending_deletions")).one()
    runner.downgrade(settings, "0004")
    with engine.connect() as connection:
        old = connection.execute(text("SELECT lease_token, hinted_at FROM jobs")).one()
        garbage = connection.execute(text("SELECT storage_key, due_at, created_at FROM garbage")).one()

    assert tuple(new) == tuple(old) == (4, 123)
    assert tuple(pending) == tuple(garbage) == ("jobs/trn_1", 500, 400)


def test_second_upgrade_changes_nothing(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text(_A_WORKER))

    runner.upgrade(settings)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1


def test_concurrent_upgrades_take_turns(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(runner.upgrade, settings) for _ in range(4)]:
            done.result()

    assert runner.current(settings)[0] == HEAD


def test_unknown_revision_is_refused_and_unchanged(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ffff'"))

    for move in (runner.upgrade, runner.current, lambda of: runner.downgrade(of, "base")):
        with pytest.raises(SetupError, match="revision ffff, which is unknown to this version of Mimeo"):
            move(settings)


def test_failing_upgrade_changes_nothing(settings: Settings, engine: Engine) -> None:
    # Given: a table with which the upgrade collides after it has made others
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE models (id INTEGER)"))

    with pytest.raises(Exception, match="models"):
        runner.upgrade(settings)

    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"models"}


def run_command(url: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MIMEO_DATABASE_URL": url, "MIMEO_HOME": str(home)}
    command = [sys.executable, "-m", "migrations", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_command_prints_the_revision_of_the_database(empty_database_url: str, tmp_path: Path) -> None:
    done = run_command(empty_database_url, tmp_path, "upgrade")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The database is at revision {HEAD}; the newest is {HEAD}.\n"


def test_command_at_an_unknown_revision_is_one_line_and_status_2(
    settings: Settings, engine: Engine, empty_database_url: str, tmp_path: Path
) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ffff'"))

    done = run_command(empty_database_url, tmp_path, "upgrade")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "revision ffff" in done.stderr


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "not a url", "postgresql://127.0.0.1:1/nothing"])
def test_unusable_database_is_one_line_and_status_2(url: str, tmp_path: Path) -> None:
    done = run_command(url, tmp_path, "upgrade")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mimeo: ")
