"""The generation task. Models stay warm in this process; torch is loaded before the first notification is received."""

from collections.abc import Callable

from shared.db.tables import GenerationJob
from worker.attempts import workdir
from worker.attempts.generation import sample
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.tasks.claim import claim
from worker.worker_heartbeat import WorkerHeartbeat


def prepare(context: WorkerContext, worker_heartbeat: WorkerHeartbeat) -> Callable[[], None]:
    """Tidy up after killed workers, warm up, and make the task."""
    workdir.sweep(context)
    generator = GenerationEngine(context.settings, context.storage)

    def run_next() -> None:
        """Claim the first due generation job and see it through."""
        job = claim(context)
        if isinstance(job, GenerationJob):
            with worker_heartbeat.working_on(job.id):
                sample(context, job, generator)

    return run_next
