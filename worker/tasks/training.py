"""The training task. This process never imports torch: the trainer is a child."""

from collections.abc import Callable

from shared.db.models import TrainingJob
from worker.beat import Beat
from worker.context import WorkerContext
from worker.supervision import run_folder
from worker.supervisor import supervise
from worker.tasks.claiming import claim


def prepare(context: WorkerContext, beat: Beat) -> Callable[[], None]:
    """Tidy up after killed workers and make the task."""
    run_folder.sweep(context)

    def run_next() -> None:
        """Claim the first due training job and see it through."""
        job = claim(context)
        if isinstance(job, TrainingJob):
            with beat.working_on(job.id):
                supervise(context, job, beat)

    return run_next
