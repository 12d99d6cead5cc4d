"""One attempt at a generation job, with a real model."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint, GenerationJob, Job, Model
from shared.ids import new_id
from shared.job_status import JobStatus
from shared.services import artifacts, exports
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.attempts.harness import event_types, generate_next
from worker.checkpoints.manifest import WEIGHTS
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql


def attempt(context: WorkerContext, generator: GenerationEngine | None = None) -> None:
    engine = generator or GenerationEngine(context.settings, context.storage)
    assert generate_next(context, WorkerHeartbeat(context), engine)


def test_generation_gives_artifacts_and_an_output(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory, storage: Storage, broker: NullBroker
) -> None:
    request: dict[str, Any] = {"model": checkpoint.id, "sampling": {"n": 4}, "seed": 3, "format": "npy"}
    job_id = jobs.generated(database, generating.settings, **request)

    attempt(generating)

    job = jobs.read_job(database, job_id)
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    assert job.output is not None
    assert (job.output["width"], job.output["height"], job.output["n"]) == (28, 28, 4)
    with reading(database) as session:
        [file], _ = artifacts.list_for_job(session, job_id)
    data = storage.read_bytes(file.storage_key)
    assert (file.kind, file.media_type, file.size) == ("output", "application/x-npy", len(data))
    assert np.load(io.BytesIO(data)).shape == (4, 1, 28, 28)
    assert broker.done == {job_id}
    assert list(generating.settings.runs_path.glob("gen_*")) == []


def test_same_seed_gives_the_same_bytes(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory
) -> None:
    generator = GenerationEngine(generating.settings, generating.storage)
    digests = []
    for seed in (5, 5, 6):
        job_id = jobs.generated(database, generating.settings, model=checkpoint.id, seed=seed)
        attempt(generating, generator)
        with reading(database) as session:
            digests += [file.sha256 for file in artifacts.list_for_job(session, job_id)[0]]
    assert digests[0] == digests[1] != digests[2]


def test_missing_or_damaged_checkpoint_fails_the_job_at_once(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory, storage: Storage
) -> None:
    damaged = storage.local_path(f"{checkpoint.storage_key}/{WEIGHTS}")
    assert damaged is not None
    data = damaged.read_bytes()
    damaged.unlink()  # it is a hard link to the trained checkpoint
    damaged.write_bytes(data[:-1])
    first = jobs.generated(database, generating.settings, model=checkpoint.id)
    attempt(generating)
    storage.delete_tree(checkpoint.storage_key)
    second = jobs.generated(database, generating.settings, model=checkpoint.id)
    attempt(generating)

    for job_id in (first, second):
        job = jobs.read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.FAILED, 1)
        assert job.error is not None
        assert job.error["code"] == "checkpoint_unusable"


def test_export_gives_a_verified_file_for_each_part_and_the_worker_continues(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory, storage: Storage
) -> None:
    with transaction(database) as session:
        job = session.get_one(Job, checkpoint.job_id)
        spec = {name: job.spec[name] for name in ("dataset", "hyperparameters")}
        model = Model(id=new_id("mdl"), job_id=job.id, checkpoint_id=checkpoint.id, model_type="vae", **spec)
        session.add(model)
        session.flush()
        export, _ = exports.submit(session, model.id, "onnx")
    generator = GenerationEngine(generating.settings, storage)

    attempt(generating, generator)

    made = jobs.read_job(database, export.id)
    assert (made.status, made.error) == (JobStatus.SUCCEEDED, None)
    assert made.output == {"parts": ["decoder", "encoder"]}
    with reading(database) as session:
        files, _ = artifacts.list_for_job(session, export.id)
    assert {file.name for file in files} == {"decoder.onnx", "encoder.onnx"}
    for file in files:
        metadata = {
            entry.key: entry.value
            for entry in onnx.load_from_string(storage.read_bytes(file.storage_key)).metadata_props
        }
        assert (metadata["dataset"], metadata["checkpoint_sha256"]) == ("digits", checkpoint.sha256)
        assert file.details["max_abs_difference"] < 1e-4
    sampled = jobs.generated(database, generating.settings, model=checkpoint.id)
    attempt(generating, generator)
    assert jobs.status_of(database, sampled) is JobStatus.SUCCEEDED


class Slow(GenerationEngine):
    """A generator during whose work the job changes."""

    def __init__(self, context: WorkerContext, change: Any) -> None:
        super().__init__(context.settings, context.storage)
        self._change = change

    def generate(self, *arguments: Any, **options: Any) -> Any:
        output = super().generate(*arguments, **options)
        self._change()
        return output


def test_cancel_during_sampling_takes_precedence(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory, broker: NullBroker
) -> None:
    job_id = jobs.generated(database, generating.settings, model=checkpoint.id)

    attempt(generating, Slow(generating, lambda: jobs.cancel(database, job_id)))

    assert jobs.status_of(database, job_id) is JobStatus.CANCELLED
    with reading(database) as session:
        assert job_id in broker.done
        assert event_types(database, job_id) == ["queued", "running", "cancelling", "cancelled"]
        assert session.get_one(GenerationJob, job_id).output is None
        assert artifacts.list_for_job(session, job_id) == ([], False)


def test_result_of_a_worker_without_its_lease_is_not_published(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory, broker: NullBroker
) -> None:
    job_id = jobs.generated(database, generating.settings, model=checkpoint.id)

    attempt(generating, Slow(generating, lambda: jobs.set_values(database, job_id, fencing_token=9)))

    job = jobs.read_job(database, job_id)
    assert (job.status, job.output, broker.done) == (JobStatus.RUNNING, None, set())
    with reading(database) as session:
        assert artifacts.list_for_job(session, job_id) == ([], False)


def test_unexpected_error_is_retried(
    generating: WorkerContext, checkpoint: Checkpoint, database: SessionFactory
) -> None:
    job_id = jobs.generated(database, generating.settings, model=checkpoint.id, max_attempts=2)

    def fail() -> None:
        raise RuntimeError("a bug")

    attempt(generating, Slow(generating, fail))
    assert jobs.status_of(database, job_id) is JobStatus.QUEUED
    jobs.set_values(database, job_id, not_before=None)
    attempt(generating, Slow(generating, fail))
    job = jobs.read_job(database, job_id)
    assert (job.status, job.error and job.error["code"]) == (JobStatus.FAILED, "internal")


@contextmanager
def endless(settings: Settings) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker process that claims the next generation and never finishes it."""
    environment = {
        **os.environ,
        "MIMEO_HOME": str(settings.home),
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "MIMEO_REDIS_URL": settings.resolved_redis_url,
        "MIMEO_STOP_GRACE_S": "0.5",
        "MIMEO_BLOCK_TIMEOUT_S": "0.5",
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.worker.attempts.endless", "1"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_endless_generation_fails_with_timeout_and_its_worker_restarts(
    checkpoint: Checkpoint, database: SessionFactory, generating: WorkerContext
) -> None:
    job_id = jobs.generated(database, generating.settings, model=checkpoint.id, timeout_s=1)

    with endless(generating.settings) as worker:
        assert worker.wait(PATIENCE_S) == 75

    job = jobs.read_job(database, job_id)
    assert (job.status, job.error and job.error["code"]) == (JobStatus.FAILED, "timeout")
    assert threading.active_count() < 50


def test_generation_that_delays_the_stop_of_its_worker_is_released(
    checkpoint: Checkpoint, database: SessionFactory, generating: WorkerContext
) -> None:
    job_id = jobs.generated(database, generating.settings, model=checkpoint.id, max_attempts=1)
    with endless(generating.settings) as worker:
        wait_until(lambda: list(generating.settings.runs_path.glob("gen_*")))

        worker.send_signal(signal.SIGTERM)

        assert worker.wait(PATIENCE_S) == 0
    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert event_types(database, job_id)[-1] == "released"
