"""Attempts that run out of memory: reported by the trainer, and by a real limit of the kernel."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from shared import model_types
from shared.datasets import REGISTRY
from shared.db.session import SessionFactory, reading
from shared.job_status import JobStatus
from shared.services import checkpoints, training_jobs
from shared.settings import Settings
from tests import jobs
from tests.worker.attempts.harness import attempt, claim, event_types, history
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

# A step needs about 720 MiB for the whole batch, and 380 MiB for half of it.
LARGE_BATCH = {"hidden": [256] * 6, "batch_size": 16_384, "examples_per_epoch": 16_384, "epochs": 1}
BETWEEN_HALF_AND_WHOLE = 540  # MiB
GAN = {"batch_size": 2_048, "width": 64, "examples_per_epoch": 2_048, "epochs": 1}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Estimates admit every job."""
    return settings.model_copy(update={"worker_memory_bytes": 1 << 50})


def run_limited(context: WorkerContext, worker_heartbeat: WorkerHeartbeat, megabytes: int) -> None:
    """Run one attempt with the real trainer, which has so much memory beyond its libraries."""
    command = [sys.executable, "-m", "tests.worker.limited_trainer", str(megabytes)]
    run_attempt(replace(context, trainer=command), claim(context), worker_heartbeat)


def test_attempt_without_memory_continues_from_its_checkpoint_in_parts(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)

    attempt(context, worker_heartbeat, "out_of_memory")
    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, job_id)] == [3]
    attempt(context, worker_heartbeat, "out_of_memory")

    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job.batch_parts) == (JobStatus.SUCCEEDED, 1, 2)
    assert event_types(database, job_id) == [
        *("queued", "running", "started", "smaller_batches"),
        *("running", "started", "collapse", "succeeded"),
    ]
    assert [event.data["step"] for event in history(database, job_id) if event.type == "started"] == [0, 3]


def body(name: str, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"model_type": name, "dataset": "digits", "hyperparameters": hyperparameters, "evaluation": "none"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel enforces RLIMIT_DATA on Linux")
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_run_that_a_real_limit_stops_succeeds_with_half_batches(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, **body("vae", LARGE_BATCH))

    run_limited(context, worker_heartbeat, BETWEEN_HALF_AND_WHOLE)
    (shortage,) = (event for event in history(database, job_id) if event.type == "smaller_batches")
    assert BETWEEN_HALF_AND_WHOLE / 2 < shortage.data["available_bytes"] >> 20 < BETWEEN_HALF_AND_WHOLE * 2
    run_limited(context, worker_heartbeat, BETWEEN_HALF_AND_WHOLE)

    with reading(database) as session:
        job = training_jobs.get(session, job_id)
        assert job.model is not None
        assert (job.status, job.attempt, job.batch_parts) == (JobStatus.SUCCEEDED, 1, 2)
        assert [warning["code"] for warning in job.warnings or []] == ["smaller_batches"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel enforces RLIMIT_DATA on Linux")
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_gan_that_a_real_limit_stops_fails_with_the_batch_size_that_fits(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, **body("gan", GAN))

    run_limited(context, worker_heartbeat, 1_000)

    job, (*_, failed) = jobs.read_job(database, job_id), history(database, job_id)
    assert (job.status, job.attempt, failed.type) == (JobStatus.FAILED, 1, "failed")
    assert job.error is not None
    assert job.error["code"] == "out_of_memory"
    fitting, kind = failed.data["fitting_batch_size"], model_types.get("gan")
    needed = kind.training_bytes(kind.resolve("fast", {**GAN, "batch_size": fitting}), REGISTRY["digits"].shape)
    assert needed <= failed.data["available_bytes"] < failed.data["needed_bytes"]
    assert f"batch_size of at most {fitting:,}" in job.error["hint"]
