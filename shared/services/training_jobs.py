"""Training jobs: submit and find. `shared.services.jobs` has the operations common to all kinds."""

from sqlalchemy.orm import Session

from shared.db.tables import TrainingJob
from shared.services import jobs, quotas, webhook_admission
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
    )


def get(session: Session, job_id: str) -> TrainingJob:
    """A training job with its model. Raises NotFound."""
    return jobs.get(session, TrainingJob, job_id)
