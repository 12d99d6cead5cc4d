"""Figures about all jobs, for whoever watches the service."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.models import Job
from shared.job_status import JobStatus


def count_by_status(session: Session) -> dict[tuple[str, JobStatus], int]:
    """How many jobs of each kind are in each status; combinations without any are left out."""
    query = select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query)}


def oldest_queued_s(session: Session) -> dict[str, float]:
    """Seconds that the longest waiting job of each kind has been queued, by kind."""
    query = select(Job.kind, func.min(Job.created_at), db_now()).where(Job.status == JobStatus.QUEUED)
    rows = session.execute(query.group_by(Job.kind))
    return {kind: max(0.0, (now - created).total_seconds()) for kind, created, now in rows}
