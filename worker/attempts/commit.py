"""The last write about a job, which has to happen however often the database goes away meanwhile."""

import math
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db.session import is_transient, transaction
from shared.failpoints import failpoint
from shared.job_status import JobStatus
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


def finish(context: WorkerContext, job_id: str, end: Callable[[Session], JobStatus]) -> JobStatus:
    """Run `end` in a transaction until one commits, then wake whoever waits for the job. Returns the new status.

    Raises LeaseLost: somebody else decides now, or an earlier try was committed though its answer got lost. A worker
    that is asked to stop gives up after one lease: by then the reaper may decide.
    """
    give_up_at = math.inf
    while (status := _try(context, job_id, end, is_last=time.monotonic() > give_up_at)) is None:
        if context.stopping.is_set() and give_up_at == math.inf:
            give_up_at = time.monotonic() + context.settings.lease_s
        time.sleep(_RETRY_S)
    failpoint("finish.committed")
    log.info("job ended" if status.is_terminal else "job let go", job_id=job_id, status=status.value)
    if status.is_terminal:
        context.broker.publish_done(job_id)
        failpoint("finish.published")
    return status


def _try(
    context: WorkerContext, job_id: str, end: Callable[[Session], JobStatus], *, is_last: bool
) -> JobStatus | None:
    """One transaction; None where the database is away and there will be another try."""
    try:
        with transaction(context.sessions) as session:
            status = end(session)
            failpoint("finish.written")
            return status
    except SQLAlchemyError as error:
        if is_last or not is_transient(error):
            raise
        log.warning("end of job not written; trying again", job_id=job_id, reason=str(error))
    return None
