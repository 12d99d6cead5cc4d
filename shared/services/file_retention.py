"""Removal of files of ended jobs that stay: checkpoints, samples and event files, by age, status and number.

Published weights stay, and so do checkpoints that an unfinished job will read. The sweeper removes the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import is_own
from shared.db.tables import Artifact, Checkpoint, Job, Model, table_of
from shared.errors import NotFound
from shared.job_status import QUEUED_KINDS, TERMINAL, JobStatus
from shared.services import checkpoints, job_history, pending_deletions, transitions
from shared.services.queue_order import touched

_DAY_MS = 86_400_000


class FileKind(StrEnum):
    """The kinds of files that can be removed from a job."""

    CHECKPOINTS = "checkpoints"
    SAMPLES = "samples"
    EVENT_FILES = "event_files"


_ARTIFACTS = {FileKind.SAMPLES: "sample", FileKind.EVENT_FILES: "tensorboard"}


@dataclass(kw_only=True)
class PrunableJob:
    """An ended job with removable files. ids: of the rows. size: bytes of their files."""

    id: str
    status: JobStatus
    finished_at: datetime
    ids: list[str] = field(default_factory=list)
    size: int = 0


def removable(
    session: Session,
    kind: FileKind,
    *,
    days: float,
    statuses: Sequence[JobStatus] = (),
    keep_last: int,
    limit: int,
) -> list[PrunableJob]:
    """Ended jobs with files that may be removed, the earliest end first, with at most `limit` files.

    days: only of jobs that ended so many days ago or earlier. keep_last: newest files that each job keeps; with one or
    more it also keeps its best checkpoint. statuses: only of jobs of these.
    """
    table: Any = Checkpoint if kind is FileKind.CHECKPOINTS else Artifact
    place = func.row_number().over(partition_by=table.job_id, order_by=(table.step.desc(), table.id.desc()))
    ranked = select(table.id, table.job_id, table.size, place.label("place"))
    if kind is FileKind.CHECKPOINTS:
        is_best = table.is_best
    else:
        ranked, is_best = ranked.where(table.kind == _ARTIFACTS[kind]), None
    if is_best is not None:
        ranked = ranked.add_columns(is_best.label("is_best"))
    rows = ranked.subquery()
    query = (
        select(Job.id, Job.status, Job.finished_at, rows.c.id, rows.c.size)
        .join(rows, rows.c.job_id == Job.id)
        .where(
            is_own(session, Job.owner),
            Job.status.in_(set(statuses) & TERMINAL if statuses else TERMINAL),
            Job.kind.in_(QUEUED_KINDS),
            Job.finished_at <= db_now() - round(_DAY_MS * days),
            rows.c.place > keep_last,
        )
        .order_by(Job.finished_at, Job.id, rows.c.place.desc())
        .limit(limit)
    )
    if is_best is not None:
        query = query.where(~exists().where(Model.checkpoint_id == rows.c.id))
        if keep_last:
            query = query.where(~rows.c.is_best)
    found = session.execute(query).all()
    used = _used(session, kind, [row[3] for row in found])
    jobs: dict[str, PrunableJob] = {}
    for job_id, status, finished_at, row_id, size in found:
        if row_id not in used:
            job = jobs.setdefault(job_id, PrunableJob(id=job_id, status=status, finished_at=finished_at))
            job.ids.append(row_id)
            job.size += int(size)
    return list(jobs.values())


def remove(session: Session, kind: FileKind, jobs: Sequence[PrunableJob]) -> list[PrunableJob]:
    """Delete the rows of files, and record the files as pending deletions. Returns the jobs that lost any.

    A job that was retried meanwhile keeps its files, and so does a checkpoint that came into use.
    """
    pruned = []
    for job in jobs:
        try:
            if not transitions.locked_status(session, job.id).is_terminal:
                continue
        except NotFound:
            continue
        removed = _remove_of_job(session, kind, job.ids)
        if removed:
            size = sum(removed.values())
            _record(session, job.id, kind, len(removed), size)
            pruned.append(
                PrunableJob(id=job.id, status=job.status, finished_at=job.finished_at, ids=list(removed), size=size)
            )
    return pruned


def _used(session: Session, kind: FileKind, ids: Sequence[str]) -> set[str]:
    if kind is not FileKind.CHECKPOINTS:
        return set()
    return {checkpoint for _, checkpoint in checkpoints.unfinished_users(session, ids)}


def _remove_of_job(session: Session, kind: FileKind, ids: Sequence[str]) -> Mapping[str, int]:
    """Sizes of the removed files, by id of the row."""
    table: Any = Checkpoint if kind is FileKind.CHECKPOINTS else Artifact
    rows = session.execute(
        select(table.id, table.storage_key, table.size).where(table.id.in_(ids)).with_for_update()
    ).all()  # the lock waits for transactions that are adding references to checkpoints
    kept = _used(session, kind, [row.id for row in rows])
    if kind is FileKind.CHECKPOINTS:
        kept |= set(session.scalars(select(Model.checkpoint_id).where(Model.checkpoint_id.in_(ids))))
    gone = [row for row in rows if row.id not in kept]
    session.execute(delete(table_of(table)).where(table.id.in_([row.id for row in gone])))
    for row in gone:
        pending_deletions.add(session, row.storage_key)
    return {row.id: int(row.size) for row in gone}


def _record(session: Session, job_id: str, kind: FileKind, count: int, size: int) -> None:
    """An event of the job, which also gets a new version."""
    statement = update(table_of(Job)).where(Job.id == job_id).values(**touched()).returning(Job.attempt)
    attempt = session.execute(statement).scalar_one()
    message = f"Removed {count:,} {kind.replace('_', ' ')} on request."
    data = {"kind": kind.value, "count": count, "size": size}
    job_history.add(session, job_id, event="pruned", message=message, attempt=attempt, data=data)
