"""Training jobs: submit and find. `shared.services.jobs` has the operations common to all kinds."""

from sqlalchemy.orm import Session

from shared.db.tables import TrainingJob
from shared.job_status import JobStatus
from shared.placement import canonical
from shared.services import jobs, quotas, transitions, webhook_admission
from shared.services.admission import admit_training
from shared.settings import Settings
from shared.specs import TrainingRequest


def submit(session: Session, request: TrainingRequest, *, settings: Settings) -> TrainingJob:
    """Insert the row of a job. Send its notification after the commit. Raises SpecError, TooManyJobs."""
    quotas.check_new_job(session, settings)
    webhook_admission.check(request.webhook, settings)
    admitted = admit_training(session, request, settings)
    return jobs.submit(
        session,
        TrainingJob,
        request,
        model_type=request.model_type,
        spec=admitted.spec,
        warnings=admitted.warnings,
        memory_bytes=admitted.memory_bytes,
        placement=canonical(request.device, request.requires),
    )


def resume(session: Session, job_id: str, *, settings: Settings) -> JobStatus:
    """Queue a paused job again, as `transitions.resume`. Raises TooManyJobs too."""
    status = transitions.resume(session, job_id)
    if status is JobStatus.QUEUED:
        quotas.check_queued_again(session, settings)
    return status


def retry(session: Session, job_id: str, *, settings: Settings) -> JobStatus:
    """Queue a failed or cancelled job again, as `transitions.retry`. Raises TooManyJobs, QuotaExceeded too."""
    status = transitions.retry(session, job_id)
    quotas.check_queued_again(session, settings)
    quotas.check_new_files(session, settings)
    return status


def get(session: Session, job_id: str) -> TrainingJob:
    """A training job with its model. Raises NotFound."""
    return jobs.get(session, TrainingJob, job_id)
