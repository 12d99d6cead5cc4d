"""Figures about all jobs, for whoever watches the service."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Job
from shared.job_status import JobKind, JobStatus
from shared.services import job_queue


def count_by_status(session: Session) -> dict[tuple[JobKind, JobStatus], int]:
    """How many jobs of each kind are in each status; combinations without any are left out."""
    query = select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query)}


def oldest_queued_s(session: Session) -> dict[JobKind, float]:
    """Seconds that the longest waiting job of each kind has been queued, by kind: not counting what came before."""
    query = select(Job.kind, func.min(Job.updated_at), db_now()).where(Job.status == JobStatus.QUEUED)
    rows = session.execute(query.group_by(Job.kind))
    return {kind: max(0.0, (now - since).total_seconds()) for kind, since, now in rows}


def queue_positions(
    session: Session, jobs: Sequence[Job], *, counted: int = job_queue.COUNTED_POSITIONS
) -> dict[str, int]:
    """Position of each waiting job among `jobs`, all of one kind, by id, as `job_queue.queue_position` gives it.

    Jobs of a page are mostly far back together, which one look at the last position that is counted tells; where some
    are before that, one walk along the front of the queue numbers them.
    """
    waiting = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not waiting:
        return {}
    last = session.execute(job_queue.front(waiting[0].kind, 1).offset(counted - 1)).one_or_none()
    # Of the same millisecond as the last: its id decides, in the database's order.
    far = [job for job in waiting if last is not None and (job.priority, job.created_at) > (last[0], last[1])]
    positions = {job.id: counted + 1 for job in far}
    near = [job for job in waiting if job.id not in positions]
    if near:
        positions |= _numbers(session, near, counted)
    # What waits for its back-off to pass is not in the queue yet; it would come where it is sorted in.
    for job in near:
        if job.id not in positions and (position := job_queue.queue_position(session, job, counted=counted)):
            positions[job.id] = position
    return positions


def _numbers(session: Session, jobs: Sequence[Job], counted: int) -> dict[str, int]:
    """Position of each job that is among the first `counted` of its queue."""
    front = job_queue.front(jobs[0].kind, counted)
    number = func.row_number().over(order_by=job_queue.PLACE).label("number")
    walk = front.with_only_columns(Job.id, number).subquery()
    found = session.execute(select(walk.c.id, walk.c.number).where(walk.c.id.in_([job.id for job in jobs])))
    return {row.id: row.number for row in found}
