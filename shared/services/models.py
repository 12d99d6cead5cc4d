"""Published models, and the weights to which `model` or `init_from` of a request refers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from shared.db.tables import Checkpoint, ImportJob, Job, Model, TrainingJob
from shared.errors import NotFound, SpecError
from shared.ids import is_id
from shared.services import checkpoints
from shared.services.paging import DEFAULT_LIMIT, newest_first


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights for sampling or further training. model_id: None when they are not those of a published model."""

    checkpoint: Checkpoint
    model_type: str
    dataset: str
    hyperparameters: Mapping[str, Any]
    model_id: str | None


_SHOWN = (
    joinedload(Model.checkpoint),
    joinedload(Model.job).load_only(TrainingJob.warnings),
    joinedload(Model.imported).load_only(ImportJob.spec),
)


def get(session: Session, model_id: str) -> Model:
    """A published model with its checkpoint, its import, and its job's warnings. Raises NotFound."""
    query = select(Model).where(Model.id == model_id).options(*_SHOWN)
    model = session.scalars(query).one_or_none() if is_id(model_id, "mdl") else None
    if model is None:
        raise NotFound("There is no model with that id.")
    return model


def list_page(
    session: Session, *, model_type: str | None = None, limit: int = DEFAULT_LIMIT, after: str | None = None
) -> tuple[list[Model], bool]:
    """Published models, newest first, and whether there are more. Raises SpecError for a bad page."""
    query = select(Model).options(*_SHOWN)
    filters = {Model.model_type: model_type}
    return newest_first(session, query, Model.id, prefix="mdl", limit=limit, after=after, filters=filters)


def resolve(session: Session, reference: str, *, pointer: str = "/model") -> Source:
    """The weights of a `mdl_…`, `ckp_…` or `trn_…` id: for a training job those of its model or newest checkpoint.

    The checkpoint's row stays locked until the transaction ends, so that pruning sees the job that refers to it.
    Raises SpecError at `pointer`.
    """
    prefix = reference[:3]
    if prefix == "mdl":
        return _of_model(session, session.get(Model, reference), reference, pointer)
    if prefix == "trn":
        return _of_job(session, reference, pointer)
    checkpoint = checkpoints.locked(session, reference)
    if checkpoint is None or session.get(Job, checkpoint.job_id) is None:  # or of another owner
        raise _unknown(reference, pointer)
    published = session.scalars(select(Model).where(Model.checkpoint_id == reference)).one_or_none()
    if published is not None:
        return _of_model(session, published, reference, pointer)
    return _of_checkpoint(session, checkpoint)


def _of_model(session: Session, model: Model | None, reference: str, pointer: str) -> Source:
    checkpoint = checkpoints.locked(session, model.checkpoint_id) if model else None
    if model is None or checkpoint is None:
        raise _unknown(reference, pointer)
    return Source(
        checkpoint=checkpoint,
        model_type=model.model_type,
        dataset=model.dataset,
        hyperparameters=model.hyperparameters,
        model_id=model.id,
    )


def _of_job(session: Session, job_id: str, pointer: str) -> Source:
    if session.get(TrainingJob, job_id) is None:
        raise _unknown(job_id, pointer)
    published = session.scalars(select(Model).where(Model.job_id == job_id)).one_or_none()
    if published is not None:
        return _of_model(session, published, job_id, pointer)
    checkpoint = checkpoints.newest_locked(session, job_id)
    if checkpoint is None:
        detail = f"{job_id} has no checkpoint yet; try again after its first epoch."
        raise SpecError.at(pointer, detail, "no_checkpoint")
    return _of_checkpoint(session, checkpoint)


def _of_checkpoint(session: Session, checkpoint: Checkpoint) -> Source:
    job = session.get_one(TrainingJob, checkpoint.job_id)
    return Source(
        checkpoint=checkpoint,
        model_type=job.model_type,
        dataset=job.spec["dataset"],
        hyperparameters=job.spec["hyperparameters"],
        model_id=None,
    )


def _unknown(reference: str, pointer: str) -> SpecError:
    kind = {"mdl": "model", "ckp": "checkpoint", "trn": "training job"}[reference[:3]]
    gone = " A job that has succeeded keeps its published weights only." if kind == "checkpoint" else ""
    return SpecError.at(pointer, f"There is no {kind} {reference}.{gone}", "unknown")
