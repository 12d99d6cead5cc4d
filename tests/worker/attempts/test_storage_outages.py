"""The file store is away while a worker needs it: jobs wait for it, and no attempt is spent on that."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import GenerationJob
from shared.errors import DependencyUnavailable
from shared.job_status import JobKind, JobStatus
from shared.services import artifacts, checkpoints, job_queue, transitions
from shared.settings import Settings
from shared.storage import Storage, StorageUnavailable
from tests import jobs
from tests.worker.attempts.harness import attempt, event_types, has_checkpoint, history, run_folders
from worker.attempts import trainer_monitor
from worker.attempts.generation import sample
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql


@pytest.fixture
def storeless(context: WorkerContext, unreachable_store: str, monkeypatch: pytest.MonkeyPatch) -> WorkerContext:
    """The same worker while its store does not answer, for longer than it waits for that."""
    monkeypatch.setattr(trainer_monitor, "_STORAGE_RETRY_LIMIT_S", 0.0)
    return replace(context, storage=Storage.open_url(unreachable_store))


class Blinking(Storage):
    """A store that is away now and then when files are put, amid those of a checkpoint as well."""

    puts = 0

    def put_file(self, local: Path, key: str) -> None:
        self.puts += 1
        if self.puts in {1, 2, 5, 9}:
            raise StorageUnavailable("no answer")
        super().put_file(local, key)


def test_a_store_that_is_away_for_a_moment_costs_no_attempt(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer_monitor, "_RETRY_S", 0.01)
    blinking = replace(context, storage=Blinking.open_url(settings.resolved_storage_url))
    job_id = jobs.submitted(database, settings, max_attempts=1)

    attempt(blinking, worker_heartbeat, "train")

    job = jobs.look(database, job_id)
    assert (job.status, job.fencing_token) == (JobStatus.SUCCEEDED, 1)
    with reading(database) as session:
        steps = [row.step for row in checkpoints.list_for_job(session, job_id)]
        samples, _ = artifacts.list_for_job(session, job_id, kind="sample")
    assert steps == [6, 5, 4]
    assert [context.storage.exists(sample.storage_key) for sample in samples] == [True]


def test_a_training_that_cannot_store_what_it_made_waits_and_ends_well(
    context: WorkerContext,
    storeless: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)

    for times in (1, 2):
        attempt(storeless, worker_heartbeat, "train")
        job = jobs.look(database, job_id)
        assert (job.status, job.attempt, job.error) == (JobStatus.QUEUED, 0, None)
        assert job.not_before is not None
        assert event_types(database, job_id).count("released") == times
        jobs.set_values(database, job_id, not_before=None)
    told = history(database, job_id)[-1]
    assert told.message.startswith("The file store does not answer: Could not connect")
    assert "Trying again in" in told.message

    attempt(context, worker_heartbeat, "train")
    assert jobs.look(database, job_id).status is JobStatus.SUCCEEDED
    assert run_folders(context) == []


def test_checkpoints_that_cannot_be_read_now_are_not_given_up(
    context: WorkerContext,
    storeless: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=2)
    attempt(context, worker_heartbeat, "crash_once")
    jobs.set_values(database, job_id, not_before=None)
    assert has_checkpoint(database, job_id)

    attempt(storeless, worker_heartbeat, "crash_once")

    assert (jobs.look(database, job_id).attempt, has_checkpoint(database, job_id)) == (1, True)
    assert "checkpoint_damaged" not in event_types(database, job_id)
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, "crash_once")  # from its checkpoint on, it does not
    assert jobs.look(database, job_id).status is JobStatus.SUCCEEDED


def test_a_pause_asked_for_meanwhile_is_honoured(
    storeless: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    with transaction(database) as session:
        job = job_queue.claim_next(session, JobKind.TRAINING, storeless.id)
        assert job is not None
        transitions.pause(session, job_id)
        fenced = job_queue.renew_lease(session, job_queue.lease_of(job))
        status = job_queue.finish_failed(fenced, DependencyUnavailable("The file store does not answer."), settings)

    assert status is JobStatus.PAUSED
    assert jobs.look(database, job_id).attempt == 0


def test_an_outage_without_an_end_fails_the_job_in_the_end(
    storeless: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "_MOST_OUTAGES", 2)
    job_id = jobs.submitted(database, settings, max_attempts=1)

    for _ in range(3):
        assert jobs.look(database, job_id).status is JobStatus.QUEUED
        attempt(storeless, worker_heartbeat, "train")
        jobs.set_values(database, job_id, not_before=None)

    job = jobs.look(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error["code"], "/readyz" in job.error["hint"]) == ("internal", True)


def test_a_generation_waits_for_its_checkpoint(
    storeless: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    context: WorkerContext,
    database: SessionFactory,
    settings: Settings,
) -> None:
    training_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "train")
    with reading(database) as session:
        checkpoint = checkpoints.list_for_job(session, training_id)[0]
    job_id = jobs.generated(database, settings, model=checkpoint.id)
    worker = replace(storeless, kind=JobKind.GENERATION)
    with transaction(database) as session:
        job = job_queue.claim_next(session, JobKind.GENERATION, worker.id)
    assert isinstance(job, GenerationJob)

    sample(worker, job, GenerationEngine(settings, worker.storage))

    waiting = jobs.look(database, job_id)
    assert (waiting.status, waiting.attempt) == (JobStatus.QUEUED, 0)
    assert "The file store does not answer" in history(database, job_id)[-1].message
