"""Transitions that a user requests. The row stays locked from the read of its status to the change."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import is_own
from shared.db.tables import Job
from shared.errors import Conflict, NotFound
from shared.job_status import JobKind, JobStatus, Priority
from shared.services import job_history
from shared.services.queue_order import touched
from shared.specs import JobChanges


class Action(StrEnum):
    """The transitions that a user may request."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


S = JobStatus
RANKED = {priority.rank: priority for priority in Priority}
# New status by action and old status. A transition to the same status changes nothing, so requests are idempotent.
_TRANSITIONS: Mapping[Action, Mapping[JobStatus, JobStatus]] = {
    Action.CANCEL: {
        S.QUEUED: S.CANCELLED,
        S.PAUSED: S.CANCELLED,
        S.RUNNING: S.CANCELLING,
        S.PAUSING: S.CANCELLING,
        S.CANCELLING: S.CANCELLING,
        S.CANCELLED: S.CANCELLED,
    },
    Action.PAUSE: {S.QUEUED: S.PAUSED, S.RUNNING: S.PAUSING, S.PAUSING: S.PAUSING, S.PAUSED: S.PAUSED},
    # A worker that has not read the pause yet continues. One that has read it releases the job, which is queued again.
    Action.RESUME: {S.PAUSED: S.QUEUED, S.PAUSING: S.RUNNING},
    Action.RETRY: {S.FAILED: S.QUEUED, S.CANCELLED: S.QUEUED},
}
_RULES = {
    Action.CANCEL: "it cannot be cancelled any more",
    Action.PAUSE: "only a queued or running job can be paused",
    Action.RESUME: "only a paused job can be resumed",
    Action.RETRY: "only a failed or cancelled job can be retried",
}
# Event type and message of each transition.
_EVENTS = {
    (Action.CANCEL, S.CANCELLED): ("cancelled", "Cancelled on request."),
    (Action.CANCEL, S.CANCELLING): ("cancelling", "Cancel requested."),
    (Action.PAUSE, S.PAUSED): ("paused", "Paused on request."),
    (Action.PAUSE, S.PAUSING): ("pausing", "Pause requested."),
    (Action.RESUME, S.QUEUED): ("resumed", "Resumed on request; queued again."),
    (Action.RESUME, S.RUNNING): ("resumed", "The pause was revoked."),
    (Action.RETRY, S.QUEUED): ("retried", "Retried on request; its attempts are counted from 0 again."),
}


def cancel(session: Session, job_id: str) -> JobStatus:
    """Cancel a job: at once when no worker has it, else when its worker releases it.

    A repetition changes nothing. Raises NotFound, and Conflict for a job that ended otherwise. Returns the new status.
    """
    return _apply(session, job_id, Action.CANCEL)


def pause(session: Session, job_id: str) -> JobStatus:
    """Pause a job: at once when no worker has it, else when its worker has written a checkpoint.

    A repetition changes nothing. Raises NotFound, and Conflict for a job that ends or has ended. Returns the new
    status.
    """
    return _apply(session, job_id, Action.PAUSE)


def resume(session: Session, job_id: str) -> JobStatus:
    """Queue a paused job again, at its place by age. Send its notification after the commit.

    Raises NotFound, and Conflict for a job that is not paused. Returns the new status.
    """
    return _apply(session, job_id, Action.RESUME)


def retry(session: Session, job_id: str) -> JobStatus:
    """Queue a failed or cancelled job again, with all its attempts. Send its notification after the commit.

    Its next worker continues from the last valid checkpoint. Raises NotFound, Conflict. Returns the new status.
    """
    return _apply(session, job_id, Action.RETRY)


def _apply(session: Session, job_id: str, action: Action) -> JobStatus:
    before = locked_status(session, job_id)
    after = _TRANSITIONS[action].get(before)
    if after is None:
        raise Conflict(f"The job {standing(before)}; {_RULES[action]}.")
    if after is before:
        return after
    attempt = session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(status=after, **touched(), **_values(action, after))
        .returning(Job.attempt)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    event, message = _EVENTS[action, after]
    data = {"from": before.value, "to": after.value}
    job_history.add(session, job_id, event=event, message=message, attempt=attempt, data=data)
    return after


