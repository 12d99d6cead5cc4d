"""Quotas of an owner: jobs that wait, and bytes of stored files. The settings give the same limits to each owner."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.owned_rows import is_own, owner_of
from shared.db.tables import Job, Owner
from shared.errors import QuotaExceeded, TooManyJobs
from shared.job_status import QUEUED_KINDS, JobStatus
from shared.services import retention
from shared.settings import Settings


def check_new_job(session: Session, settings: Settings) -> None:
    """Check that the session's owner may submit another job. Raises TooManyJobs, QuotaExceeded.

    Submissions of one owner run one after another until the end of the transaction, so that the count is exact.
    """
    limit = settings.quota_waiting_jobs
    if limit is not None:
        session.execute(select(Owner.name).where(Owner.name == owner_of(session)).with_for_update())
        is_waiting = (is_own(session, Job.owner), Job.kind.in_(QUEUED_KINDS), Job.status == JobStatus.QUEUED)
        waiting = select(Job.id).where(*is_waiting).limit(limit).subquery()
        count = session.scalar(select(func.count()).select_from(waiting)) or 0
        if count >= limit:
            raise TooManyJobs(
                f"{count:,} jobs of {owner_of(session)} are waiting, the limit of MIMEO_QUOTA_WAITING_JOBS. Wait until "
                "one starts, or cancel one."
            )
    check_new_files(session, settings)


def check_new_files(session: Session, settings: Settings, size: int = 0) -> None:
    """Check that the owner's files and `size` further bytes are within the quota. Raises QuotaExceeded."""
    limit = settings.quota_stored_bytes
    if limit is None:
        return
    used = sum(retention.space_used(session).values())
    if used + size > limit or used >= limit:
        raise QuotaExceeded(
            f"The files of {owner_of(session)} take {used:,} of {limit:,} bytes (MIMEO_QUOTA_STORED_BYTES), and this "
            f"needs {size:,} more. Delete jobs or datasets; `mimeo prune` removes ended jobs."
        )
