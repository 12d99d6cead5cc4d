"""Changes of jobs since an earlier read, for live streams."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from shared.db.clock import db_now
from shared.db.tables import Artifact, Job, JobEvent, Metric, Model, TrainingJob
from shared.job_status import QUEUED_KINDS

# Transactions commit in another order than their clocks were read, so each read looks back this far.
LOOK_BACK = timedelta(seconds=3)
_MOST_CHANGED = 2_000


def now(session: Session) -> datetime:
    """The database's clock."""
    moment: datetime = session.execute(select(db_now())).scalar_one()
    return moment


def changed_since(session: Session, since: datetime) -> dict[str, int]:
    """Version by id of each job of QUEUED_KINDS that changed at `since` or later, the oldest change first."""
    changed = select(Job.id, Job.version).where(Job.updated_at >= since, Job.kind.in_(QUEUED_KINDS))
    query = changed.order_by(Job.updated_at).limit(_MOST_CHANGED)
    return {row.id: row.version for row in session.execute(query)}


def jobs(session: Session, ids: Sequence[str]) -> list[Job]:
    """The jobs with these ids, training jobs with their models; deleted ones are left out."""
    found: list[Job] = []
    of_training = [job_id for job_id in ids if job_id.startswith("trn_")]
    others = [job_id for job_id in ids if not job_id.startswith("trn_")]
    if of_training:
        query = select(TrainingJob).options(joinedload(TrainingJob.model).joinedload(Model.checkpoint))
        found += session.scalars(query.where(TrainingJob.id.in_(of_training)))
    if others:
        found += session.scalars(select(Job).where(Job.id.in_(others)))
    return found


def metrics_after(session: Session, job_id: str, row_id: int, limit: int) -> list[Metric]:
    """Points of a job's curves with a row id above `row_id`, in the order in which they were recorded."""
    query = select(Metric).where(Metric.job_id == job_id, Metric.id > row_id).order_by(Metric.id).limit(limit)
    return list(session.scalars(query))


def events_after(session: Session, job_id: str, row_id: int, limit: int) -> list[JobEvent]:
    """Events of a job with an id above `row_id`, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > row_id).order_by(JobEvent.id).limit(limit)
    return list(session.scalars(query))


def samples_from(session: Session, job_id: str, step: int, limit: int) -> list[Artifact]:
    """Samples of a training job written at `step` or later, by rising step."""
    query = select(Artifact).where(Artifact.job_id == job_id, Artifact.kind == "sample", Artifact.step >= step)
    return list(session.scalars(query.order_by(Artifact.step, Artifact.id).limit(limit)))
