"""Ends the attempts whose leases have expired."""

from collections import Counter

from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from shared.db.clock import Timestamp, db_now
from shared.db.tables import Job
from shared.errors import JobFailure
from shared.failpoints import failpoint
from shared.job_status import HELD, QUEUED_KINDS, ErrorCode, JobStatus
from shared.services import fair_share, job_history
from shared.services.job_queue import FREED, backoff_ms
from shared.services.queue_order import touched
from shared.settings import Settings

_BATCH = 100
_LEASE_MS = bindparam("lease_ms", type_=Timestamp())
_IS_SILENT = or_(Job.heartbeat_at < db_now() - _LEASE_MS, Job.heartbeat_at > db_now() + _LEASE_MS)
HAS_EXPIRED = and_(Job.status.in_(HELD), _IS_SILENT)  # a condition; `lease` returns its parameter


def lease(settings: Settings) -> dict[str, int]:
    """The parameter of HAS_EXPIRED."""
    return {"lease_ms": round(settings.lease_s * 1000)}


def reap_expired(session: Session, settings: Settings) -> list[str]:
    """End the attempt of every job whose lease has expired, up to a hundred at a time; returns their ids.

    A requested cancel or pause takes effect. A running job is queued again with a back-off, or fails (`worker_lost`)
    when its attempts are used up. A heartbeat in the future counts as expired: the clock has been set back since.
    """
    expired = select(Job).where(HAS_EXPIRED).limit(_BATCH).with_for_update(skip_locked=True)
    reaped = [job for job in list(session.scalars(expired, lease(settings))) if _reap(session, job, settings)]
    for kind in QUEUED_KINDS:
        held_ms: Counter[str] = Counter()
        for job in reaped:
            if job.kind is kind and job.claimed_at and job.heartbeat_at:
                held_ms[job.share] += round(1000 * (job.heartbeat_at - job.claimed_at).total_seconds())
        fair_share.charge(session, kind, held_ms)
    return [job.id for job in reaped]


def _reap(session: Session, job: Job, settings: Settings) -> bool:
    status, values, message, wait_ms = _outcome(job, settings)
    if status.is_terminal:
        values["finished_at"] = db_now()
    reaped = session.execute(
        update(Job)
        .where(Job.id == job.id, Job.status == job.status, Job.fencing_token == job.fencing_token)
        .where(Job.heartbeat_at == job.heartbeat_at)
        .values(status=status, **FREED, notified_at=None, **touched(), **values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if reaped is None:
        return False
    failpoint("reap.written")
    data = {"worker": job.worker, "status": status.value} | ({"backoff_ms": wait_ms} if wait_ms else {})
    job_history.add(session, job.id, event="reaped", message=message, attempt=job.attempt, data=data)
    return True


def _outcome(job: Job, settings: Settings) -> tuple[JobStatus, dict[str, object], str, int]:
    """New status, further columns, message and back-off of a job whose lease has expired."""
    lost = f"Worker {job.worker} has sent no heartbeat for {settings.lease_s:g} s."
    if job.status is JobStatus.CANCELLING:
        return JobStatus.CANCELLED, {}, f"{lost} Cancelled, as requested.", 0
    if job.attempt >= job.max_attempts:
        failure = JobFailure(
            ErrorCode.WORKER_LOST,
            f"The worker was lost in each of {job.attempt} attempts." if job.attempt > 1 else "The worker was lost.",
            "Read the worker's log, remove the cause and retry the job.",
        )
        return JobStatus.FAILED, {"error": failure.as_dict()}, f"{lost} No attempts are left.", 0
    if job.status is JobStatus.PAUSING:
        return JobStatus.PAUSED, {}, f"{lost} Paused, as requested.", 0
    # The time since the last heartbeat counts as part of the back-off.
    wait_ms = max(0, backoff_ms(job.attempt, settings) - round(settings.lease_s * 1000))
    again = f"Trying again in {wait_ms / 1000:.1f} s." if wait_ms else "Trying again."
    return JobStatus.QUEUED, {"not_before": db_now() + wait_ms}, f"{lost} {again}", wait_ms
