"""Deletes a job permanently: its rows in one transaction, which also records its files as pending deletions."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.db.tables import Checkpoint, Job, Model
from shared.errors import Conflict
from shared.failpoints import failpoint
from shared.services import checkpoints, exports, pending_deletions, transitions

_NAMED = 3


def delete_job(session: Session, job_id: str) -> None:
    """Delete an ended job with its records, and its model with its exports; the reconciler removes the files.

    Raises NotFound, and Conflict for a job that has not ended or whose weights an unfinished job will read.
    """
    status = transitions.locked_status(session, job_id)
    if not status.is_terminal:
        raise Conflict(f"The job {transitions.standing(status)}; cancel it before you delete it.")
    _refuse_if_needed(session, job_id)
    pending_deletions.add(session, f"jobs/{job_id}")
    exports.delete_of_job(session, job_id)
    session.execute(delete(Model).where(Model.job_id == job_id))  # before the checkpoint to which it refers
    session.execute(delete(Job).where(Job.id == job_id).execution_options(synchronize_session=False))
    failpoint("delete.written")


def _refuse_if_needed(session: Session, job_id: str) -> None:
    # As in pruning, the lock waits for transactions that are adding references to these rows.
    locked = session.scalars(select(Checkpoint.id).where(Checkpoint.job_id == job_id).with_for_update())
    users = sorted(user for user, _ in checkpoints.unfinished_users(session, list(locked)))
    if users:
        more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
        named = ", ".join(users[:_NAMED]) + more
        raise Conflict(f"Its weights are still needed by {named}; wait for their end, or cancel them.")
