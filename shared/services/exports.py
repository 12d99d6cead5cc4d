"""Models in formats that a worker creates, with one generation job for each model and format."""

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.db.tables import Export, GenerationJob, Job, Model
from shared.ids import new_id
from shared.services import models, new_jobs, pending_deletions

TIMEOUT_S = 600
MAX_ATTEMPTS = 3


def job_of(session: Session, model_id: str, format_: str) -> GenerationJob | None:
    """The job that creates, or has created, the model's files in a format; None before the first request."""
    query = select(GenerationJob).join(Export, Export.job_id == GenerationJob.id)
    return session.scalars(query.where(Export.model_id == model_id, Export.format == format_)).one_or_none()


def submit(session: Session, model_id: str, format_: str) -> tuple[GenerationJob, bool]:
    """The job that creates the model's files in a format, and whether it is new.

    Send the notification of a new job after the commit. One of several simultaneous requests creates
    the job and the others find it. Raises NotFound, and SpecError for a model whose checkpoint is gone.
    """
    found = job_of(session, model_id, format_)
    if found is not None:
        return found, False
    is_shared = models.get(session, model_id).owner is None
    try:
        with session.begin_nested():
            job = _add_job(session, model_id, format_, is_shared=is_shared)
            session.add(Export(model_id=model_id, format=format_, job_id=job.id))
            session.flush()
    except IntegrityError:  # another request has created it
        found = job_of(session, model_id, format_)
        if found is None:
            raise
        return found, False
    return job, True


def delete_of_job(session: Session, training_job_id: str) -> None:
    """Delete the export jobs of a training job's model before the model. Their files become pending deletions."""
    made = select(Export.job_id).join(Model, Model.id == Export.model_id).where(Model.job_id == training_job_id)
    ids = list(session.scalars(made))
    for job_id in ids:
        pending_deletions.add(session, f"jobs/{job_id}")
    session.execute(delete(Job).where(Job.id.in_(ids)).execution_options(synchronize_session=False))


def _add_job(session: Session, model_id: str, format_: str, *, is_shared: bool) -> GenerationJob:
    source = models.resolve(session, model_id)
    spec = {
        "model": model_id,
        "model_id": model_id,
        "training_job_id": source.checkpoint.job_id,
        "checkpoint_id": source.checkpoint.id,
        "sampling": {},
        "format": format_,
    }
    return new_jobs.add(
        session,
        GenerationJob,
        id=new_id("gen"),
        model_type=source.model_type,
        spec=spec,
        seed=0,  # an export uses no random numbers
        max_attempts=MAX_ATTEMPTS,
        timeout_s=TIMEOUT_S,
        is_shared=is_shared,
    )
