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
    """Check that the session's owner may submit another job. Raises TooManyJobs, QuotaExceeded."""
    _check_waiting(session, settings, counted=0)
    check_new_files(session, settings)


def check_queued_again(session: Session, settings: Settings) -> None:
    """Check the waiting jobs of the session's owner, of which one has just been queued again. Raises TooManyJobs."""
    _check_waiting(session, settings, counted=1)


def check_new_files(session: Session, settings: Settings, size: int = 0, *, freed: int = 0) -> None:
    """Check that the owner's files and `size` further bytes are within the quota. Raises QuotaExceeded.

    freed: bytes of the files that the new ones replace.
    """
    limit = settings.quota_stored_bytes
    if limit is None:
        return
    used = sum(retention.space_used(session).values()) - freed
    if used + size > limit or used >= limit:
        raise QuotaExceeded(
            f"The files of {owner_of(session)} take {used:,} of {limit:,} bytes (MIMEO_QUOTA_STORED_BYTES), and this "
            f"needs {size:,} more. Delete jobs or datasets; `mimeo prune` removes ended jobs."
        )


def check_added_files(session: Session, settings: Settings) -> None:
    """Check the owner's files with those that this transaction has added. Raises QuotaExceeded.

    The size of a stored file may exceed that of its request, and several requests may arrive at once.
    """
    limit = settings.quota_stored_bytes
    if limit is None:
        return
    _lock_owner(session)
    used = sum(retention.space_used(session).values())
    if used > limit:
        raise QuotaExceeded(
            f"With this the files of {owner_of(session)} would take {used:,} of {limit:,} bytes "
            "(MIMEO_QUOTA_STORED_BYTES). Delete jobs or datasets; `mimeo prune` removes ended jobs."
        )


def _check_waiting(session: Session, settings: Settings, *, counted: int) -> None:
    """Raises TooManyJobs. counted: 1 where the new job is in the table and waits, else 0."""
    limit = settings.quota_waiting_jobs
    if limit is None:
        return
    _lock_owner(session)
    is_waiting = (is_own(session, Job.owner), Job.kind.in_(QUEUED_KINDS), Job.status == JobStatus.QUEUED)
    waiting = select(Job.id).where(*is_waiting).limit(limit + counted).subquery()
    count = (session.scalar(select(func.count()).select_from(waiting)) or 0) - counted
    if count >= limit:
        raise TooManyJobs(
            f"{count:,} jobs of {owner_of(session)} are waiting, the limit of MIMEO_QUOTA_WAITING_JOBS. Wait until "
            "one starts, or cancel one."
        )


def _lock_owner(session: Session) -> None:
    """Let the transactions of one owner that check a quota end one after another, so that the figures are exact."""
    session.execute(select(Owner.name).where(Owner.name == owner_of(session)).with_for_update())
