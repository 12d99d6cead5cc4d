"""The schema's steps, on SQLite and on PostgreSQL."""

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


@pytest.fixture
def settings(empty_database_url: str, tmp_path: Path) -> Settings:
    """A stack whose database is empty."""
    return Settings(home=tmp_path / "home", database_url=SecretStr(empty_database_url))


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = make_engine(settings)
    yield made
    made.dispose()


def test_an_upgrade_makes_exactly_the_tables_that_the_models_describe(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_goes_up_and_down_and_up_again(settings: Settings, engine: Engine) -> None:
    assert runner.current(settings)[0] is None
    runner.upgrade(settings)
    assert runner.current(settings) == (HEAD, HEAD)

    runner.downgrade(settings, "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]

    runner.upgrade(settings)
    assert runner.current(settings)[0] == HEAD


def test_every_revision_can_be_left_again_with_its_rows_kept(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO workers VALUES ('w', 'training', 'h', 1, 'cpu', NULL, 0, NULL, 0, 0)"))

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
    # Given: a database of the revision before the names changed
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


def test_upgrading_twice_changes_nothing(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO workers VALUES ('w', 'training', 'h', 1, 'cpu', NULL, 0, NULL, 0, 0)"))

    runner.upgrade(settings)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1


def test_upgrades_started_together_take_turns(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(runner.upgrade, settings) for _ in range(4)]:
            done.result()

    assert runner.current(settings)[0] == HEAD


def test_an_unknown_revision_is_refused_and_left_alone(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ffff'"))

    for move in (runner.upgrade, runner.current, lambda of: runner.downgrade(of, "base")):
        with pytest.raises(SetupError, match="revision ffff, which is unknown to this version of Mimeo"):
            move(settings)


def test_a_failing_upgrade_leaves_nothing_behind(settings: Settings, engine: Engine) -> None:
    # Given: a table that the upgrade will stumble over, after it has made others
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


def test_the_command_says_where_the_database_is(empty_database_url: str, tmp_path: Path) -> None:
    done = run_command(empty_database_url, tmp_path, "upgrade")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The database is at revision {HEAD}; the newest is {HEAD}.\n"


def test_the_command_ends_with_one_line_and_status_2_at_an_unknown_revision(
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
def test_a_database_that_cannot_be_used_is_one_line_and_status_2(url: str, tmp_path: Path) -> None:
    done = run_command(url, tmp_path, "upgrade")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mimeo: ")
