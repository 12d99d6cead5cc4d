"""Generation jobs: submit and find. `shared.services.jobs` has the operations common to all kinds."""

from sqlalchemy.orm import Session

from shared.db.tables import GenerationJob
from shared.services import jobs, quotas, webhook_admission
from shared.services.admission import admit_generation
from shared.settings import Settings
from shared.specs import GenerationRequest


def submit(session: Session, request: GenerationRequest, *, settings: Settings) -> GenerationJob:
    """Insert the row of a job. Send its notification after the commit. Raises SpecError, TooManyJobs."""
    quotas.check_new_job(session, settings)
    webhook_admission.check(request.webhook, settings)
    admitted = admit_generation(session, request, settings)
    return jobs.submit(
        session,
        GenerationJob,
        request,
        model_type=admitted.model_type,
        spec=admitted.spec,
        is_quick=admitted.is_quick,
        memory_bytes=admitted.memory_bytes,
        warnings=admitted.warnings,
    )


def get(session: Session, job_id: str) -> GenerationJob:
    """A generation job. Raises NotFound."""
    return jobs.get(session, GenerationJob, job_id)
