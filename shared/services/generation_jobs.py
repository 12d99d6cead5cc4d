"""Generation jobs, as the API sees them."""

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.models import GenerationJob
from shared.errors import NotFound
from shared.ids import is_id, new_id
from shared.job_status import JobStatus
from shared.services import control, deletion, events
from shared.services.admission import admit_generation
from shared.services.paging import DEFAULT_LIMIT, newest_first
from shared.settings import Settings
from shared.specs import GenerationRequest


def submit(session: Session, request: GenerationRequest, *, settings: Settings) -> GenerationJob:
    """Accept a job: the row alone. Send its hint after the commit. Raises SpecError."""
    admitted = admit_generation(session, request, settings)
    job = GenerationJob(
        id=new_id("gen"),
        status=JobStatus.QUEUED,
        model_type=admitted.model_type,
        name=request.name,
        spec=admitted.spec,
        labels=dict(request.metadata),
        priority=request.priority.rank,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
        hinted_at=db_now(),  # the caller sends the first hint right after the commit
    )
    session.add(job)
    session.flush()
    events.add(session, job.id, event="queued", message="Accepted.", attempt=0)
    session.refresh(job)
    return job


def get(session: Session, job_id: str) -> GenerationJob:
    """A generation job. Raises NotFound."""
    query = select(GenerationJob).where(GenerationJob.id == job_id)
    job = session.scalars(query).one_or_none() if is_id(job_id, "gen") else None
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
    control.cancel(session, job_id)
    session.expire_all()
    return get(session, job_id)


def delete(session: Session, job_id: str) -> None:
    """Remove an ended job with its files. Raises NotFound, Conflict."""
    get(session, job_id)
    deletion.delete_job(session, job_id)
