"""Attempts that end through a user, a stopping worker or a lost lease."""

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint
from shared.errors import Conflict
from shared.job_status import JobKind, JobStatus
from shared.services import checkpoints, job_queue, training_jobs
from shared.settings import Settings
from tests import jobs
from tests.waiting import wait_until
from tests.worker.attempts.harness import Background, attempt, event_types, has_checkpoint, workdirs
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql


def test_cancel_kills_the_trainer_and_its_children_at_once(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "family")
    wait_until((settings.runs_path / "grandchild").exists)
    wait_until(lambda: has_checkpoint(database, job_id))

    jobs.cancel(database, job_id)
    running.join()

    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, job_id)] == [1]  # a stop would add another
    assert jobs.status_of(database, job_id) is JobStatus.CANCELLED
    assert job_id in broker.done
    grandchild = int((settings.runs_path / "grandchild").read_text())
    wait_until(lambda: not is_alive(grandchild))


def is_alive(pid: int) -> bool:
    """Whether a process runs. An unreaped zombie does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_pause_ends_with_a_checkpoint_and_the_attempt_does_not_count(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    jobs.set_values(database, job_id, status=JobStatus.PAUSING)
    running.join()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.PAUSED, 0)
    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, job_id)] == [2, 1]


def test_stopping_worker_releases_its_job_with_a_checkpoint(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    context.stopping.set()
    running.join()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job.notified_at) == (JobStatus.QUEUED, 0, None)
    assert event_types(database, job_id)[-1] == "released"


def test_trainer_that_does_not_stop_in_time_is_killed_and_its_job_released(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    impatient = replace(context, settings=settings.model_copy(update={"stop_grace_s": 0.3}))
    running = Background(impatient, worker_heartbeat, "ignore_stop")
    wait_until(lambda: has_checkpoint(database, job_id))

    impatient.stopping.set()
    running.join()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


def test_worker_without_its_lease_kills_its_trainer_and_stops_writing(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    # When: the job is reaped and another worker has it
    with transaction(database) as session:
        taken = training_jobs.get(session, job_id)
        taken.fencing_token += 1
        taken.worker = "wrk_other"
    running.join()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.worker, job_id in broker.done) == (JobStatus.RUNNING, "wrk_other", False)
    assert workdirs(context) == []


def test_lease_is_renewed_while_the_trainer_works(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "hang")
    first = jobs.read_job(database, job_id).heartbeat_at
    assert first is not None

    wait_until(lambda: (jobs.read_job(database, job_id).heartbeat_at or first) > first)

    jobs.cancel(database, job_id)
    running.join()


def test_cancel_concurrent_with_the_finish_leaves_one_final_status_and_no_extra_model(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    for delay_s in (0.0, 0.05, 0.1, 0.15):
        job_id = jobs.submitted(database, settings)
        running = Background(context, worker_heartbeat, "train")
        time.sleep(delay_s)
        with contextlib.suppress(Conflict):  # the job was faster
            jobs.cancel(database, job_id)
        running.join()

        with reading(database) as session:
            job = training_jobs.get(session, job_id)
        assert job.status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}
        assert (job.model is not None) == (job.status is JobStatus.SUCCEEDED)


def test_job_has_no_worker_after_any_end(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    jobs.submitted(database, settings)
    job = attempt(context, worker_heartbeat, "train")
    with transaction(database) as session:
        assert job_queue.claim_next(session, JobKind.TRAINING, "w") is None
        assert session.scalars(select(Checkpoint.job_id)).all() == [job.id]
