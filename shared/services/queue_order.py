"""The jobs that wait: which are due, their order within an owner, and the indexes that hold it."""

from typing import Any

from sqlalchemy import BindParameter, FromClause, and_, bindparam, literal_column, or_, select

from shared.db.clock import db_now
from shared.db.tables import Job, table_of
from shared.job_status import HELD, JobKind, JobStatus

JOBS = table_of(Job)
QUEUE_ORDER = (Job.priority, Job.created_at, Job.id)  # the order in which an owner's jobs are claimed
KIND: BindParameter[JobKind] = bindparam("claimed_kind")
# The conditions of ix_jobs_share, ix_jobs_quick_share and ix_jobs_held contain literals, because a
# partial index serves only a statement whose condition is known before its parameters.
IS_QUEUED = JOBS.c.status == literal_column(f"'{JobStatus.QUEUED}'")


def is_held_in(jobs: FromClause) -> Any:
    """Condition: a worker holds the job."""
    return jobs.c.status.in_([literal_column(f"'{status}'") for status in sorted(HELD)])


IS_HELD = is_held_in(JOBS)


def is_due() -> Any:
    """Condition: the job waits for a worker, and its back-off is over."""
    return and_(Job.status == JobStatus.QUEUED, or_(Job.not_before.is_(None), Job.not_before <= db_now()))


def due_of(share: Any, *conditions: Any) -> Any:
    """The ids of the due jobs of a share that meet the conditions, in their order, from ix_jobs_share."""
    is_due_now = or_(JOBS.c.not_before.is_(None), JOBS.c.not_before <= db_now())
    query = select(JOBS.c.id).where(JOBS.c.kind == KIND, IS_QUEUED, JOBS.c.share == share, is_due_now, *conditions)
    return query.order_by(JOBS.c.priority, JOBS.c.created_at, JOBS.c.id)


def touched() -> dict[str, Any]:
    """Values that every visible change of a job carries."""
    return {"version": Job.version + 1, "updated_at": db_now()}
