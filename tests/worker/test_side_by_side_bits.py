"""A training beside another one has the bits that it has alone, with the same number of threads."""

import threading
from dataclasses import replace

import pytest

from shared.db.session import SessionFactory, reading
from shared.db.tables import TrainingJob
from shared.settings import Settings
from tests import jobs
from tests.worker.attempts.harness import claim
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

TEXT = {
    "model_type": "lstm",
    "dataset": "python-source",
    "evaluation": "none",
    "hyperparameters": {"epochs": 1, "examples_per_epoch": 256},
}


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """One database is enough: the test is of the trainer."""
    return str(request.param)


def start(context: WorkerContext, settings: Settings, seed: int) -> tuple[str, threading.Thread]:
    """A job with two threads, and the thread of its attempt."""
    job_id = jobs.submitted(context.sessions, settings, seed=seed, **TEXT)
    jobs.set_values(context.sessions, job_id, threads=2)
    own = replace(context, id=f"wrk_{job_id}")
    thread = threading.Thread(target=run_attempt, args=(own, claim(own), WorkerHeartbeat(own)))
    thread.start()
    return job_id, thread


def weights(database: SessionFactory, job_id: str) -> str:
    with reading(database) as session:
        job = session.get_one(TrainingJob, job_id)
        assert job.model is not None, job.error
        return job.model.checkpoint.sha256


@pytest.mark.slow
def test_training_beside_another_has_the_bits_that_it_has_alone(
    context: WorkerContext, database: SessionFactory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone, thread = start(context, settings, seed=1)
    thread.join()
    beside = [start(context, settings, seed) for seed in (1, 2)]
    for _, thread in beside:
        thread.join()

    again, other = (weights(database, job_id) for job_id, _ in beside)
    assert again == weights(database, alone)
    assert other != again
