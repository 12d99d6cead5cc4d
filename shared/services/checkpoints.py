"""Checkpoint rows: queries, locks against pruning, pruning."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, select
from sqlalchemy.orm import Session

from shared.db.owned_rows import ALL_OWNERS
from shared.db.tables import Checkpoint, GenerationJob, Model, TrainingJob, table_of
from shared.ids import is_id
from shared.job_status import TERMINAL
from shared.services import pending_deletions

KEEP_NEWEST = 2

# Statements are built once, because each checkpoint of a run uses most of them.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OF_JOB = select(Checkpoint).where(Checkpoint.job_id == bindparam("job_id")).order_by(Checkpoint.step.desc())
_LOCKED = select(Checkpoint).where(Checkpoint.id == bindparam("id")).with_for_update(read=True, key_share=True)
_NEWEST_LOCKED = _OF_JOB.limit(1).with_for_update(read=True, key_share=True)
_LOCK = select(Checkpoint.id).where(Checkpoint.id.in_(_IDS)).with_for_update()
_DELETE = delete(table_of(Checkpoint)).where(Checkpoint.id.in_(_IDS))
_PUBLISHED = select(Model.checkpoint_id).where(Model.checkpoint_id.in_(_IDS)).execution_options(**ALL_OWNERS)
_SAMPLED = GenerationJob.spec["checkpoint_id"].as_string()
_CONTINUED = TrainingJob.spec["init_from"]["checkpoint_id"].as_string()
_USERS = [
    select(job.id, reference).where(job.status.not_in(TERMINAL), reference.in_(_IDS)).execution_options(**ALL_OWNERS)
    for job, reference in ((GenerationJob, _SAMPLED), (TrainingJob, _CONTINUED))
]
_PLACE = select(Checkpoint.storage_key, Checkpoint.sha256).where(Checkpoint.id == bindparam("id"))


def list_for_job(session: Session, job_id: str) -> list[Checkpoint]:
    """A job's checkpoints, newest first."""
    return list(session.scalars(_OF_JOB, {"job_id": job_id}))


def get(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """A checkpoint, or None."""
    return session.get(Checkpoint, checkpoint_id) if is_id(checkpoint_id, "ckp") else None


def place(connection: Connection, checkpoint_id: str) -> tuple[str, str] | None:
    """The storage key of a checkpoint and the sha256 of its weights, or None."""
    row = connection.execute(_PLACE, {"id": checkpoint_id}).one_or_none()
    return None if row is None else (row.storage_key, row.sha256)


def locked(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """A checkpoint that cannot be pruned before this transaction ends, or None."""
    return session.scalars(_LOCKED, {"id": checkpoint_id}).one_or_none()


def newest_locked(session: Session, job_id: str) -> Checkpoint | None:
    """A job's newest checkpoint, which cannot be pruned before this transaction ends, or None."""
    return session.scalars(_NEWEST_LOCKED, {"job_id": job_id}).one_or_none()


def prune(session: Session, job_id: str) -> list[str]:
    """Delete the rows of unused checkpoints; returns their storage keys, to delete after the commit.

    Kept: the newest two, the best, a published model's, and those that an unfinished job will read.
    """
    candidates = [row for row in list_for_job(session, job_id)[KEEP_NEWEST:] if not row.is_best]
    if not candidates:
        return []
    # The lock waits for transactions that are adding references to these rows. The query below then finds them.
    ids = [row.id for row in candidates]
    session.execute(_LOCK, {"ids": ids})
    needed = _needed(session, ids)
    dropped = [row for row in candidates if row.id not in needed]
    session.execute(_DELETE, {"ids": [row.id for row in dropped]})
    return [row.storage_key for row in dropped]


def keep_weights(session: Session, *, job_id: str, published: str, size: int, rest: Sequence[str]) -> None:
    """Reduce a succeeded job's checkpoints to the weights of the published one, and record the rest for removal.

    size: bytes of the weights. rest: names of the published checkpoint's other files. A checkpoint that an unfinished
    job will read stays.
    """
    rows = {row.id: row for row in list_for_job(session, job_id)}
    session.execute(_LOCK, {"ids": list(rows)})
    kept = {published} | _needed(session, list(rows))
    dropped = [row for row in rows.values() if row.id not in kept]
    session.execute(_DELETE, {"ids": [row.id for row in dropped]})
    rows[published].size = size
    for key in (*(row.storage_key for row in dropped), *(f"{rows[published].storage_key}/{name}" for name in rest)):
        pending_deletions.add(session, key)


def unfinished_users(session: Session, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Unfinished jobs that will read one of the checkpoints: (job, checkpoint) pairs."""
    rows = [row for query in _USERS for row in session.execute(query, {"ids": ids})] if ids else []
    return [(user, checkpoint) for user, checkpoint in rows]


def _needed(session: Session, ids: Sequence[str]) -> set[str]:
    """The checkpoints to which a published model or an unfinished job refers."""
    published = session.scalars(_PUBLISHED, {"ids": ids})
    return {*published, *(checkpoint for _, checkpoint in unfinished_users(session, ids))}
