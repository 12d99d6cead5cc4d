"""After a job is committed: wake a worker, and wait for the end where the client prefers to."""

import time
from typing import cast

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.runtime import Runtime
from shared.broker import Kind
from shared.crash_points import reach
from shared.db.models import Job
from shared.db.session import is_away
from shared.job_status import JobStatus, Priority
from shared.services import hints

FIRST_LOOK_S = 0.2  # far apart: each takes processor time from what is waited for
SLOWEST_LOOK_S = 0.5
PRIORITIES = {priority.rank: priority for priority in Priority}
log = structlog.get_logger(__name__)


def announce(runtime: Runtime, job: Job) -> None:
    """Send the wake-up of a committed job that is queued.

    One that does not go out loses nothing: the reconciler sends it as soon as Redis is back.
    """
    if job.status is not JobStatus.QUEUED:
        return
    reach("submit.committed")
    if runtime.broker.send(cast("Kind", job.kind), job.id, PRIORITIES[job.priority]):
        reach("submit.hinted")
        return
    reach("submit.unhinted")
    try:
        with runtime.writing() as session:
            hints.mark_unhinted(session, job.id)
    except SQLAlchemyError as error:
        if not is_away(error):
            raise
        # The job is committed, which is what the client is told; its hint goes stale instead.
        log.warning("missing_hint_not_noted", job_id=job.id, error=str(error.__cause__ or error))


def announce_and_wait(runtime: Runtime, job: Job, seconds: float, *, is_announced: bool = False) -> None:
    """Send the wake-up and wait until the job has ended or is gone, `seconds` at most.

    The subscription is there before the wake-up goes out, so the end cannot be missed; the row is looked at as well,
    ever more rarely, for when Redis is away. No transaction is open while waiting.
    is_announced: an earlier request has sent the wake-up, and the job may have ended since.
    """
    if job.status.is_terminal:
        return
    deadline = time.monotonic() + seconds
    pause = FIRST_LOOK_S
    with runtime.broker.wait_done(job.id) as done:
        if not is_announced:
            announce(runtime, job)
        while (left := deadline - time.monotonic()) > 0:
            if done.wait(min(pause, left)):
                return
            with runtime.reading() as session:
                seen = session.get(Job, job.id)
            if seen is None or seen.status.is_terminal:
                return
            pause = min(2 * pause, SLOWEST_LOOK_S)
