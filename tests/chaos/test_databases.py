"""Databases that restart, wait on locks, and disagree with a worker about the time."""

import random
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.job_status import JobStatus
from tests.chaos.conftest import IS_LONG
from tests.chaos.postgresql import Server
from tests.chaos.rig import Rig


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test here says which database it means."""
    name = request.node.originalname
    if "sqlite" in name:
        return f"sqlite:///{tmp_path / 'home' / 'mimeo.db'}"
    return str(request.getfixturevalue("restartable").fresh_database())


def test_postgresql_restarted_again_and_again_under_load(rig: Rig, restartable: Server, chance: random.Random) -> None:
    # Given: two workers, and jobs that go on coming
    rig.reconciler()
    every_s, times = (10.0, 4) if IS_LONG else (2.0, 3)
    rig.worker(step_s=0.05)
    rig.worker(step_s=0.05)
    ids = [rig.submit(10) for _ in range(6)]

    # When: the database restarts every few seconds, in good order or by a crash
    for _ in range(times):
        time.sleep(every_s * chance.uniform(0.8, 1.2))
        restartable.restart(chance.choice(["fast", "immediate"]))
        ids += [rig.submit(10) for _ in range(2)]

    # Then: all end well (that their curves are whole is an invariant)
    rig.end()
    assert {rig.status(job_id) for job_id in ids} == {JobStatus.SUCCEEDED}


def test_sqlite_write_lock_held_for_5_s(rig: Rig, chance: random.Random) -> None:
    # Given: a job that runs, with a lease that is longer than the lock
    rig.reconciler()
    worker = rig.worker()
    job_id = rig.submit()
    rig.reaches(job_id, chance.randint(1, 10))

    with rig.engine.connect() as connection:  # BEGIN IMMEDIATE
        connection.execute(text("SELECT 1"))
        time.sleep(5)
    rig.end()

    # Then: it has waited, or has been taken back and gone on; either way it is done, and nobody crashed
    assert rig.status(job_id) is JobStatus.SUCCEEDED
    assert worker.is_alive


@pytest.mark.parametrize("hours", [1, -1])
def test_worker_whose_clock_is_an_hour_off(patient_rig: Rig, chance: random.Random, hours: int) -> None:
    patient_rig.reconciler()
    worker = patient_rig.worker(clock_s=3600 * hours)
    job_id = patient_rig.submit()
    patient_rig.reaches(job_id, chance.randint(1, 10))
    other = patient_rig.worker()
    time.sleep(chance.uniform(0, 1))

    patient_rig.end()

    # Then: the lease never ran out and nothing was late, since only the database's clock counts
    job = patient_rig.look(job_id)
    assert (job.status, job.attempt, patient_rig.events(job_id).count("reaped")) == (JobStatus.SUCCEEDED, 1, 0)
    assert job.finished_at is not None
    assert abs(job.finished_at.timestamp() - time.time()) < 600
    assert worker.is_alive
    assert other.is_alive


def test_jobs_of_a_worker_whose_clock_is_off_are_taken_back_in_time(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker = rig.worker(clock_s=chance.choice([3600, -3600]))
    job_id = rig.submit()
    rig.reaches(job_id, chance.randint(1, 10))

    worker.kill()
    rig.worker(clock_s=chance.choice([3600, -3600]))
    rig.end()

    assert (rig.status(job_id), rig.look(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
