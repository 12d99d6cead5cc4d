"""Ends of training attempts that ran out of memory, on SQLite and PostgreSQL."""

from collections.abc import Mapping
from typing import Any

import pytest

from shared import model_types
from shared.datasets import REGISTRY
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import JobEvent, TrainingJob
from shared.errors import LeaseLost, OutOfMemory
from shared.job_status import JobStatus
from shared.services import job_history, job_queue, memory_shortage, training_jobs, transitions
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs

MIB = 1 << 20
VAE = {"model_type": "vae", "hyperparameters": {"batch_size": 10_001, "hidden": [64]}}
GAN = {"model_type": "gan", "hyperparameters": {"batch_size": 4096, "width": 64}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Estimates admit every job."""
    return settings.model_copy(update={"worker_memory_bytes": 1 << 50})


def run_out(
    database: SessionFactory, lease: Lease, settings: Settings, available_bytes: int | None = 100 * MIB
) -> JobStatus:
    failure = OutOfMemory("The run needs more memory.", available_bytes=available_bytes)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        return memory_shortage.finish_out_of_memory(fenced, failure, settings)


def claim_again(database: SessionFactory) -> Lease:
    lease = jobs.claimed(database)
    assert lease is not None
    return lease


def job_of(database: SessionFactory, lease: Lease) -> TrainingJob:
    with reading(database) as session:
        return training_jobs.get(session, lease.job_id)


def last_event(database: SessionFactory, lease: Lease) -> JobEvent:
    with reading(database) as session:
        return job_history.list_for_job(session, lease.job_id)[0][-1]


def estimate(body: Mapping[str, Any], batch_size: int) -> int:
    kind = model_types.get(body["model_type"])
    hyperparameters = kind.resolve("fast", {**body["hyperparameters"], "batch_size": batch_size})
    return kind.training_bytes(hyperparameters, REGISTRY["digits"].shape)


def test_first_shortage_queues_the_job_at_once_with_batches_in_two_parts(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings, max_attempts=1, **VAE)
    version = jobs.read_job(database, lease.job_id).version

    assert run_out(database, lease, settings) is JobStatus.QUEUED

    job = job_of(database, lease)
    assert (job.batch_parts, job.attempt, job.not_before, job.notified_at) == (2, 0, None, None)
    assert (job.error, job.worker) == (None, None)
    assert job.version > version
    assert [(warning["code"], warning["step"]) for warning in job.warnings or []] == [("smaller_batches", None)]
    assert "each batch of 10,001 in 2 parts" in (job.warnings or [])[0]["message"]
    event = last_event(database, lease)
    assert (event.type, event.attempt, event.data["batch_parts"]) == ("smaller_batches", 1, 2)
    assert event.data["error"]["code"] == "out_of_memory"
    assert event.data["needed_bytes"] == estimate(VAE, 10_001)
    assert event.data["needed_with_parts"] == estimate(VAE, 5_001)
    assert claim_again(database) == Lease(job_id=lease.job_id, fencing_token=2, attempt=1)


def test_second_shortage_fails_the_job_with_the_batch_size_that_fits(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings, **VAE)
    available = estimate(VAE, 2_000)
    run_out(database, lease, settings, available)

    assert run_out(database, claim_again(database), settings, available) is JobStatus.FAILED

    job, data = job_of(database, lease), last_event(database, lease).data
    assert job.error is not None
    assert (job.error["code"], job.error["message"]) == ("out_of_memory", "The run needs more memory.")
    assert data["needed_bytes"] == estimate(VAE, 5_001)
    assert estimate(VAE, data["fitting_batch_size"]) <= available < estimate(VAE, data["fitting_batch_size"] + 1)
    assert f"batch_size of at most {data['fitting_batch_size']:,}" in job.error["hint"]
    assert {name: data[name] for name in job.error} == job.error


def test_job_with_batch_normalization_fails_at_once_with_the_figure(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings, **GAN)
    available = estimate(GAN, 2000)
    assert available < estimate(GAN, 2001)

    assert run_out(database, lease, settings, available) is JobStatus.FAILED

    job = job_of(database, lease)
    assert (job.batch_parts, job.warnings or []) == (1, [])
    assert job.error is not None
    assert "batch_size of at most 2,000" in job.error["hint"]


def test_batch_of_one_example_is_not_split(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, model_type="vae", hyperparameters={"batch_size": 1})

    assert run_out(database, lease, settings, MIB) is JobStatus.FAILED

    error = job_of(database, lease).error
    assert error is not None
    assert "No smaller batch_size fits" in error["hint"]


def test_attempt_that_fits_by_the_estimate_is_told_half_of_its_batch_at_most(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings, **GAN)

    run_out(database, lease, settings, 1 << 40)

    error, data = job_of(database, lease).error, last_event(database, lease).data
    assert error is not None
    assert "Other processes on the machine may have used the rest" in error["hint"]
    fitting = data["fitting_batch_size"]
    assert estimate(GAN, fitting) <= estimate(GAN, 4096) // 2 < estimate(GAN, fitting + 1)


def test_unknown_memory_is_the_limit_of_the_worker(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, **GAN)
    small = settings.model_copy(update={"worker_memory_bytes": estimate(GAN, 2000)})

    run_out(database, lease, small, None)

    data = last_event(database, lease).data
    assert (data["available_bytes"], data["fitting_batch_size"]) == (estimate(GAN, 2000), 2000)


def test_requested_cancel_takes_precedence(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, **VAE)
    jobs.cancel(database, lease.job_id)

    assert run_out(database, lease, settings) is JobStatus.CANCELLED
    assert job_of(database, lease).batch_parts == 1


def test_requested_pause_takes_precedence_and_the_resumed_job_has_parts(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings, **VAE)
    with transaction(database) as session:
        transitions.pause(session, lease.job_id)

    assert run_out(database, lease, settings) is JobStatus.PAUSED

    job = job_of(database, lease)
    assert (job.batch_parts, job.attempt) == (2, 0)
    with reading(database) as session:
        types = [event.type for event in job_history.list_for_job(session, lease.job_id)[0]]
    assert types == ["queued", "running", "pausing", "smaller_batches", "paused"]


def test_worker_without_the_lease_changes_nothing(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, **VAE)
    jobs.set_values(database, lease.job_id, fencing_token=lease.fencing_token + 1)

    with pytest.raises(LeaseLost):
        run_out(database, lease, settings)

    job = job_of(database, lease)
    assert (job.status, job.batch_parts, job.warnings or []) == (JobStatus.RUNNING, 1, [])


def test_hyperparameters_of_another_version_fail_without_figures(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, **VAE)
    spec = jobs.read_job(database, lease.job_id).spec
    jobs.set_values(database, lease.job_id, spec={**spec, "hyperparameters": {"unknown": 1}})

    assert run_out(database, lease, settings) is JobStatus.FAILED

    error = job_of(database, lease).error
    assert error == {"code": "out_of_memory", "message": "The run needs more memory.", "hint": None}
