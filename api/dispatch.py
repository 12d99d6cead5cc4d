"""Notifies workers of a committed job, and waits for its end if the client prefers that."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api import request_slots
from api.runtime import Runtime
from shared.db.session import is_transient
from shared.db.tables import Job
from shared.failpoints import failpoint
from shared.job_status import JobStatus, Priority
from shared.services import notifications

STEP_S = 0.5
log = structlog.get_logger(__name__)


def notify(runtime: Runtime, job: Job) -> None:
    """Send the notification of a committed job that is queued.

    If it cannot be sent, the reconciler sends it when Redis is available again.
    """
    if job.status is not JobStatus.QUEUED:
        return
    log.info("job_queued", job_id=job.id)
    failpoint("submit.committed")
    if runtime.broker.send(job.kind, job.id, Priority.of_rank(job.priority)):
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

    The wait also ends within `STEP_S` after the client has hung up or the server begins to stop. The subscription
    precedes the notification, so the end cannot be missed; the poller finds it while Redis is unavailable. The request
    holds neither a transaction nor a slot of the server while it waits.
    is_notified: an earlier request has sent the notification, and the job may have ended since.
    """
    if job.status.is_terminal:
        return
    deadline = time.monotonic() + seconds
    with runtime.broker.wait_done(job.id) as done, runtime.ends.watch(job.id) as polled:
        if not is_notified:
            notify(runtime, job)
        with request_slots.yielded():
            while (left := deadline - time.monotonic()) > 0:
                if done.wait(min(STEP_S, left)) or polled.is_set():
                    return
                if runtime.is_stopping.is_set() or request_slots.has_hung_up():
                    return
