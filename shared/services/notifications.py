"""Selects the waiting jobs that need a notification, the first one or a repetition."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Job
from shared.job_status import QUEUED_KINDS, JobKind, Priority
from shared.services.queue_order import is_due

# With the kind in the condition, the index of the queue, which begins with the kind, answers the query alone.
_DUE = select(Job.kind, func.count()).where(Job.kind.in_(QUEUED_KINDS), is_due()).group_by(Job.kind)


def count_due(session: Session) -> dict[JobKind, int]:
    """Number of due jobs of each kind."""
    return dict.fromkeys(QUEUED_KINDS, 0) | dict(session.execute(_DUE).all())


def due_for_notification(
    session: Session,
    kind: JobKind,
    *,
    stale_s: float,
    limit: int,
    met: Collection[str] | None = None,
    not_met: Collection[str] = (),
) -> list[tuple[str, Priority]]:
    """Due jobs without a notification, or whose last one is older than `stale_s`; in the order of the queue.

    met: only jobs with one of these placements; None: with any except those of `not_met`.
    """
    is_stale = or_(Job.notified_at.is_(None), Job.notified_at < db_now() - round(stale_s * 1000))
    query = select(Job.id, Job.priority).where(Job.kind == kind, is_due(), is_stale)
    if met is not None or not_met:
        query = query.where(Job.placement.not_in(not_met) if met is None else Job.placement.in_(met))
    rows = session.execute(query.order_by(Job.priority, Job.created_at, Job.id).limit(limit))
    return [(job_id, Priority.of_rank(rank)) for job_id, rank in rows]


def mark_notified(session: Session, job_ids: Sequence[str]) -> None:
    """Record that notifications were sent just now. Not a visible change of the jobs."""
    session.execute(
        update(Job).where(Job.id.in_(job_ids)).values(notified_at=db_now()).execution_options(synchronize_session=False)
    )


def clear_notified(session: Session, job_id: str) -> None:
    """Record that a job's notification could not be sent. Not a visible change of the job."""
    session.execute(
        update(Job).where(Job.id == job_id).values(notified_at=None).execution_options(synchronize_session=False)
    )
