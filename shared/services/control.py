"""What a user asks of a job. Each request is one compare-and-set, so that it cannot undo what a worker just did."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.models import Job
from shared.errors import Conflict, NotFound
from shared.job_status import JobStatus
from shared.services import events
from shared.services.job_queue import touched

_WAITING = (JobStatus.QUEUED, JobStatus.PAUSED)
_WORKING = (JobStatus.RUNNING, JobStatus.PAUSING)


def cancel(session: Session, job_id: str) -> JobStatus:
    """End a job: at once where no worker holds it, else as soon as its worker lets go.

    Asking again changes nothing. Raises Conflict for a job that ended otherwise. Returns the new status.
    """
    if _move(session, job_id, _WAITING, JobStatus.CANCELLED, message="Cancelled on request."):
        return JobStatus.CANCELLED
    if _move(session, job_id, _WORKING, JobStatus.CANCELLING, message="A cancel was asked for."):
        return JobStatus.CANCELLING
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if job.status in {JobStatus.CANCELLING, JobStatus.CANCELLED}:
        return job.status
    raise Conflict(f"The job has {job.status.value} already; it cannot be cancelled.")


def _move(session: Session, job_id: str, sources: tuple[JobStatus, ...], target: JobStatus, *, message: str) -> bool:
    """Compare-and-set of a job's status; True where it happened."""
    ends = {"finished_at": db_now()} if target.is_terminal else {}
    attempt = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(sources))
        .values(status=target, **touched(), **ends)
        .returning(Job.attempt)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if attempt is None:
        return False
    events.add(session, job_id, event=target.value, message=message, attempt=attempt)
    return True
