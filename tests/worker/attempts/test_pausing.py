"""Pause, resume and retry, across workers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint, Job, Model
from shared.job_status import JobStatus
from shared.services import preemption, training_jobs, transitions
from shared.settings import Settings
from tests import jobs
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.attempts.harness import Background, attempt, claim, event_types, has_checkpoint, history
from worker.attempts.training import run_attempt
from worker.context import TRAINER, WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql

NEVER_S = 3600.0


def ask(database: SessionFactory, job_id: str, action: str) -> JobStatus:
    with transaction(database) as session:
        status: JobStatus = getattr(transitions, action)(session, job_id)
        return status


def elsewhere(context: WorkerContext, home: Path) -> WorkerContext:
    """A worker on another machine: it shares only the database and the storage with this one."""
    settings = context.settings.model_copy(update={"home": home, "storage_url": context.settings.resolved_storage_url})
    return replace(context, settings=settings, id="wrk_elsewhere", host="elsewhere")


def steps_of_starts(database: SessionFactory, job_id: str) -> list[int]:
    return [event.data["step"] for event in history(database, job_id) if event.type == "started"]


def preempt(database: SessionFactory, settings: Settings) -> None:
    """Preempt the running job for one of high priority, which is then cancelled."""
    urgent = jobs.submitted(database, settings, priority="high")
    impatient = settings.model_copy(update={"preempt_after_s": 0.0, "heartbeat_s": 0.001})
    with transaction(database) as session:
        session.execute(update(Job).where(Job.id == urgent).values(updated_at=Job.created_at - 1_000))
        assert preemption.preempt(session, impatient) is not None
    jobs.cancel(database, urgent)


@pytest.fixture
def working(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> Background:
    """A job whose trainer works until it is stopped, and has written a checkpoint."""
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))
    return running


# --- pause and resume -------------------------------------------------------------------------------------------


def test_pause_frees_the_worker(working: Background, database: SessionFactory) -> None:
    assert ask(database, working.job.id, "pause") is JobStatus.PAUSING
    working.join()

    assert jobs.status_of(database, working.job.id) is JobStatus.PAUSED
    assert event_types(database, working.job.id) == ["queued", "running", "started", "pausing", "paused"]


def test_resumed_job_continues_from_its_checkpoint_on_another_worker(
    working: Background,
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    tmp_path: Path,
) -> None:
    job_id = working.job.id
    ask(database, job_id, "pause")
    working.join()

    assert ask(database, job_id, "resume") is JobStatus.QUEUED
    attempt(elsewhere(context, tmp_path / "elsewhere"), worker_heartbeat, "train")

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)
    assert steps_of_starts(database, job_id) == [0, 2]
    running = [(event.type, event.data.get("worker")) for event in history(database, job_id) if event.type == "running"]
    assert running == [("running", context.id), ("running", "wrk_elsewhere")]


def test_repeated_pauses_do_not_count_as_attempts(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)
    for _ in range(3):
        running = Background(context, worker_heartbeat, "work")
        wait_until(lambda: jobs.read_job(database, job_id).progress.get("step", 0) % 2)
        ask(database, job_id, "pause")
        running.join()
        assert jobs.status_of(database, job_id) is JobStatus.PAUSED
        ask(database, job_id, "resume")

    lease = jobs.claimed(database)
    assert lease is not None
    assert (lease.attempt, lease.fencing_token) == (1, 4)
    assert steps_of_starts(database, job_id) == [0, 2, 4]


def test_resume_before_the_end_of_a_pause_loses_nothing(
    working: Background, context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory
) -> None:
    job_id = working.job.id
    ask(database, job_id, "pause")
    ask(database, job_id, "resume")
    # The trainer has either received the stop already, or still works and receives it now, because its worker stops.
    context.stopping.set()
    working.join()
    context.stopping.clear()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    attempt(context, worker_heartbeat, "train")
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


def test_resume_after_the_trainer_received_the_stop_queues_the_job(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    impatient = replace(context, settings=settings.model_copy(update={"stop_grace_s": 1.5}))
    running = Background(impatient, worker_heartbeat, "ignore_stop")
    wait_until(lambda: has_checkpoint(database, job_id))
    ask(database, job_id, "pause")
    wait_until((settings.runs_path / "stop_ignored").exists)

    assert ask(database, job_id, "resume") is JobStatus.RUNNING
    running.join()

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert event_types(database, job_id)[-4:] == ["pausing", "resumed", "stop_overrun", "released"]


def test_trainer_crash_during_a_pause_leaves_the_job_paused_with_the_reason(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    blind = replace(context, settings=settings.model_copy(update={"control_poll_s": 60.0}))
    running = Background(blind, worker_heartbeat, "crash")
    ask(database, job_id, "pause")
    running.join()

    assert jobs.status_of(database, job_id) is JobStatus.PAUSED
    last = history(database, job_id)[-1]
    assert (last.type, last.attempt) == ("paused", 1)
    assert last.message == "The trainer ended with status 1 and without a result. Paused, as requested."
    assert last.data["error"]["code"] == "internal"


def test_cancel_during_a_pause_does_not_wait_for_the_checkpoint(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
) -> None:
    job_id = jobs.submitted(database, settings)
    patient = replace(context, settings=settings.model_copy(update={"stop_grace_s": NEVER_S}))
    running = Background(patient, worker_heartbeat, "ignore_stop")
    wait_until(lambda: has_checkpoint(database, job_id))
    ask(database, job_id, "pause")
    wait_until((settings.runs_path / "stop_ignored").exists)

    assert ask(database, job_id, "cancel") is JobStatus.CANCELLING
    running.join()

    assert jobs.status_of(database, job_id) is JobStatus.CANCELLED
    assert job_id in broker.done


def test_job_that_finishes_during_a_pause_has_succeeded(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    patient = replace(context, settings=settings.model_copy(update={"stop_grace_s": NEVER_S}))
    running = Background(patient, worker_heartbeat, "finish_when_asked_to_stop")
    wait_until(lambda: has_checkpoint(database, job_id))
    ask(database, job_id, "pause")
    running.join()

    with reading(database) as session:
        job = training_jobs.get(session, job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert job.model is not None


# --- retry ------------------------------------------------------------------------------------------------------


def test_retried_job_continues_from_its_last_checkpoint_and_publishes_once(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    tmp_path: Path,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)
    attempt(context, worker_heartbeat, "crash_once")
    assert jobs.status_of(database, job_id) is JobStatus.FAILED

    assert ask(database, job_id, "retry") is JobStatus.QUEUED
    attempt(elsewhere(context, tmp_path / "elsewhere"), worker_heartbeat, "train")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    assert steps_of_starts(database, job_id) == [0, 3]
    with reading(database) as session:
        assert len(session.scalars(select(Model)).all()) == 1


def test_cancelled_job_is_retried_from_its_last_checkpoint(
    working: Background, context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory
) -> None:
    job_id = working.job.id
    ask(database, job_id, "cancel")
    working.join()

    ask(database, job_id, "retry")
    attempt(context, worker_heartbeat, "train")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    assert steps_of_starts(database, job_id) == [0, 1]


def test_preempted_job_writes_a_checkpoint_and_continues_from_it(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, preemptible=True, max_attempts=1)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: jobs.read_job(database, job_id).progress.get("step", 0) % 2)
    preempt(database, settings)
    running.join()

    assert (jobs.status_of(database, job_id), jobs.read_job(database, job_id).attempt) == (JobStatus.QUEUED, 0)
    assert event_types(database, job_id)[-2:] == ["preempting", "preempted"]
    attempt(context, worker_heartbeat, "train")
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    assert steps_of_starts(database, job_id) == [0, 2]


# --- the real trainer -------------------------------------------------------------------------------------------

# Some seconds of training, so that the pause arrives during it.
VAE = {
    "model_type": "vae",
    "dataset": "digits",
    "seed": 7,
    "hyperparameters": {"epochs": 5, "examples_per_epoch": 5_000, "batch_size": 32, "hidden": [64]},
}


@contextmanager
def really_training(context: WorkerContext, database: SessionFactory) -> Iterator[str]:
    """The next job under the real trainer, in a thread; yields its id. The end of the block stops the trainer."""
    with WorkerHeartbeat(context) as worker_heartbeat:
        job = claim(context)
        thread = threading.Thread(target=run_attempt, args=(replace(context, trainer=TRAINER), job, worker_heartbeat))
        thread.start()
        yield job.id
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def published_sha256(database: SessionFactory, job_id: str) -> str:
    with reading(database) as session:
        query = select(Checkpoint.sha256).join(Model, Model.checkpoint_id == Checkpoint.id)
        return session.scalars(query.where(Model.job_id == job_id)).one()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("interruption", ["pause", "preemption"])
def test_interrupted_training_frees_its_worker_and_ends_on_another_with_the_same_weights(
    context: WorkerContext, database: SessionFactory, settings: Settings, tmp_path: Path, interruption: str
) -> None:
    # Given: the weights of an uninterrupted run
    patient = replace(context, settings=settings.model_copy(update={"lease_s": 30.0, "offline": True}))
    undisturbed = jobs.submitted(database, settings, **VAE)
    with really_training(patient, database):
        pass
    assert jobs.status_of(database, undisturbed) is JobStatus.SUCCEEDED

    # When: it is interrupted between steps, and continues on another worker
    paused = jobs.submitted(database, settings, preemptible=True, **VAE)
    with really_training(patient, database) as job_id:
        wait_until(lambda: has_checkpoint(database, job_id))
        if interruption == "pause":
            ask(database, job_id, "pause")
        else:
            preempt(database, settings)
        wait_until(lambda: not jobs.status_of(database, job_id).is_held)
    stopped_at = jobs.read_job(database, paused).progress
    assert 0 < stopped_at["step"] < stopped_at["steps"]
    if interruption == "pause":
        ask(database, paused, "resume")
    with really_training(elsewhere(patient, tmp_path / "elsewhere"), database):
        pass

    # Then: the weights are the same, bit for bit
    assert steps_of_starts(database, paused)[1] > 0
    assert jobs.read_job(database, paused).attempt == 1
    assert published_sha256(database, paused) == published_sha256(database, undisturbed)
