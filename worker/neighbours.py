"""The training workers that share this machine's cores: how many threads a job gets, and whether it is alone."""

from sqlalchemy.orm import Session

from shared.services import workers
from worker import host
from worker.context import WorkerContext


def threads_of_job(context: WorkerContext, session: Session) -> int:
    """Threads of a job whose first attempt starts now."""
    return host.threads(_count(context, session))


def is_alone(context: WorkerContext, session: Session) -> bool:
    """Whether no other training worker shares the cores."""
    return _count(context, session) == 1


def _count(context: WorkerContext, session: Session) -> int:
    """The live training workers of the machine. Those that this one was started beside may have no heartbeat yet."""
    started = context.settings.jobs_per_device
    others = workers.count_neighbours(session, context.settings, worker_id=context.id, machine=context.machine)
    return max(1 + others, started if isinstance(started, int) else 1)
