"""Attempts at jobs, with the trainer without a model."""

import sys
import threading
from dataclasses import replace
from pathlib import Path

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import JobEvent, TrainingJob
from shared.job_status import JobKind
from shared.services import checkpoints, job_history, job_queue
from tests.waiting import PATIENCE_S
from worker.attempts.open_generations import OpenGenerations
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.generation.output import Engine
from worker.tasks.generation import run_first
from worker.worker_heartbeat import WorkerHeartbeat

FAKE_TRAINER = Path(__file__).parents[1] / "fake_trainer.py"


def claim(context: WorkerContext) -> TrainingJob:
    """Claim the next job, which must exist."""
    with transaction(context.sessions) as session:
        job = job_queue.claim_next(session, JobKind.TRAINING, context.id)
    assert isinstance(job, TrainingJob)
    return job


def behaving(context: WorkerContext, behaviour: str) -> WorkerContext:
    """The same worker, with a trainer of the given behaviour."""
    return replace(context, trainer=[sys.executable, str(FAKE_TRAINER), behaviour])


def attempt(context: WorkerContext, worker_heartbeat: WorkerHeartbeat, behaviour: str) -> TrainingJob:
    """Claim the next job and run one attempt to its end."""
    job = claim(context)
    run_attempt(behaving(context, behaviour), job, worker_heartbeat)
    return job


def generate_next(context: WorkerContext, worker_heartbeat: WorkerHeartbeat, engine: Engine) -> bool:
    """Claim the next generation job and run one attempt to its end, with the jobs that interrupt it."""
    return run_first(context, worker_heartbeat, engine, OpenGenerations(context))


class Background:
    """An attempt in a thread of its own."""

    def __init__(self, context: WorkerContext, worker_heartbeat: WorkerHeartbeat, behaviour: str) -> None:
        self.job = claim(context)
        self._thread = threading.Thread(
            target=run_attempt, args=(behaving(context, behaviour), self.job, worker_heartbeat)
        )
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def history(database: SessionFactory, job_id: str) -> list[JobEvent]:
    """A job's events."""
    with reading(database) as session:
        return job_history.list_for_job(session, job_id)[0]


def event_types(database: SessionFactory, job_id: str) -> list[str]:
    """Types of a job's events."""
    return [event.type for event in history(database, job_id)]


def workdirs(context: WorkerContext) -> list[Path]:
    """Workdirs on this machine."""
    return list(context.settings.runs_path.glob("*_*-*"))


def has_checkpoint(database: SessionFactory, job_id: str) -> bool:
    """Whether a job has a checkpoint in the database."""
    with reading(database) as session:
        return bool(checkpoints.list_for_job(session, job_id))
