"""Notifies workers of a committed job, and waits for its end if the client prefers that."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.runtime import Runtime
from shared.db.session import is_transient
from shared.db.tables import Job
from shared.failpoints import failpoint
from shared.job_status import JobStatus, Priority
from shared.services import notifications

FIRST_POLL_S = 0.2  # polls are rare, because each takes processor time from the job
SLOWEST_POLL_S = 0.5
PRIORITIES = {priority.rank: priority for priority in Priority}
log = structlog.get_logger(__name__)


def notify(runtime: Runtime, job: Job) -> None:
    """Send the notification of a committed job that is queued.

    If it cannot be sent, the reconciler sends it when Redis is available again.
    """
    if job.status is not JobStatus.QUEUED:
        return
    failpoint("submit.committed")
    if runtime.broker.send(job.kind, job.id, PRIORITIES[job.priority]):
        failpoint("submit.notified")
        return
    failpoint("submit.unnotified")
    try:
        with runtime.writing() as session:
            notifications.clear_notified(session, job.id)
    except SQLAlchemyError as error:
        if not is_transient(error):
            raise
        # The response reports the committed job. Its notification becomes stale and is then repeated.
        log.warning("missing_notification_not_recorded", job_id=job.id, error=str(error.__cause__ or error))


def notify_and_wait(runtime: Runtime, job: Job, seconds: float, *, is_notified: bool = False) -> None:
    """Send the notification and wait until the job has ended or is deleted, `seconds` at most.

    The subscription precedes the notification, so the end cannot be missed. The row is polled as well, at growing
    intervals, in case Redis is unavailable. No transaction is open while waiting.
    is_notified: an earlier request has sent the notification, and the job may have ended since.
    """
    if job.status.is_terminal:
        return
    deadline = time.monotonic() + seconds
    pause = FIRST_POLL_S
    with runtime.broker.wait_done(job.id) as done:
        if not is_notified:
            notify(runtime, job)
        while (left := deadline - time.monotonic()) > 0:
            if done.wait(min(pause, left)):
                return
            with runtime.reading() as session:
                seen = session.get(Job, job.id)
            if seen is None or seen.status.is_terminal:
                return
            pause = min(2 * pause, SLOWEST_POLL_S)
