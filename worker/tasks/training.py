"""The training task. This process never imports torch: the trainer is a child."""

from collections.abc import Callable

from shared.db.tables import TrainingJob
from worker.attempts import workdir
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.tasks.claim import claim
from worker.worker_heartbeat import WorkerHeartbeat


def prepare(context: WorkerContext, worker_heartbeat: WorkerHeartbeat) -> Callable[[], None]:
    """Remove the folders of killed workers and return the task."""
    workdir.sweep(context)

    def run_next() -> None:
        """Claim the first due training job and run it."""
        job = claim(context)
        if isinstance(job, TrainingJob):
            with worker_heartbeat.working_on(job.id):
                run_attempt(context, job, worker_heartbeat)

    return run_next
