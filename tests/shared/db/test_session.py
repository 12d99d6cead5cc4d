"""Engines and transactions on both databases."""

import platform
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from shared.db.clock import db_now
from shared.db.session import SessionFactory, is_transient, make_engine, reading, session_factory, sqlite, transaction
from shared.db.tables import Job, Worker
from shared.errors import SetupError
from shared.job_status import JobKind, JobStatus
from shared.settings import Settings
from tests import jobs


def worker(name: str) -> Worker:
    return Worker(id=name, kind=JobKind.TRAINING, host="h", pid=1, device="cpu")


def test_transaction_commits_at_its_end_and_rolls_back_on_an_exception(database: SessionFactory) -> None:
    with transaction(database) as session:
        session.add(worker("kept"))

    def fail() -> None:
        with transaction(database) as session:
            session.add(worker("dropped"))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with reading(database) as session:
        assert session.scalars(select(Worker.id)).all() == ["kept"]


def test_database_clock_advances_within_a_transaction_and_is_utc(database: SessionFactory) -> None:
    with transaction(database) as session:
        first = session.execute(select(db_now())).scalar_one()
        time.sleep(0.02)
        second = session.execute(select(db_now())).scalar_one()
    assert timedelta(milliseconds=15) <= second - first < timedelta(seconds=5)
    assert abs(datetime.now(UTC) - second) < timedelta(seconds=5)


def test_status_is_read_as_an_enum_and_json_null_as_null(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    job = jobs.read_job(database, job_id)
    assert type(job.status) is JobStatus
    with reading(database) as session:
        assert session.scalars(select(Job.id).where(Job.error.is_(None), Job.output.is_(None))).all() == [job_id]


def test_concurrent_writers_take_turns(database: SessionFactory) -> None:
    with transaction(database) as session:
        session.add(worker("w"))

    def add_ten() -> None:
        for _ in range(10):
            with transaction(database) as session:
                row = session.get_one(Worker, "w", with_for_update=True)
                row.jobs_done += 1

    threads = [threading.Thread(target=add_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(database) as session:
        assert session.get_one(Worker, "w").jobs_done == 40


def test_reader_does_not_wait_for_an_uncommitted_writer(database: SessionFactory) -> None:
    with transaction(database) as writing:
        writing.add(worker("w"))
        writing.flush()
        # A reader that waited for the writer would wait for this block and fail with a lock timeout.
        with reading(database) as session:
            assert session.scalars(select(Worker)).all() == []


def test_foreign_keys_are_enforced(database: SessionFactory) -> None:
    statement = text(
        "INSERT INTO job_events (job_id, type, attempt, message, data, created_at) "
        "VALUES ('nobody', 't', 0, 'm', '{}', 0)"
    )
    with pytest.raises(IntegrityError) as caught, transaction(database) as session:
        session.execute(statement)
    assert not is_transient(caught.value)


def test_unavailable_database_is_distinguished_from_an_error(tmp_path: Path) -> None:
    gone = Settings(home=tmp_path, database_url=SecretStr("postgresql://127.0.0.1:1/nothing"))
    engine = make_engine(gone)
    with pytest.raises(OperationalError) as caught, engine.connect():
        pass
    assert is_transient(caught.value)
    assert not is_transient(ValueError())


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_unsupported_database_is_a_setup_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(SetupError, match="MIMEO_DATABASE_URL"):
        make_engine(Settings(home=tmp_path, database_url=SecretStr(url)))


def test_folder_that_cannot_be_created_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="cannot be created"):
        make_engine(Settings(home=tmp_path / "file"))


@pytest.mark.skipif(
    (sys.platform, platform.machine()) not in {("linux", "x86_64"), ("darwin", "arm64")},
    reason="no SQLite of its own is published for this system",
)
def test_sqlite_version_has_safe_write_ahead_logging() -> None:
    assert sqlite.__name__ == "pysqlite3.dbapi2"
    assert sqlite.sqlite_version_info >= (3, 51, 3)


@pytest.mark.parametrize("before", ["truncate", "delete", "wal"])
def test_sqlite_file_gets_safe_settings_after_any_earlier_mode(tmp_path: Path, before: str) -> None:
    file = sqlite.connect(tmp_path / "mimeo.db")
    file.execute(f"PRAGMA journal_mode={before}")
    file.execute("CREATE TABLE t (x INTEGER)")
    file.close()

    with make_engine(Settings(home=tmp_path)).connect() as connection:
        mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0

    assert mode == ("wal" if sqlite.sqlite_version_info >= (3, 51, 3) else "truncate")
    assert synchronous == 2  # FULL: a commit is on the disk when it returns


def test_sqlite_waits_for_a_lock_instead_of_failing(tmp_path: Path) -> None:
    engine: Engine = make_engine(Settings(home=tmp_path))
    factory = session_factory(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    is_locked = threading.Event()

    def hold_the_lock() -> None:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
            is_locked.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    is_locked.wait()
    with transaction(factory) as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar_one() == 1
    holder.join()
    engine.dispose()
