"""Queue positions of the jobs that a response shows, and why they wait."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.runtime import runtime
from shared.db.tables import Job
from shared.job_status import JobKind
from shared.services import fair_share, placements, queue_stats
from shared.services.placements import WaitingFor


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """Of one job. position: as `queue_stats.queue_position` counts. waiting_for: None for a job that is not due."""

    position: int | None = None
    waiting_for: WaitingFor | None = None


def place(session: Session, job: Job) -> QueuePlace:
    """The place of one job."""
    return places(session, [job])[job.id]


def places(session: Session, jobs: Sequence[Job]) -> dict[str, QueuePlace]:
    """The places of jobs of one kind, by id."""
    if not jobs:
        return {}
    positions = queue_stats.queue_positions(session, jobs, running_limit=limit(jobs[0].kind))
    reasons = placements.waiting_for(session, jobs, runtime().settings)
    return {job.id: QueuePlace(position=positions.get(job.id), waiting_for=reasons.get(job.id)) for job in jobs}


def limit(kind: JobKind) -> int | None:
    """The most jobs of a kind that an owner may have running; None is no limit."""
    return fair_share.running_limit(runtime().settings, kind)
