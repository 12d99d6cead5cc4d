"""The claim, with which every task begins."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared import disk_space, tracing
from shared.db.session import is_transient, transaction
from shared.db.tables import Job, TrainingJob
from shared.failpoints import failpoint
from shared.job_status import JobKind
from shared.placement import Ability
from shared.services import fair_share, job_queue, placements
from shared.services.claim_statements import Urgency
from shared.services.placements import NewPlacement
from worker.context import WorkerContext
from worker.held_device import HeldDevice, NoRoom
from worker.neighbours import threads_of_job

log = structlog.get_logger(__name__)


def claim(context: WorkerContext, above: Urgency | None = None, *, held: HeldDevice | None = None) -> Job | None:
    """Take the first due job of this worker's kind that it can run, regardless of the job that the notification names.

    above: take only a job that interrupts the running one. held: the device of a training worker, which must have room.

    None: no such job is due, this worker is stopping, its device is lost or has no room, the disk has too little space,
    or the database is unavailable. In the last two cases the reconciler sends the notification again.
    """
    if context.stopping.is_set():
        return None
    if problem := disk_space.shortage(context.settings):
        log.warning("nothing claimed; the disk has too little space", reason=problem)
        return None
    try:
        job = _claim(context, above, held)
    except NoRoom:
        return None
    except SQLAlchemyError as error:
        if not is_transient(error):
            raise
        log.warning("nothing claimed; the database is unavailable", reason=str(error))
        return None
    failpoint("claim.committed")
    return job


def ability_of(context: WorkerContext) -> Ability | None:
    """What this worker can run; None: every job of its kind."""
    if context.kind is not JobKind.TRAINING:
        return None
    return Ability(device=context.device, labels=frozenset(context.settings.worker_labels))


def _claim(context: WorkerContext, above: Urgency | None, held: HeldDevice | None) -> Job | None:
    while True:
        try:
            with transaction(context.sessions) as session:
                return _claim_in(session, context, above, held)
        except NewPlacement as error:
            log.debug("claim repeated: a job has a new placement", placement=error.name)
            with transaction(context.sessions) as session:
                placements.add(session, error.name)


def _claim_in(session: Session, context: WorkerContext, above: Urgency | None, held: HeldDevice | None) -> Job | None:
    """The claim in one transaction, which has to be rolled back where this raises NewPlacement or NoRoom."""
    limit, ability = fair_share.running_limit(context.settings, context.kind), ability_of(context)
    if held is not None:
        held.verify(session)
    job = job_queue.claim_next(session, context.kind, context.id, above, running_limit=limit, ability=ability)
    if held is not None and isinstance(job, TrainingJob):
        held.admit(session, job)
        if job.threads is None:
            job.threads = threads_of_job(context, session)
    return job


@contextmanager
def logged(job: Job) -> Iterator[None]:
    """Name the attempt, and the request that submitted the job, in every log line of the block and of its threads."""
    about = {"job_id": job.id, "attempt": job.attempt, "request_id": job.request_id}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in about.items() if value is not None}):
        log.info("job claimed")
        attributes = {"mimeo.job.id": job.id, "mimeo.job.attempt": job.attempt, "mimeo.job.model_type": job.model_type}
        with tracing.span(f"{job.kind} attempt", parent=job.trace_parent, kind="CONSUMER", attributes=attributes):
            yield
