"""The last write of an attempt, repeated until the database accepts it."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_fixed

from shared.db.session import is_transient, transaction
from shared.errors import MimeoError
from shared.failpoints import failpoint
from shared.job_status import JobStatus
from shared.services import job_queue
from shared.services.job_queue import FencedSession, Lease
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


def finish(context: WorkerContext, job_id: str, end: Callable[[Session], JobStatus]) -> JobStatus:
    """Run `end` in a transaction until one commits, then publish the job's end. Returns the new status.

    Raises LeaseLost: another worker owns the job, or an earlier try was committed and its answer was lost. A stopping
    worker ends the retries after one lease, when the reaper may end the attempt, and raises the database's error.
    """

    def log_retry(state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        log.warning("end of attempt not written; trying again", job_id=job_id, reason=reason)

    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        stop=_one_lease_after_stop(context),
        wait=wait_fixed(_RETRY_S),
        before_sleep=log_retry,
        reraise=True,
    )
    status = retrying(_write, context, end)
    failpoint("finish.committed")
    log.info("job ended" if status.is_terminal else "job released", job_id=job_id, status=status.value)
    if status.is_terminal:
        context.broker.publish_done(job_id)
        failpoint("finish.published")
    return status


def settle(context: WorkerContext, lease: Lease, end: Callable[[FencedSession], JobStatus]) -> None:
    """End the attempt, unless the lease is lost or the job has ended."""
    try:
        finish(context, lease.job_id, lambda session: end(job_queue.renew_lease(session, lease)))
    except MimeoError as error:
        log.warning(
            "attempt not ended: the lease is lost or the job has ended", job_id=lease.job_id, reason=error.detail
        )


def _write(context: WorkerContext, end: Callable[[Session], JobStatus]) -> JobStatus:
    with transaction(context.sessions) as session:
        status = end(session)
        failpoint("finish.written")
        return status


def _one_lease_after_stop(context: WorkerContext) -> Callable[[RetryCallState], bool]:
    """A condition that is true one lease after the first failed try during which the worker was stopping."""
    give_up_at: float | None = None

    def is_given_up(_state: RetryCallState) -> bool:
        nonlocal give_up_at
        if give_up_at is None and context.stopping.is_set():
            give_up_at = time.monotonic() + context.settings.lease_s
        return give_up_at is not None and time.monotonic() > give_up_at

    return is_given_up
