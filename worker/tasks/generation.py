"""The generation task. This process keeps models in memory and imports torch before the first notification."""

from collections.abc import Callable
from contextlib import ExitStack

from shared.db.tables import GenerationJob
from shared.services.claim_statements import Urgency
from worker.attempts import workdir
from worker.attempts.generation import sample
from worker.attempts.open_generations import OpenGenerations
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.generation.output import Engine
from worker.tasks.claim import claim, logged
from worker.worker_heartbeat import WorkerHeartbeat


def prepare(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    background: ExitStack,  # noqa: ARG001 - every kind of task has this shape
) -> Callable[[], None]:
    """Remove the folders of killed workers, make the generation engine, and return the task."""
    workdir.sweep(context)
    engine = GenerationEngine(context.settings, context.storage)
    worker_heartbeat.measure_memory(engine.memory)
    open_generations = OpenGenerations(context)

    def run_next() -> None:
        """Claim the first due generation job and run it."""
        run_first(context, worker_heartbeat, engine, open_generations)

    return run_next


def run_first(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    engine: Engine,
    open_generations: OpenGenerations,
    above: Urgency | None = None,
) -> bool:
    """Claim the first due generation job and run it. False: none was due.

    above: claim only a job that interrupts the running one. The thread runs it between two blocks of that one.
    """
    job = claim(context, above)
    if not isinstance(job, GenerationJob):
        return False

    def run_urgent(urgency: Urgency) -> bool:
        return run_first(context, worker_heartbeat, engine, open_generations, urgency)

    with logged(job), worker_heartbeat.working_on(job.id):
        sample(context, job, engine, open_generations, run_urgent)
    return True
