"""The queue's operations: claim, renew the lease, release, finish. Each is a compare-and-set on one row.

A worker that claims a job gets a Lease. Before each write it calls `renew_lease` in the same transaction. The call
renews and verifies the lease, or raises LeaseLost. The rest of the transaction is thereby fenced.
"""

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from shared.db.clock import db_now
from shared.db.tables import Job, JobEvent, table_of
from shared.errors import DependencyUnavailable, JobFailure, LeaseLost
from shared.failpoints import failpoint
from shared.job_status import HELD, JobKind, JobStatus
from shared.placement import Ability
from shared.services import claim_statements as claims
from shared.services import fair_share, job_history, placements
from shared.services.claim_statements import Candidates, Urgency
from shared.services.fair_share import Line
from shared.services.queue_order import touched
from shared.settings import Settings

_MOST_OUTAGES = 200  # of one attempt: more than half a day with the default back-off
_NO_LIMIT = 1_000_000_000  # of held jobs
_JOBS = table_of(Job)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's right to write to a job, valid while the job's fencing token is this one."""

    job_id: str
    fencing_token: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class FencedSession:
    """Proof that the lease is valid within this session's transaction. status: running, pausing or cancelling.

    is_preempted: the attempt is to give way to another job. share: of the job in the fair share
    (`fair_share.Share.name`). held_ms: time since the claim.
    """

    session: Session
    lease: Lease
    status: JobStatus
    is_preempted: bool
    kind: JobKind
    share: str
    held_ms: int


# --- claiming ---------------------------------------------------------------------------------------------------


def claim_next(
    session: Session,
    kind: JobKind,
    worker: str,
    above: Urgency | None = None,
    *,
    running_limit: int | None = None,
    ability: Ability | None = None,
) -> Job | None:
    """Claim the first due job of the owner that has used the least: by priority, then by age. None: no job is due.

    above: claim only a job that interrupts a running one. running_limit: an owner with as many held jobs of the kind
    has no turn. ability: claim only a job that this worker can run, with `above` unset; None: it can run all. Raises
    NewPlacement where the transaction is to be repeated.
    """
    job, parameters = None, {"worker": worker} | (above.parameters() if above else {})
    restriction = placements.restriction(session, ability) if ability else None
    first = claims.PLACED if restriction else claims.ANY
    for candidates in (first,) if above is None else above.candidates():
        job = _claim(session, candidates, kind, parameters | (restriction or {}), running_limit)
        if job is not None:
            break
    if job is None:
        return None
    if ability is not None and not ability.meets(job.placement):
        raise placements.NewPlacement(job.placement)
    data = {"worker": worker}
    job_history.add(session, job.id, event="running", message=f"Claimed by {worker}.", attempt=job.attempt, data=data)
    failpoint("claim.written")
    return job


def is_interruption_due(connection: Connection, kind: JobKind, above: Urgency) -> bool:
    """Whether a job is due that interrupts a running one. Reads only."""
    parameters = {"claimed_kind": kind} | above.parameters()
    statements = (claims.IS_HIGHER_DUE, claims.IS_QUICK_DUE) if above.takes_quick else (claims.IS_HIGHER_DUE,)
    return any(connection.execute(statement, parameters).scalar_one() for statement in statements)


def _claim(
    session: Session, candidates: Candidates, kind: JobKind, parameters: dict[str, Any], limit: int | None
) -> Job | None:
    shares = Line(fair_share.read(session, candidates.shares, kind, **parameters), kind, limit).order()
    most = _NO_LIMIT if limit is None else limit
    for share in fair_share.turns(session, kind, shares, is_limited=limit is not None):
        values = {"claimed_kind": kind, "of_share": share.name, "running_limit": most, **parameters}
        job: Job | None = session.scalars(candidates.claim, values).one_or_none()
        if job is not None:
            return job
    return None


def lease_of(job: Job) -> Lease:
    """The lease of a job that was claimed in this transaction."""
    return Lease(job_id=job.id, fencing_token=job.fencing_token, attempt=job.attempt)


# --- leases -----------------------------------------------------------------------------------------------------


# Statements are built once, because their construction takes longer than their execution. An execution may pass further
# columns by name, which are written too.
_IS_HELD = or_(*(Job.status == status for status in sorted(HELD)))
_IS_OURS = and_(Job.id == bindparam("held_id"), Job.fencing_token == bindparam("held_token"), _IS_HELD)
_RENEW = update(_JOBS).where(_IS_OURS).values(heartbeat_at=db_now())
_IS_PREEMPTED = Job.preempted_by.is_not(None).label("is_preempted")
_HELD_MS = (db_now() - Job.claimed_at).label("held_ms")
_RENEW = _RENEW.returning(Job.status, _IS_PREEMPTED, Job.kind, Job.share, _HELD_MS)
_RENEW_VISIBLY = _RENEW.values(**touched())
# Columns of a job that no worker holds.
FREED: dict[str, Any] = {"worker": None, "heartbeat_at": None, "claimed_at": None, "preempted_by": None}
_LET_GO = update(_JOBS).where(_IS_OURS).values(**FREED, **touched()).returning(Job.id)
_LET_GO_UNCOUNTED = _LET_GO.values(attempt=Job.attempt - 1)
_END = _LET_GO.values(finished_at=db_now())
_CONTROL = select(Job.status, _IS_PREEMPTED).where(_IS_OURS)


def _ours(lease: Lease) -> dict[str, Any]:
    return {"held_id": lease.job_id, "held_token": lease.fencing_token}


def renew_lease(session: Session, lease: Lease, *, visible: bool = False, **values: Any) -> FencedSession:
    """Renew the lease and write `values` to the job. visible: also increment the version (ETag). Raises LeaseLost."""
    statement = _RENEW_VISIBLY if visible else _RENEW
    row = session.execute(statement, _ours(lease) | values).one_or_none()
    if row is None:
        raise LeaseLost
    status, is_preempted, kind, share, held_ms = row
    return FencedSession(
        session=session,
        lease=lease,
        status=status,
        is_preempted=bool(is_preempted),
        kind=kind,
        share=share,
        held_ms=held_ms or 0,
    )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a held job's worker is to do. status: running, pausing or cancelling. is_preempted: release the job."""

    status: JobStatus
    is_preempted: bool


