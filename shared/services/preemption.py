"""Preemption: a running training that is `preemptible` gives way to a waiting one of a higher priority.

The worker of the chosen job finds the request when it next reads the row, writes a checkpoint, and queues the job
again. The request ends with the attempt, however it ends.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, select, update
from sqlalchemy.orm import Session

from shared.db.clock import Timestamp, db_now
from shared.db.tables import Job, Worker
from shared.job_status import JobKind, JobStatus
from shared.services import fair_share, job_history, placements, queue_stats
from shared.services.queue_order import IS_HELD, JOBS, is_due, touched
from shared.services.workers import is_alive
from shared.settings import Settings

_MOST_AHEAD = 200
# The attempt has run long enough, so that each one gets further.
_IS_VICTIM = and_(
    JOBS.c.kind == JobKind.TRAINING,
    IS_HELD,
    JOBS.c.status == JobStatus.RUNNING,
    JOBS.c.preemptible,
    JOBS.c.preempted_by.is_(None),
    JOBS.c.claimed_at <= db_now() - bindparam("shortest_ms", type_=Timestamp()),
)
_IS_POSSIBLE = select(exists(select(JOBS.c.id).where(_IS_VICTIM)))


def is_possible(connection: Connection, settings: Settings) -> bool:
    """Whether any running training may be preempted now. Reads only."""
    return bool(connection.execute(_IS_POSSIBLE, _parameters(settings)).scalar_one())


def preempt(session: Session, settings: Settings) -> str | None:
    """Request that one running training gives way, if a waiting one of a higher priority is to run before it.

    The waiting job is the first in the queue for which neither an idle worker nor a running preemption is left; it has
    waited for a heartbeat, so that a worker that has just ended its job can claim it. Among the jobs with the lowest
    priority, the one that was claimed last gives way. Returns its id.
    """
    if placements.names(session):
        found = (_preempt_for(session, settings, *each) for each in _without_able_worker(session, settings))
        return next(filter(None, found), None)
    waiting = _first_without_worker(session, settings)
    return None if waiting is None else _preempt_for(session, settings, waiting)


def _preempt_for(session: Session, settings: Settings, waiting: Job, workers: list[str] | None = None) -> str | None:
    """Request that a running training gives way to a job; returns its id. workers: those that can run it; None: all."""
    victims = select(JOBS.c.id).where(_IS_VICTIM, JOBS.c.priority > waiting.priority)
    if workers is not None:
        victims = victims.where(JOBS.c.worker.in_(workers))
    if _is_at_limit(session, waiting, settings):
        victims = victims.where(JOBS.c.share == waiting.share)
    victims = victims.order_by(JOBS.c.priority.desc(), JOBS.c.claimed_at.desc(), JOBS.c.id).limit(1)
    chosen = victims.with_for_update(skip_locked=True).scalar_subquery()
    statement = update(JOBS).where(JOBS.c.id == chosen).values(preempted_by=waiting.id, **touched())
    row = session.execute(statement.returning(JOBS.c.id, JOBS.c.attempt), _parameters(settings)).one_or_none()
    if row is None:
        return None
    message = "A job of a higher priority waits; the trainer writes a checkpoint and gives way."
    job_history.add(session, row.id, event="preempting", message=message, attempt=row.attempt)
    return str(row.id)


def _first_without_worker(session: Session, settings: Settings) -> Job | None:
    limit = fair_share.running_limit(settings, JobKind.TRAINING)
    ahead = _idle_workers(session, settings) + _preempting(session)
    if ahead > _MOST_AHEAD:
        return None
    first = queue_stats.first_in_queue(session, JobKind.TRAINING, ahead + 1, running_limit=limit)
    if len(first) <= ahead:
        return None
    return session.scalars(select(Job).where(Job.id == first[ahead], *_has_waited(settings))).one_or_none()


def _without_able_worker(session: Session, settings: Settings) -> Iterator[tuple[Job, list[str]]]:
    """The jobs for which neither an idle worker nor a running preemption is left, each with its able workers.

    Each job before them takes one of its able workers, the one that meets the fewest placements.
    """
    known = placements.names(session)
    alive = session.scalars(select(Worker).where(Worker.kind == JobKind.TRAINING, is_alive(settings, leases=1)))
    abilities = {worker.id: placements.ability_of(worker) for worker in alive}
    held = select(JOBS.c.worker, JOBS.c.preempted_by).where(JOBS.c.kind == JobKind.TRAINING, IS_HELD)
    busy = {row.worker for row in session.execute(held) if row.preempted_by is None}
    free = [name for name in abilities if name not in busy]
    free.sort(key=lambda name: (sum(map(abilities[name].meets, known)), name))
    victims = session.execute(select(JOBS.c.worker, JOBS.c.priority).where(_IS_VICTIM), _parameters(settings)).all()
    limit = fair_share.running_limit(settings, JobKind.TRAINING)
    first = queue_stats.first_in_queue(session, JobKind.TRAINING, _MOST_AHEAD, running_limit=limit)
    waited = set(session.scalars(select(Job.id).where(Job.id.in_(first), *_has_waited(settings))))
    found = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(first)))}
    for job in (found[job_id] for job_id in first if job_id in found):
        able = [name for name, ability in abilities.items() if ability.meets(job.placement)]
        idle = next((name for name in free if name in able), None)
        if idle is not None:
            free.remove(idle)
        elif job.id in waited and any(row.worker in able and row.priority > job.priority for row in victims):
            yield job, able


def _has_waited(settings: Settings) -> tuple[ColumnElement[bool], ...]:
    return is_due(), Job.updated_at <= db_now() - round(1000 * settings.heartbeat_s)


def _idle_workers(session: Session, settings: Settings) -> int:
    is_training = Worker.kind == JobKind.TRAINING
    alive = select(func.count()).select_from(Worker).where(is_training, is_alive(settings, leases=1))
    held = select(func.count()).select_from(JOBS).where(JOBS.c.kind == JobKind.TRAINING, IS_HELD)
    return max(0, session.execute(alive).scalar_one() - session.execute(held).scalar_one())


def _preempting(session: Session) -> int:
    requested = (JOBS.c.kind == JobKind.TRAINING, IS_HELD, JOBS.c.preempted_by.is_not(None))
    return session.execute(select(func.count()).select_from(JOBS).where(*requested)).scalar_one()


def _is_at_limit(session: Session, job: Job, settings: Settings) -> bool:
    limit = fair_share.running_limit(settings, JobKind.TRAINING)
    held = select(func.count()).select_from(JOBS)
    held = held.where(JOBS.c.kind == JobKind.TRAINING, IS_HELD, JOBS.c.share == job.share)
    return limit is not None and session.execute(held).scalar_one() >= limit


def _parameters(settings: Settings) -> dict[str, int]:
    return {"shortest_ms": round(1000 * settings.preempt_after_s)}
