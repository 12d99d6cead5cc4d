"""Migrations beside live workers, on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Engine, text

from migrations import runner
from migrations.live_workers import names_of_live
from shared.db.contract_steps import NEWEST_CONTRACT_STEP
from shared.db.session import make_engine, session_factory, transaction
from shared.errors import SetupError
from shared.job_status import JobKind
from shared.services import workers
from shared.settings import Settings
from tests.waiting import PATIENCE_S

BEFORE_A_CONTRACT_STEP = "0004"
HEARTBEATS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
}


@pytest.fixture
def settings(empty_database_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", database_url=SecretStr(empty_database_url), lease_s=30)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = make_engine(settings)
    yield made
    made.dispose()


def add_worker(engine: Engine, *, silent_s: int = 0) -> None:
    """The row that a worker of the earlier revision writes."""
    now = HEARTBEATS[engine.dialect.name]
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workers (id, kind, host, pid, device, jobs_done, started_at, heartbeat_at)"
                f" VALUES ('wrk_old', 'training', 'gpu-box', 1, 'cpu', 0, 0, {now} - {1000 * silent_s})"
            )
        )


def test_contract_step_is_refused_beside_an_older_worker_and_changes_nothing(
    settings: Settings, engine: Engine
) -> None:
    runner.upgrade(settings, BEFORE_A_CONTRACT_STEP)
    add_worker(engine)

    with pytest.raises(SetupError, match="Migration 0005 cannot run beside older workers") as caught:
        runner.upgrade(settings)

    assert "training wrk_old on gpu-box still runs" in caught.value.detail
    assert runner.current(settings)[0] == BEFORE_A_CONTRACT_STEP


def test_contract_step_runs_beside_the_row_of_a_dead_worker(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings, BEFORE_A_CONTRACT_STEP)
    add_worker(engine, silent_s=100)

    runner.upgrade(settings)

    assert runner.current(settings)[0] != BEFORE_A_CONTRACT_STEP


def test_expand_steps_run_beside_an_older_worker(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings, NEWEST_CONTRACT_STEP)
    add_worker(engine)

    runner.upgrade(settings)

    revision, newest = runner.current(settings)
    assert revision == newest


def test_worker_of_this_code_knows_the_newest_contract_step_and_none_that_follows(
    settings: Settings, engine: Engine
) -> None:
    runner.upgrade(settings)
    with transaction(session_factory(engine)) as session:
        workers.record_heartbeat(
            session,
            worker_id="wrk_new",
            kind=JobKind.TRAINING,
            host="here",
            pid=1,
            device="cpu",
            job_id=None,
            jobs_done=0,
            examples_per_s=None,
        )
    add_worker(engine)

    with engine.connect() as connection:
        assert names_of_live(connection, settings, older_than=NEWEST_CONTRACT_STEP) == ["training wrk_old on gpu-box"]
        assert len(names_of_live(connection, settings, older_than="9999")) == 2


def test_downgrade_is_refused_beside_any_worker(settings: Settings, engine: Engine) -> None:
    runner.upgrade(settings)
    add_worker(engine)

    with pytest.raises(SetupError, match="A downgrade cannot run beside workers"):
        runner.downgrade(settings, "0010")

    revision, newest = runner.current(settings)
    assert revision == newest


def test_workers_record_the_newest_contract_step_of_the_migrations() -> None:
    scripts = ScriptDirectory(str(Path(runner.__file__).parent)).walk_revisions()

    assert max(each.revision for each in scripts if getattr(each.module, "contract", False)) == NEWEST_CONTRACT_STEP


def test_command_ends_with_one_line_and_status_2(settings: Settings, engine: Engine, empty_database_url: str) -> None:
    runner.upgrade(settings, BEFORE_A_CONTRACT_STEP)
    add_worker(engine)

    environment = {**os.environ, "MIMEO_DATABASE_URL": empty_database_url, "MIMEO_HOME": str(settings.home)}
    command = [sys.executable, "-m", "migrations", "upgrade"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert done.returncode == 2
    assert done.stderr == (
        "mimeo: Migration 0005 cannot run beside older workers, and training wrk_old on gpu-box still runs. "
        "Stop them first. A worker that was killed counts for 90 s.\n"
    )
