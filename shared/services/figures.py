"""Figures about all jobs, for whoever watches the service."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.models import Job
from shared.job_status import JobStatus
from shared.services import job_queue


def count_by_status(session: Session) -> dict[tuple[str, JobStatus], int]:
    """How many jobs of each kind are in each status; combinations without any are left out."""
    query = select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query)}


def oldest_queued_s(session: Session) -> dict[str, float]:
    """Seconds that the longest waiting job of each kind has been queued, by kind: not counting what came before."""
    query = select(Job.kind, func.min(Job.updated_at), db_now()).where(Job.status == JobStatus.QUEUED)
    rows = session.execute(query.group_by(Job.kind))
    return {kind: max(0.0, (now - since).total_seconds()) for kind, since, now in rows}


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """Position of each waiting job among `jobs`, all of one kind, by id: 1 is next. One pass over the queue."""
    waiting = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not waiting:
        return {}
    place = func.row_number().over(order_by=(Job.priority, Job.created_at, Job.id)).label("place")
    queue = select(Job.id, place).where(Job.kind == waiting[0].kind, job_queue.is_due()).subquery()
    found = session.execute(select(queue.c.id, queue.c.place).where(queue.c.id.in_([job.id for job in waiting])))
    positions = {row.id: row.place for row in found}
    # Those that wait for their back-off to pass are not in the queue yet; they would come where they are sorted in.
    for job in waiting:
        if job.id not in positions and (position := job_queue.queue_position(session, job)):
            positions[job.id] = position
    return positions
