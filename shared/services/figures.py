"""Figures about all jobs, for whoever watches the service."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import func, not_, select
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
    """Position of each waiting job among `jobs`, all of one kind, by id: 1 is next.

    Jobs of a page lie close together in the queue, so for each priority one count leads up to the first of them and
    one short walk to the last: what is read is the queue's index, once.
    """
    waiting = sorted((job for job in jobs if job.status is JobStatus.QUEUED), key=_place)
    positions: dict[str, int] = {}
    first: Job | None = None
    before = 0
    for _, group in groupby(waiting, key=lambda job: job.priority):
        members = list(group)
        before += _count_due(session, first, members[0])
        first = members[0]
        positions |= {job_id: before + number for job_id, number in _numbers(session, members)}
    # Those that wait for their back-off to pass are not in the queue yet; they would come where they are sorted in.
    for job in waiting:
        if job.id not in positions and (position := job_queue.queue_position(session, job)):
            positions[job.id] = position
    return positions


def _place(job: Job) -> tuple[int, datetime, str]:
    return job.priority, job.created_at, job.id


def _count_due(session: Session, first: Job | None, end: Job) -> int:
    """How many due jobs come before `end`, those before `first` left out."""
    count = select(func.count()).select_from(Job).where(Job.kind == end.kind, job_queue.is_due())
    if first is not None:
        count = count.where(not_(job_queue.is_ahead_of(first)))
    return session.execute(count.where(job_queue.is_ahead_of(end))).scalar_one()


def _numbers(session: Session, members: Sequence[Job]) -> Iterable[tuple[str, int]]:
    """Numbers, from 1, of the due ones among jobs of one priority, counted from the first of them."""
    first, last = members[0], members[-1]
    number = func.row_number().over(order_by=(Job.created_at, Job.id)).label("number")
    walk = (
        select(Job.id, number)
        .where(Job.kind == first.kind, job_queue.is_due(), Job.priority == first.priority)
        .where(Job.created_at.between(first.created_at, last.created_at))
        .where(not_(job_queue.is_ahead_of(first)))
        .subquery()
    )
    found = session.execute(select(walk.c.id, walk.c.number).where(walk.c.id.in_([job.id for job in members])))
    return [(row.id, row.number) for row in found]
