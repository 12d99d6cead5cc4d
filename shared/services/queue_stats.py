"""Counts, waits and queue positions of jobs, for metrics and for the API."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.owned_rows import ALL_OWNERS, owner_of
from shared.db.tables import Job
from shared.job_status import JobKind, JobStatus, Priority
from shared.services import fair_share
from shared.services.fair_share import Line
from shared.services.queue_order import JOBS, QUEUE_ORDER, due_of, is_due

COUNTED_POSITIONS = 1_000  # queue positions beyond this are not counted
_SHARES = fair_share.shares_where()
_SHARE = fair_share.one_share()
_COUNTS = fair_share.due_counts()


def count_by_status(session: Session) -> dict[tuple[JobKind, JobStatus], int]:
    """Number of jobs by kind and status; combinations without jobs are left out."""
    query = select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query, execution_options=ALL_OWNERS)}


def count_active(session: Session) -> dict[tuple[JobKind, JobStatus], int]:
    """Number of queued and running jobs by kind and status, from the queue's index."""
    is_active = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    query = select(Job.kind, Job.status, func.count()).where(is_active).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in session.execute(query, execution_options=ALL_OWNERS)}


def owners_of(session: Session, job_ids: Sequence[str]) -> dict[str, str | None]:
    """Owner by id of the jobs that exist."""
    query = select(Job.id, Job.owner).where(Job.id.in_(job_ids))
    return dict(session.execute(query, execution_options=ALL_OWNERS).all())


def oldest_queued_s(session: Session) -> dict[JobKind, float]:
    """Seconds since the oldest update of a queued job, by kind; the wait of a back-off counts."""
    query = select(Job.kind, func.min(Job.updated_at), db_now()).where(Job.status == JobStatus.QUEUED)
    rows = session.execute(query.group_by(Job.kind), execution_options=ALL_OWNERS)
    return {kind: max(0.0, (now - since).total_seconds()) for kind, since, now in rows}


@dataclass(frozen=True, kw_only=True)
class DueJobs:
    """Jobs of a kind that a worker could claim now. oldest_s: since when the first of its priority has been due."""

    count: int
    oldest_s: float


def due_jobs(session: Session, kind: JobKind) -> DueJobs:
    """Number and age of the due jobs of a kind, from the queue's index and one row for each priority."""
    of_kind = select(func.count()).select_from(Job).where(Job.kind == kind, is_due())
    count = session.scalar(of_kind, execution_options=ALL_OWNERS) or 0
    waits = [0.0]
    for priority in Priority if count else ():
        first = select(func.coalesce(Job.not_before, Job.updated_at), db_now()).where(
            Job.kind == kind, is_due(), Job.priority == priority.rank
        )
        row = session.execute(first.order_by(*QUEUE_ORDER).limit(1), execution_options=ALL_OWNERS).one_or_none()
        waits += [(row[1] - row[0]).total_seconds()] if row else []
    return DueJobs(count=count, oldest_s=max(waits))


def queue_position(
    session: Session, job: Job, *, counted: int = COUNTED_POSITIONS, running_limit: int | None = None
) -> int | None:
    """One more than the claims that come before that of the job, if no job is submitted or ends meanwhile.

    None when the job is not queued.
    """
    return queue_positions(session, [job], counted=counted, running_limit=running_limit).get(job.id)


def next_position(
    session: Session,
    kind: JobKind,
    priority: Priority,
    *,
    counted: int = COUNTED_POSITIONS,
    running_limit: int | None = None,
) -> int:
    """The position that a job of the session's owner would have if it were submitted now.

    `counted + 1` where it would be further back.
    """
    name = owner_of(session)
    queue = _Queue(session, kind, counted, running_limit)
    ahead = len(queue.places(name, JOBS.c.priority <= priority.rank))
    return queue.positions({"new": (name, ahead)})["new"]


def queue_positions(
    session: Session, jobs: Sequence[Job], *, counted: int = COUNTED_POSITIONS, running_limit: int | None = None
) -> dict[str, int]:
    """Position of each waiting job among `jobs`, all of one kind, by id.

    At most the first `counted` places of each owner are read, so the time is bounded. A job further back has the
    position `counted + 1`. A job in its back-off has the position that it will have when it is due.

    running_limit: jobs of an owner with as many held jobs come after the jobs that can be claimed before one ends.
    """
    waiting = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not waiting:
        return {}
    queue = _Queue(session, waiting[0].kind, counted, running_limit)
    fronts = {name: queue.places(name) for name in {job.share for job in waiting}}
    ranks = {job.id: bisect_left(fronts[job.share], (job.priority, job.created_at, job.id)) for job in waiting}
    return queue.positions({job.id: (job.share, ranks[job.id]) for job in waiting})


def first_in_queue(session: Session, kind: JobKind, count: int, *, running_limit: int | None = None) -> list[str]:
    """Ids of the first `count` due jobs of a kind, in the order of the queue."""
    queue = _Queue(session, kind, count, running_limit)
    turns = queue.turns()
    places = {name: iter(queue.places(name, count=turns.count(name))) for name in dict.fromkeys(turns)}
    # On PostgreSQL each statement sees its own moment, so a job that was counted may be gone.
    found = (next(places[name], None) for name in turns)
    return [place[-1] for place in found if place is not None]


class _Queue:
    """The due jobs of a kind: the shares of their owners, and the numbers and places of their jobs."""

    def __init__(self, session: Session, kind: JobKind, counted: int, running_limit: int | None) -> None:
        self._session, self._kind, self._counted = session, kind, counted
        self._line = Line(fair_share.read(session, _SHARES, kind), kind, running_limit)

    def places(self, name: str, *conditions: Any, count: int | None = None) -> list[tuple[Any, ...]]:
        """Priority, time and id of an owner's first due jobs, in their order."""
        query = due_of(bindparam("of_share"), *conditions).limit(self._counted if count is None else count)
        query = query.with_only_columns(JOBS.c.priority, JOBS.c.created_at, JOBS.c.id)
        return [tuple(row) for row in self._session.execute(query, {"claimed_kind": self._kind, "of_share": name})]

    def positions(self, ranks: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """Position by key. ranks: the owner, and the number of its jobs that come before."""
        missing = {name for name, _ in ranks.values()} - self._line.shares.keys()
        if missing:
            self._line.add(fair_share.read(self._session, _SHARE, self._kind, of_share=name)[0] for name in missing)
        most = max(self._line.most_turns_before(name, rank) for name, rank in ranks.values())
        counts = self._counts(most)
        return {
            key: min(self._counted, self._line.turns_before(name, rank, counts)) + 1
            for key, (name, rank) in ranks.items()
        }

    def turns(self) -> list[str]:
        """Owners of the first jobs, in the order of their claims."""
        return self._line.turns(self._counts(self._counted), self._counted)

    def _counts(self, most: int) -> dict[str, int]:
        """Number of due jobs by owner, up to `most`."""
        if not most:
            return {}
        values = {"claimed_kind": self._kind, "most": min(most, self._counted)}
        return {row.share: row.due for row in self._session.execute(_COUNTS, values)}
