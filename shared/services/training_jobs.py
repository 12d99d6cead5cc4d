"""Training jobs, as the API sees them."""

import secrets
from collections.abc import Callable

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload

from shared.db.tables import Model, TrainingJob
from shared.errors import NotFound
from shared.ids import is_id, new_id
from shared.job_status import JobStatus
from shared.services import deletion, new_jobs, transitions
from shared.services.admission import admit_training
from shared.services.paging import DEFAULT_LIMIT, newest_first
from shared.settings import Settings
from shared.specs import TrainingRequest

_WITH_MODEL = joinedload(TrainingJob.model).joinedload(Model.checkpoint)
# Made once, for whoever polls.
_BY_ID = select(TrainingJob).where(TrainingJob.id == bindparam("id")).options(_WITH_MODEL)


def submit(session: Session, request: TrainingRequest, *, settings: Settings) -> TrainingJob:
    """Accept a job: the row alone. Send its notification after the commit. Raises SpecError."""
    return new_jobs.add(
        session,
        TrainingJob,
        id=new_id("trn"),
        model_type=request.model_type,
        name=request.name,
        spec=admit_training(session, request, settings),
        labels=request.metadata,
        priority=request.priority,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
    )


def get(session: Session, job_id: str) -> TrainingJob:
    """A training job with its model. Raises NotFound."""
    job = session.scalars(_BY_ID, {"id": job_id}).one_or_none() if is_id(job_id, "trn") else None
    if job is None:
        raise NotFound("There is no training job with that id.")
    return job


def list_page(
    session: Session,
    *,
    status: JobStatus | None = None,
    model_type: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> tuple[list[TrainingJob], bool]:
    """Training jobs, newest first, and whether there are more. Raises SpecError for a bad page."""
    query = select(TrainingJob).options(_WITH_MODEL)
    filters = {TrainingJob.status: status, TrainingJob.model_type: model_type}
    return newest_first(session, query, TrainingJob.id, prefix="trn", limit=limit, after=after, filters=filters)


def cancel(session: Session, job_id: str) -> TrainingJob:
    """End a job: at once where no worker holds it, else soon. Raises NotFound, and Conflict where it has ended."""
    return _asked(session, job_id, transitions.cancel)


def pause(session: Session, job_id: str) -> TrainingJob:
    """Put a job aside: at once where no worker holds it, else soon, with a checkpoint. Raises NotFound, Conflict."""
    return _asked(session, job_id, transitions.pause)


def resume(session: Session, job_id: str) -> TrainingJob:
    """Let a paused job go on. Send its notification after the commit.

    Raises NotFound, and Conflict where it is not paused.
    """
    return _asked(session, job_id, transitions.resume)


def retry(session: Session, job_id: str) -> TrainingJob:
    """Run a failed or cancelled job again, from its last good checkpoint. Send its notification after the commit.

    Raises NotFound, Conflict.
    """
    return _asked(session, job_id, transitions.retry)


def delete(session: Session, job_id: str) -> None:
    """Remove an ended job with its model and files. Raises NotFound, Conflict."""
    get(session, job_id)
    deletion.delete_job(session, job_id)


def _asked(session: Session, job_id: str, ask: Callable[[Session, str], JobStatus]) -> TrainingJob:
    get(session, job_id)
    ask(session, job_id)
    session.expire_all()
    return get(session, job_id)
