"""Counts, waits and queue positions of jobs, for metrics and for the API."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import ALL_OWNERS
from shared.db.tables import Job
from shared.job_status import JobKind, JobStatus, Priority
from shared.services.job_queue import QUEUE_ORDER, is_due

COUNTED_POSITIONS = 1_000  # queue positions beyond this are not counted


def count_by_status(session: Session) -> dict[tuple[JobKind, JobStatus], int]:
    """Number of jobs by kind and status; combinations without jobs are left out."""
    query = select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query, execution_options=ALL_OWNERS)}


def count_active(session: Session) -> dict[tuple[JobKind, JobStatus], int]:
    """Number of queued and running jobs by kind and status, from the queue's index."""
    is_active = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    query = select(Job.kind, Job.status, func.count()).where(is_active).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query, execution_options=ALL_OWNERS)}


def first_in_queue(session: Session, kind: JobKind, count: int) -> list[str]:
    """Ids of the first `count` due jobs of a kind, in the order of the queue."""
    query = select(Job.id).where(Job.kind == kind, is_due()).order_by(*QUEUE_ORDER).limit(count)
    return list(session.scalars(query, execution_options=ALL_OWNERS))


def owners_of(session: Session, job_ids: Sequence[str]) -> dict[str, str | None]:
    """Owner by id of the jobs that exist."""
    query = select(Job.id, Job.owner).where(Job.id.in_(job_ids))
    return dict(session.execute(query, execution_options=ALL_OWNERS).all())


def oldest_queued_s(session: Session) -> dict[JobKind, float]:
    """Seconds since the oldest update of a queued job, by kind; the wait of a back-off counts."""
    query = select(Job.kind, func.min(Job.updated_at), db_now()).where(Job.status == JobStatus.QUEUED)
    rows = session.execute(query.group_by(Job.kind), execution_options=ALL_OWNERS)
    return {kind: max(0.0, (now - since).total_seconds()) for kind, since, now in rows}


@dataclass(frozen=True, kw_only=True)
class DueJobs:
    """Jobs of a kind that a worker could claim now. oldest_s: since when the first of its priority has been due."""

    count: int
    oldest_s: float


def due_jobs(session: Session, kind: JobKind) -> DueJobs:
    """Number and age of the due jobs of a kind, from the queue's index and one row for each priority."""
    of_kind = select(func.count()).select_from(Job).where(Job.kind == kind, is_due())
    count = session.scalar(of_kind, execution_options=ALL_OWNERS) or 0
    waits = [0.0]
    for priority in Priority if count else ():
        first = select(func.coalesce(Job.not_before, Job.updated_at), db_now()).where(
            Job.kind == kind, is_due(), Job.priority == priority.rank
        )
        row = session.execute(first.order_by(*QUEUE_ORDER).limit(1), execution_options=ALL_OWNERS).one_or_none()
        waits += [(row[1] - row[0]).total_seconds()] if row else []
    return DueJobs(count=count, oldest_s=max(waits))


def queue_position(session: Session, job: Job, *, counted: int = COUNTED_POSITIONS) -> int | None:
    """One more than the due jobs ahead of it; None when the job is not queued."""
    return queue_positions(session, [job], counted=counted).get(job.id)


def next_position(session: Session, kind: JobKind, priority: Priority, *, counted: int = COUNTED_POSITIONS) -> int:
    """The position that a job would have if it were submitted now; `counted + 1` where it would be further back."""
    ahead = select(Job.id).where(Job.kind == kind, is_due(), Job.priority <= priority.rank).limit(counted).subquery()
    count = select(func.count()).select_from(ahead)
    return 1 + session.execute(count, execution_options=ALL_OWNERS).scalar_one()


def queue_positions(session: Session, jobs: Sequence[Job], *, counted: int = COUNTED_POSITIONS) -> dict[str, int]:
    """Position of each waiting job among `jobs`, all of one kind, by id.

    One read of the first `counted` places of the queue serves all of them, so the time is bounded. A job further back
    has the position `counted + 1`. A job in its back-off has the position that it will have when it is due.
    """
    waiting = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not waiting:
        return {}
    query = select(*QUEUE_ORDER).where(Job.kind == waiting[0].kind, is_due()).order_by(*QUEUE_ORDER).limit(counted)
    front = [tuple(place) for place in session.execute(query, execution_options=ALL_OWNERS)]
    return {job.id: bisect_left(front, (job.priority, job.created_at, job.id)) + 1 for job in waiting}
