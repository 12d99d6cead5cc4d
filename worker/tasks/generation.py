"""The generation task. This process keeps models in memory and imports torch before the first notification."""

from collections.abc import Callable

from shared.db.tables import GenerationJob
from worker.attempts import workdir
from worker.attempts.generation import sample
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.tasks.claim import claim
from worker.worker_heartbeat import WorkerHeartbeat


def prepare(context: WorkerContext, worker_heartbeat: WorkerHeartbeat) -> Callable[[], None]:
    """Remove the folders of killed workers, make the generation engine, and return the task."""
    workdir.sweep(context)
    generator = GenerationEngine(context.settings, context.storage)

    def run_next() -> None:
        """Claim the first due generation job and run it."""
        job = claim(context)
        if isinstance(job, GenerationJob):
            with worker_heartbeat.working_on(job.id):
                sample(context, job, generator)

    return run_next
