"""Ended jobs by age: which there are, how much space they take, and their deletion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import is_own
from shared.db.tables import Artifact, Checkpoint, Job, Model, UploadedDataset
from shared.errors import Conflict, NotFound
from shared.job_status import QUEUED_KINDS, TERMINAL, JobStatus
from shared.services import deletion

_DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """An ended job. size: bytes of its files, without exports."""

    id: str
    status: JobStatus
    finished_at: datetime
    size: int


def ended_before(
    session: Session, days: float, *, with_models: bool, limit: int, statuses: Sequence[JobStatus] = ()
) -> list[EndedJob]:
    """Jobs that ended so many days ago or earlier, the earliest first.

    with_models: also jobs that published a model. An imported model is deleted on its own. statuses: only
    jobs of these.
    """
    sizes = [
        select(func.coalesce(func.sum(table.size), 0)).where(table.job_id == Job.id).scalar_subquery()
        for table in (Artifact, Checkpoint)
    ]
    query = (
        select(Job.id, Job.status, Job.finished_at, sizes[0] + sizes[1])
        .where(
            is_own(session, Job.owner),
            Job.status.in_(set(statuses) & TERMINAL if statuses else TERMINAL),
            Job.kind.in_(QUEUED_KINDS),
            Job.finished_at <= db_now() - round(_DAY_MS * days),
        )
        .order_by(Job.finished_at, Job.id)
        .limit(limit)
    )
    if not with_models:
        query = query.where(~exists().where(Model.job_id == Job.id))
    rows = session.execute(query)
    return [EndedJob(id=row[0], status=row[1], finished_at=row[2], size=int(row[3])) for row in rows]


def delete_ended(session: Session, job_ids: Sequence[str]) -> list[str]:
    """Delete jobs; returns the deleted ones. A job whose weights an unfinished job will read stays."""
    deleted = []
    for job_id in job_ids:
        try:
            with session.begin_nested():
                deletion.delete_job(session, job_id)
        except (Conflict, NotFound):
            continue
        deleted.append(job_id)
    return deleted


def space_used(session: Session) -> dict[str, int]:
    """Bytes of the owner's stored files by kind: checkpoints, datasets, kinds of artifacts. Exports are not counted."""
    is_owned = is_own(session, Job.owner)
    artifacts = select(Artifact.kind, func.sum(Artifact.size)).join(Job, Job.id == Artifact.job_id).where(is_owned)
    used = {kind: int(size) for kind, size in session.execute(artifacts.group_by(Artifact.kind))}
    checkpoints = select(func.sum(Checkpoint.size)).join(Job, Job.id == Checkpoint.job_id).where(is_owned)
    used["checkpoint"] = int(session.scalar(checkpoints) or 0)
    used["dataset"] = int(session.scalar(select(func.sum(UploadedDataset.size))) or 0)
    return used
