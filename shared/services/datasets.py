"""Datasets by name: the registry's, and those that users upload."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.datasets import REGISTRY, DatasetShape
from shared.db.tables import DEFAULT_OWNER, Model, TrainingJob, UploadedDataset
from shared.errors import NotFound, SpecError
from shared.job_status import TERMINAL
from shared.spec_errors import nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
Lock = Literal["share", "update"]
_dataset_of_job = TrainingJob.spec["dataset"].as_string()


@dataclass(frozen=True, kw_only=True)
class Use:
    """How many unfinished training jobs and how many models name a dataset."""

    jobs: int = 0
    models: int = 0


def check_name(name: str) -> None:
    """Raises SpecError for a name that an upload cannot have."""
    if not _NAME.fullmatch(name):
        detail = "Use 1 to 64 lower-case letters, digits, dots, dashes or underscores, starting with a letter or digit."
        raise SpecError.at("/name", detail, "invalid")


def list_uploads(session: Session, *, after: str | None = None, limit: int | None = None) -> list[UploadedDataset]:
    """The uploaded datasets by name: those after the name `after`, at most `limit`."""
    query = select(UploadedDataset).order_by(UploadedDataset.name).limit(limit)
    return list(session.scalars(query if after is None else query.where(UploadedDataset.name > after)))


def find_upload(session: Session, name: str, *, lock: Lock | None = None) -> UploadedDataset | None:
    """An uploaded dataset, or None.

    lock: `share` keeps others from changing it until the end of the transaction; `update` is for a change.
    """
    if not _NAME.fullmatch(name):
        return None
    query = select(UploadedDataset).where(UploadedDataset.name == name)
    if lock is not None:
        query = query.with_for_update(read=lock == "share").execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def get_upload(session: Session, name: str, *, lock: Lock | None = None) -> UploadedDataset:
    """An uploaded dataset. Raises NotFound with the nearest name."""
    row = find_upload(session, name, lock=lock)
    if row is None:
        raise NotFound(
            f"This dataset does not exist.{nearest(name, [*names(session, 'text'), *names(session, 'images')])}"
        )
    return row


def names(session: Session, kind: str) -> list[str]:
    """Names of all datasets of a kind."""
    uploads = session.scalars(select(UploadedDataset.name).where(UploadedDataset.kind == kind))
    return [info.name for info in REGISTRY.values() if info.kind == kind] + list(uploads)


def shape(session: Session, name: str) -> DatasetShape | None:
    """The known part of a dataset's shape; None when the dataset does not exist."""
    if name in REGISTRY:
        return REGISTRY[name].shape
    row = find_upload(session, name)
    if row is None:
        return None
    return shape_of_upload(row)


def shape_of_upload(row: UploadedDataset) -> DatasetShape:
    """The shape of an uploaded dataset."""
    found = row.details
    if row.kind == "text":
        return DatasetShape(kind="text", examples=found.get("characters"), vocabulary=found.get("vocabulary"))
    return DatasetShape(
        kind="images",
        examples=found["images"],
        training_examples=found["train"],
        height=found["size"],
        width=found["size"],
        channels=found["channels"],
        classes=len(found["classes"]),
    )


def uses(session: Session, name: str | None = None) -> Mapping[str, Use]:
    """The use of each dataset that is in use, by name. name: only of this one."""
    unfinished = select(_dataset_of_job.label("dataset")).where(TrainingJob.status.not_in(TERMINAL)).subquery()
    jobs = select(unfinished.c.dataset, func.count()).group_by(unfinished.c.dataset)
    models = select(Model.dataset, func.count()).group_by(Model.dataset)
    if name is not None:
        jobs, models = jobs.where(unfinished.c.dataset == name), models.where(Model.dataset == name)
    jobs_of: dict[str, int] = dict(session.execute(jobs).all())
    models_of: dict[str, int] = dict(session.execute(models).all())
    used = jobs_of.keys() | models_of.keys()
    return {each: Use(jobs=jobs_of.get(each, 0), models=models_of.get(each, 0)) for each in used}


def upload_of(session: Session, job: TrainingJob) -> UploadedDataset | None:
    """The uploaded dataset that a training job's spec names, of the job's owner; None for one of the registry."""
    return session.get(UploadedDataset, (job.owner or DEFAULT_OWNER, job.spec["dataset"]))


def images_of_training(session: Session, job_id: str | None) -> UploadedDataset | None:
    """The uploaded images that a training job was submitted with; None where they were changed, or are no upload."""
    job = session.get(TrainingJob, job_id) if job_id else None
    submitted = job.spec.get("dataset_sha256") if job else None
    if job is None or submitted is None:
        return None
    row = upload_of(session, job)
    return row if row is not None and row.kind == "images" and row.sha256 == submitted else None


def unfinished_jobs(session: Session, name: str) -> list[str]:
    """Ids of the training jobs that read a dataset and have not ended."""
    query = select(TrainingJob.id).where(TrainingJob.status.not_in(TERMINAL), _dataset_of_job == name)
    return list(session.scalars(query.order_by(TrainingJob.id)))
