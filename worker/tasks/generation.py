"""The generation task. Models stay warm in this process; torch is loaded before the first hint is taken."""

from collections.abc import Callable

from shared.db.models import GenerationJob
from worker.beat import Beat
from worker.context import WorkerContext
from worker.generation.engine import Generator
from worker.supervision import run_folder
from worker.supervision.sampling import sample
from worker.tasks.claiming import claim


def prepare(context: WorkerContext, beat: Beat) -> Callable[[], None]:
    """Tidy up after killed workers, warm up, and make the task."""
    run_folder.sweep(context)
    generator = Generator(context.settings, context.storage)

    def run_next() -> None:
        """Claim the first due generation job and see it through."""
        job = claim(context)
        if isinstance(job, GenerationJob):
            with beat.working_on(job.id):
                sample(context, job, generator)

    return run_next