def control(connection: Connection, lease: Lease) -> Request:
    """The request to the worker of a held job. Reads only. Raises LeaseLost."""
    row = connection.execute(_CONTROL, _ours(lease)).one_or_none()
    if row is None:
        raise LeaseLost
    return Request(status=row.status, is_preempted=bool(row.is_preempted))


# --- release ---------------------------------------------------------------------------------------------------


def finish_succeeded(fenced: FencedSession, *, output: dict[str, Any] | None = None) -> JobStatus:
    """End the job as succeeded, or as cancelled if a cancel was requested before. Returns the final status."""
    if fenced.status is JobStatus.CANCELLING:
        return finish_cancelled(fenced)
    _end(fenced, JobStatus.SUCCEEDED, "Succeeded.", output=output)
    return JobStatus.SUCCEEDED


def finish_cancelled(fenced: FencedSession) -> JobStatus:
    """End the job as cancelled. Returns the final status."""
    _end(fenced, JobStatus.CANCELLED, "Cancelled on request.")
    return JobStatus.CANCELLED


def finish_failed(fenced: FencedSession, failure: JobFailure, settings: Settings) -> JobStatus:
    """End the attempt: queue the job with a back-off if another attempt may succeed, else fail it.

    An attempt that ended with DependencyUnavailable does not count, up to _MOST_OUTAGES times. A requested pause or
    cancel takes effect instead of another attempt. Returns the new status.
    """
    if fenced.status is JobStatus.CANCELLING:
        return finish_cancelled(fenced)
    outages = _outages(fenced) if isinstance(failure, DependencyUnavailable) else _MOST_OUTAGES
    if outages < _MOST_OUTAGES:
        return _try_again(fenced, failure, "released", backoff_ms(outages + 1, settings), _LET_GO_UNCOUNTED)
    max_attempts = fenced.session.execute(select(Job.max_attempts).where(Job.id == fenced.lease.job_id)).scalar_one()
    if failure.error_code.is_retried and fenced.lease.attempt < max_attempts:
        return _try_again(fenced, failure, "retrying", backoff_ms(fenced.lease.attempt, settings))
    return fail(fenced, failure)