CANCELLED_AT_ONCE = 500  # jobs in one transaction of `cancel_all`
WAITING = (S.QUEUED, S.PAUSED)


def cancel_all(
    session: Session,
    kind: JobKind,
    status: JobStatus,
    *,
    after: str,
    until: str,
    model_type: str | None = None,
    among: Sequence[str] | None = None,
) -> list[str]:
    """Cancel the first jobs of a kind and a status with an id above `after`, up to `until`, in order of the ids.

    At most CANCELLED_AT_ONCE, so that a transaction stays short. Returns their ids. A job that a worker claims at the
    same time is left to it. among: only jobs with these ids.
    """
    is_chosen = (is_own(session, Job.owner), Job.kind == kind, Job.status == status)
    query = select(Job.id).where(*is_chosen, Job.id > after, Job.id <= until)
    if model_type is not None:
        query = query.where(Job.model_type == model_type)
    if among is not None:
        query = query.where(Job.id.in_(among))
    ids = list(session.scalars(query.order_by(Job.id).limit(CANCELLED_AT_ONCE).with_for_update()))
    new = _TRANSITIONS[Action.CANCEL][status]
    statement = update(Job).where(Job.id.in_(ids)).values(status=new, **touched(), **_values(Action.CANCEL, new))
    attempts = session.execute(
        statement.returning(Job.id, Job.attempt).execution_options(synchronize_session=False)
    ).all()
    event, message = _EVENTS[Action.CANCEL, new]
    data = {"from": status.value, "to": new.value}
    job_history.add_all(session, dict(attempts), event=event, message=message, data=data)
    return ids


def edit(session: Session, job_id: str, changes: JobChanges) -> JobStatus:
    """Change the priority, the name or the metadata of a job that waits, queued or paused.

    The queue is ordered by the rows and notifications are advisory, so a new priority needs no notification. Equal
    values change nothing. Raises NotFound, Conflict. Returns the status.
    """
    status = locked_status(session, job_id)
    if status not in WAITING:
        raise Conflict(f"The job {standing(status)}; only a queued or paused job can be changed.")
    job = session.get_one(Job, job_id, populate_existing=True)
    given = {name: getattr(changes, name) for name in changes.model_fields_set}
    known = {"priority": RANKED[job.priority], "name": job.name, "metadata": job.labels}
    new = {name: value for name, value in given.items() if value != known[name]}
    if not new:
        return status
    columns = {"priority": Job.priority, "name": Job.name, "metadata": Job.labels}
    values: dict[Any, Any] = {columns[name]: value for name, value in new.items()}
    if "priority" in new:
        values[Job.priority] = new["priority"].rank
    statement = update(Job).where(Job.id == job_id).values(values).values(**touched())
    session.execute(statement.execution_options(synchronize_session=False))
    data = {name: {"from": known[name], "to": value} for name, value in new.items()}
    message = f"Changed on request: {', '.join(sorted(new))}."
    job_history.add(session, job_id, event="changed", message=message, attempt=job.attempt, data=data)
    return status


def locked_status(session: Session, job_id: str) -> JobStatus:
    """A job's status; the row is locked until this transaction ends. Raises NotFound."""
    status = session.execute(select(Job.status).where(Job.id == job_id).with_for_update()).scalar_one_or_none()
    if status is None:
        raise NotFound(f"There is no job {job_id}.")
    return status


def standing(status: JobStatus) -> str:
    """A status as the end of a sentence about the job: `is running`, `has failed`."""
    verb = {S.SUCCEEDED: "has", S.FAILED: "has", S.CANCELLED: "was"}.get(status, "is")
    return f"{verb} {status.value}"


def _values(action: Action, after: JobStatus) -> dict[str, Any]:
    """Further columns that change with the status."""
    if after.is_terminal:
        return {"finished_at": db_now()}
    if after is not JobStatus.QUEUED:
        return {}
    # The caller sends the notification right after the commit. A request by a user ends the back-off.
    values: dict[str, Any] = {"notified_at": db_now(), "not_before": None}
    if action is Action.RETRY:
        values |= {"attempt": 0, "error": None, "output": None, "started_at": None, "finished_at": None}
    return values
