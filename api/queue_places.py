"""Queue positions of the jobs that a response shows."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from api.runtime import runtime
from shared.db.tables import Job
from shared.job_status import JobKind
from shared.services import fair_share, queue_stats


def position(session: Session, job: Job) -> int | None:
    """`queue_stats.queue_position` with this server's settings."""
    return positions(session, [job]).get(job.id)


def positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """`queue_stats.queue_positions` with this server's settings."""
    if not jobs:
        return {}
    return queue_stats.queue_positions(session, jobs, running_limit=limit(jobs[0].kind))


def limit(kind: JobKind) -> int | None:
    """The most jobs of a kind that an owner may have running; None is no limit."""
    return fair_share.running_limit(runtime().settings, kind)
