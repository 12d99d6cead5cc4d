"""Checkpoint rows: found, locked against pruning, pruned."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from shared.db.models import Checkpoint, GenerationJob, Model, TrainingJob
from shared.ids import is_id
from shared.job_status import TERMINAL

KEEP_NEWEST = 2
_LOCKED = select(Checkpoint).where(Checkpoint.id == bindparam("id")).with_for_update(read=True, key_share=True)


def list_for_job(session: Session, job_id: str) -> list[Checkpoint]:
    """A job's checkpoints, newest first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc())
    return list(session.scalars(query))


def get(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """A checkpoint, or None."""
    return session.get(Checkpoint, checkpoint_id) if is_id(checkpoint_id, "ckp") else None


def locked(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """A checkpoint that cannot be pruned before this transaction ends, or None."""
    return session.scalars(_LOCKED, {"id": checkpoint_id}).one_or_none()


def newest_locked(session: Session, job_id: str) -> Checkpoint | None:
    """A job's newest checkpoint, which cannot be pruned before this transaction ends, or None."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc()).limit(1)
    return session.scalars(query.with_for_update(read=True, key_share=True)).one_or_none()


def prune(session: Session, job_id: str) -> list[str]:
    """Delete the rows of checkpoints that nobody needs; returns their storage keys, to delete after the commit.

    Kept: the newest two, the best, a published model's, and those that an unfinished job is to read.
    """
    ordered = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc())
    candidates = [row for row in list(session.scalars(ordered))[KEEP_NEWEST:] if not row.is_best]
    if not candidates:
        return []
    # The lock waits for requests that are just now referring to these rows; only then can it be seen that they do.
    ids = [row.id for row in candidates]
    session.execute(select(Checkpoint.id).where(Checkpoint.id.in_(ids)).with_for_update())
    needed = _needed(session, ids)
    dropped = [row for row in candidates if row.id not in needed]
    session.execute(
        delete(Checkpoint)
        .where(Checkpoint.id.in_([row.id for row in dropped]))
        .execution_options(synchronize_session=False)
    )
    return [row.storage_key for row in dropped]


def unfinished_users(session: Session, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Unfinished jobs that are to read one of the checkpoints: (job, checkpoint) pairs."""
    sampled = GenerationJob.spec["checkpoint_id"].as_string()
    continued = TrainingJob.spec["init_from"]["checkpoint_id"].as_string()
    users: list[tuple[str, str]] = []
    for job, reference in ((GenerationJob, sampled), (TrainingJob, continued)):
        query = select(job.id, reference).where(job.status.not_in(TERMINAL), reference.in_(ids))
        users += [(user, checkpoint) for user, checkpoint in session.execute(query)] if ids else []
    return users


def _needed(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of the checkpoints a published model or an unfinished job refers to."""
    published = session.scalars(select(Model.checkpoint_id).where(Model.checkpoint_id.in_(ids)))
    return {*published, *(checkpoint for _, checkpoint in unfinished_users(session, ids))}
