"""Databases that restart, wait for locks, and differ from a worker's clock."""

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
    """Each test here chooses its database."""
    name = request.node.originalname
    if "sqlite" in name:
        return f"sqlite:///{tmp_path / 'home' / 'mimeo.db'}"
    return str(request.getfixturevalue("restartable").fresh_database())


def test_postgresql_restarted_again_and_again_under_load(rig: Rig, restartable: Server, chance: random.Random) -> None:
    # Given: two workers, and a stream of jobs
    rig.reconciler()
    every_s, times = (10.0, 4) if IS_LONG else (2.0, 3)
    rig.worker(step_s=0.05)
    rig.worker(step_s=0.05)
    ids = [rig.submit(10) for _ in range(6)]

    # When: the database restarts every few seconds, in order or by a crash
    for _ in range(times):
        time.sleep(every_s * chance.uniform(0.8, 1.2))
        restartable.restart(chance.choice(["fast", "immediate"]))
        ids += [rig.submit(10) for _ in range(2)]

    # Then: all succeed (complete curves are an invariant)
    rig.end()
    assert {rig.status(job_id) for job_id in ids} == {JobStatus.SUCCEEDED}


def test_sqlite_write_lock_held_for_5_s(rig: Rig, chance: random.Random) -> None:
    # Given: a running job, with a lease that is longer than the lock
    rig.reconciler()
    worker = rig.worker()
    job_id = rig.submit()
    rig.reaches(job_id, chance.randint(1, 10))

    with rig.engine.connect() as connection:  # BEGIN IMMEDIATE
        connection.execute(text("SELECT 1"))
        time.sleep(5)
    rig.end()

    # Then: it has waited, or was reaped and has continued; in both cases it succeeded, and no process crashed
    assert rig.status(job_id) is JobStatus.SUCCEEDED
    assert worker.is_alive


@pytest.mark.parametrize("hours", [1, -1])
def test_worker_with_a_clock_that_is_an_hour_wrong(patient_rig: Rig, chance: random.Random, hours: int) -> None:
    patient_rig.reconciler()
    worker = patient_rig.worker(clock_s=3600 * hours)
    job_id = patient_rig.submit()
    patient_rig.reaches(job_id, chance.randint(1, 10))
    other = patient_rig.worker()
    time.sleep(chance.uniform(0, 1))

    patient_rig.end()

    # Then: the lease did not expire and nothing was late, because only the database's clock counts
    job = patient_rig.read_job(job_id)
    assert (job.status, job.attempt, patient_rig.events(job_id).count("reaped")) == (JobStatus.SUCCEEDED, 1, 0)
    assert job.finished_at is not None
    assert abs(job.finished_at.timestamp() - time.time()) < 600
    assert worker.is_alive
    assert other.is_alive


def test_jobs_of_a_worker_with_a_wrong_clock_are_reaped_in_time(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker = rig.worker(clock_s=chance.choice([3600, -3600]))
    job_id = rig.submit()
    rig.reaches(job_id, chance.randint(1, 10))

    worker.kill()
    rig.worker(clock_s=chance.choice([3600, -3600]))
    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
