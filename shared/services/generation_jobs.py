"""Generation jobs, as the API sees them."""

import secrets

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from shared.db.tables import GenerationJob
from shared.errors import NotFound
from shared.ids import is_id, new_id
from shared.job_status import JobStatus
from shared.services import deletion, new_jobs, transitions
from shared.services.admission import admit_generation
from shared.services.paging import DEFAULT_LIMIT, newest_first
from shared.settings import Settings
from shared.specs import GenerationRequest

_BY_ID = select(GenerationJob).where(GenerationJob.id == bindparam("id"))  # made once, for whoever polls


def submit(session: Session, request: GenerationRequest, *, settings: Settings) -> GenerationJob:
    """Accept a job: the row alone. Send its notification after the commit. Raises SpecError."""
    admitted = admit_generation(session, request, settings)
    return new_jobs.add(
        session,
        GenerationJob,
        id=new_id("gen"),
        model_type=admitted.model_type,
        name=request.name,
        spec=admitted.spec,
        labels=request.metadata,
        priority=request.priority,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
    )


def get(session: Session, job_id: str) -> GenerationJob:
    """A generation job. Raises NotFound."""
    job = session.scalars(_BY_ID, {"id": job_id}).one_or_none() if is_id(job_id, "gen") else None
    if job is None:
        raise NotFound("There is no generation job with that id.")
    return job


def list_page(
    session: Session,
    *,
    status: JobStatus | None = None,
    model_type: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> tuple[list[GenerationJob], bool]:
    """Generation jobs, newest first, and whether there are more. Raises SpecError for a bad page."""
    query = select(GenerationJob)
    filters = {GenerationJob.status: status, GenerationJob.model_type: model_type}
    return newest_first(session, query, GenerationJob.id, prefix="gen", limit=limit, after=after, filters=filters)


def cancel(session: Session, job_id: str) -> GenerationJob:
    """End a job: at once where no worker holds it, else soon. Raises NotFound, and Conflict where it has ended."""
    get(session, job_id)
    transitions.cancel(session, job_id)
    session.expire_all()
    return get(session, job_id)


def delete(session: Session, job_id: str) -> None:
    """Remove an ended job with its files. Raises NotFound, Conflict."""
    get(session, job_id)
    deletion.delete_job(session, job_id)