def fail(fenced: FencedSession, failure: JobFailure, data: dict[str, Any] | None = None) -> JobStatus:
    """End the job as failed. data: further facts for its event. Returns the final status."""
    _end(fenced, JobStatus.FAILED, failure.detail, {**failure.as_dict(), **(data or {})}, error=failure.as_dict())
    return JobStatus.FAILED


def _outages(fenced: FencedSession) -> int:
    """Number of earlier outages that ended this attempt."""
    lease = fenced.lease
    released = select(JobEvent.data).where(
        JobEvent.job_id == lease.job_id, JobEvent.type == "released", JobEvent.attempt == lease.attempt
    )
    return sum("error" in data for data in fenced.session.scalars(released))


def _try_again(
    fenced: FencedSession, failure: JobFailure, event: str, wait_ms: int, statement: ReturningUpdate[str] = _LET_GO
) -> JobStatus:
    """Queue the job again, unless a pause was requested."""
    if fenced.status is JobStatus.PAUSING:
        return finish_paused(fenced, failure)
    message = f"{failure.detail} Trying again in {wait_ms / 1000:.1f} s."
    data = {"error": failure.as_dict(), "backoff_ms": wait_ms}
    later = statement.values(not_before=db_now() + wait_ms, notified_at=None)
    _let_go(fenced, JobStatus.QUEUED, event, message, data, statement=later)
    return JobStatus.QUEUED


def finish_paused(fenced: FencedSession, failure: JobFailure | None = None) -> JobStatus:
    """Pause the job until the user resumes it; the attempt does not count. Returns the new status.

    failure: the reason of the attempt's end, if it is not the pause.
    """
    message = f"{failure.detail} Paused, as requested." if failure else "Paused on request."
    data = {"error": failure.as_dict()} if failure else None
    _let_go(fenced, JobStatus.PAUSED, "paused", message, data, statement=_LET_GO_UNCOUNTED)
    return JobStatus.PAUSED


def release(fenced: FencedSession) -> JobStatus:
    """Release the job because this worker stops or the job is preempted: it is queued again at once.

    The attempt does not count. A requested pause or cancel takes effect. Returns the new status.
    """
    if fenced.status is JobStatus.CANCELLING:
        return finish_cancelled(fenced)
    if fenced.status is JobStatus.PAUSING:
        return finish_paused(fenced)
    message = "The worker released the job; it is queued again."
    if fenced.is_preempted:
        message = "The job gave way to one of a higher priority; it is queued again and continues from its checkpoint."
    return queue_again(fenced, "preempted" if fenced.is_preempted else "released", message)


def queue_again(fenced: FencedSession, event: str, message: str, data: dict[str, Any] | None = None) -> JobStatus:
    """Queue the job again at once; the attempt does not count. Returns the new status."""
    _let_go(fenced, JobStatus.QUEUED, event, message, data, statement=_LET_GO_UNCOUNTED, notified_at=None)
    return JobStatus.QUEUED


def _end(fenced: FencedSession, status: JobStatus, message: str, data: Any = None, **values: Any) -> None:
    _let_go(fenced, status, status.value, message, data, statement=_END, **values)


def _let_go(
    fenced: FencedSession,
    status: JobStatus,
    event: str,
    message: str,
    data: dict[str, Any] | None = None,
    *,
    statement: ReturningUpdate[str] = _LET_GO,
    **values: Any,
) -> None:
    lease = fenced.lease
    changed = fenced.session.execute(statement, _ours(lease) | values | {"status": status}).scalar_one_or_none()
    if changed is None:
        raise LeaseLost
    job_history.add(fenced.session, lease.job_id, event=event, message=message, attempt=lease.attempt, data=data)
    fair_share.charge(fenced.session, fenced.kind, {fenced.share: fenced.held_ms})


def backoff_ms(attempt: int, settings: Settings) -> int:
    """Back-off in milliseconds: doubled per attempt, capped, and random in its upper half to spread retries."""
    longest = min(settings.backoff_max_s, settings.backoff_s * 2.0 ** min(attempt - 1, 30))
    return round(1000 * longest * random.uniform(0.5, 1.0))
