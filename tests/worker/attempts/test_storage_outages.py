"""Outages of the storage: jobs wait for it, and no attempt is counted."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint
from shared.errors import DependencyUnavailable
from shared.job_status import JobKind, JobStatus
from shared.services import artifacts, checkpoints, job_queue, transitions
from shared.settings import Settings
from shared.storage import Storage, StorageUnavailable
from tests import jobs
from tests.worker.attempts.harness import attempt, event_types, generate_next, has_checkpoint, history, workdirs
from worker.attempts import trainer_monitor
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql


@pytest.fixture
def without_storage(context: WorkerContext, unreachable_store: str, monkeypatch: pytest.MonkeyPatch) -> WorkerContext:
    """The same worker, with a storage that stays unavailable for longer than the worker waits."""
    monkeypatch.setattr(trainer_monitor, "_STORAGE_RETRY_LIMIT_S", 0.0)
    return replace(context, storage=Storage.open_url(unreachable_store))


@pytest.fixture(params=["missing_bucket", "refused_store"])
def misconfigured(
    context: WorkerContext, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> WorkerContext:
    """The same worker, with a bucket that is gone or a wrong password."""
    monkeypatch.setattr(trainer_monitor, "_STORAGE_RETRY_LIMIT_S", 0.0)
    return replace(context, storage=Storage.open_url(request.getfixturevalue(request.param)))


class UnreliableStorage(Storage):
    """A storage that fails at some uploads, also within a checkpoint."""

    puts = 0

    def put_file(self, local: Path, key: str) -> None:
        self.puts += 1
        if self.puts in {1, 2, 5, 9}:
            raise StorageUnavailable("no answer")
        super().put_file(local, key)


def test_short_outage_of_the_storage_counts_no_attempt(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer_monitor, "_RETRY_S", 0.01)
    unreliable = replace(context, storage=UnreliableStorage.open_url(settings.resolved_storage_url))
    job_id = jobs.submitted(database, settings, max_attempts=1)

    attempt(unreliable, worker_heartbeat, "train")

    job = jobs.read_job(database, job_id)
    assert (job.status, job.fencing_token) == (JobStatus.SUCCEEDED, 1)
    with reading(database) as session:
        steps = [row.step for row in checkpoints.list_for_job(session, job_id)]
        samples, _ = artifacts.list_for_job(session, job_id, kind="sample")
    assert steps == [4]
    assert [context.storage.exists(sample.storage_key) for sample in samples] == [True]


def test_training_without_storage_waits_and_succeeds(
    context: WorkerContext,
    without_storage: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)

    for times in (1, 2):
        attempt(without_storage, worker_heartbeat, "train")
        job = jobs.read_job(database, job_id)
        assert (job.status, job.attempt, job.error) == (JobStatus.QUEUED, 0, None)
        assert job.not_before is not None
        assert event_types(database, job_id).count("released") == times
        jobs.set_values(database, job_id, not_before=None)
    last = history(database, job_id)[-1]
    assert last.message.startswith("The file store does not answer: Could not connect")
    assert "Trying again in" in last.message

    attempt(context, worker_heartbeat, "train")
    assert jobs.read_job(database, job_id).status is JobStatus.SUCCEEDED
    assert workdirs(context) == []


def test_unreadable_checkpoints_are_retried_after_an_outage(
    context: WorkerContext,
    without_storage: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=2)
    attempt(context, worker_heartbeat, "crash_once")
    jobs.set_values(database, job_id, not_before=None)
    assert has_checkpoint(database, job_id)

    attempt(without_storage, worker_heartbeat, "crash_once")

    assert (jobs.read_job(database, job_id).attempt, has_checkpoint(database, job_id)) == (1, True)
    assert "checkpoint_damaged" not in event_types(database, job_id)
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, "crash_once")  # it does not crash again after its checkpoint
    assert jobs.read_job(database, job_id).status is JobStatus.SUCCEEDED


def test_pause_during_an_outage_takes_effect(
    without_storage: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    with transaction(database) as session:
        job = job_queue.claim_next(session, JobKind.TRAINING, without_storage.id)
        assert job is not None
        transitions.pause(session, job_id)
        fenced = job_queue.renew_lease(session, job_queue.lease_of(job))
        status = job_queue.finish_failed(fenced, DependencyUnavailable("The file store does not answer."), settings)

    assert status is JobStatus.PAUSED
    assert jobs.read_job(database, job_id).attempt == 0


def test_permanent_outage_fails_the_job(
    without_storage: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "_MOST_OUTAGES", 2)
    job_id = jobs.submitted(database, settings, max_attempts=1)

    for _ in range(3):
        assert jobs.read_job(database, job_id).status is JobStatus.QUEUED
        attempt(without_storage, worker_heartbeat, "train")
        jobs.set_values(database, job_id, not_before=None)

    job = jobs.read_job(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error["code"], "/readyz" in job.error["hint"]) == ("internal", True)


def test_generation_waits_for_its_checkpoint(
    without_storage: WorkerContext,
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
    worker = replace(without_storage, kind=JobKind.GENERATION)

    generate_next(worker, worker_heartbeat, GenerationEngine(settings, worker.storage))

    waiting = jobs.read_job(database, job_id)
    assert (waiting.status, waiting.attempt) == (JobStatus.QUEUED, 0)
    assert "The file store does not answer" in history(database, job_id)[-1].message


def test_training_keeps_its_checkpoint_and_its_attempts_while_the_store_is_misconfigured(
    context: WorkerContext,
    misconfigured: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=2)
    attempt(context, worker_heartbeat, "crash_once")
    jobs.set_values(database, job_id, not_before=None)

    attempt(misconfigured, worker_heartbeat, "crash_once")

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, has_checkpoint(database, job_id)) == (JobStatus.QUEUED, 1, True)
    last = history(database, job_id)[-1]
    assert any(remedy in last.message for remedy in ("Create it", "Check the credentials")), last.message
    assert "checkpoint_damaged" not in event_types(database, job_id)
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, "crash_once")
    assert jobs.read_job(database, job_id).status is JobStatus.SUCCEEDED


def test_generation_waits_while_the_store_is_misconfigured(
    misconfigured: WorkerContext, checkpoint: Checkpoint, database: SessionFactory
) -> None:
    job_id = jobs.generated(database, misconfigured.settings, model=checkpoint.id, sampling={"n": 1}, seed=1)
    worker = replace(misconfigured, kind=JobKind.GENERATION)

    assert generate_next(worker, WorkerHeartbeat(worker), GenerationEngine(worker.settings, worker.storage))

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job.error) == (JobStatus.QUEUED, 0, None)
    assert "released" in event_types(database, job_id)
