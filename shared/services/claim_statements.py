"""The statements of a claim, built once: their construction takes longer than their execution."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Select, and_, bindparam, func, select, update

from shared.db.clock import db_now
from shared.db.tables import Job
from shared.job_status import JobStatus
from shared.services import fair_share
from shared.services.queue_order import IS_QUEUED, JOBS, KIND, QUEUE_ORDER, due_of, is_due, touched


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Statements about the due jobs that meet some conditions. shares: their owners. claim: the first of an owner."""

    shares: Select[Any]
    claim: Executable


@dataclass(frozen=True, kw_only=True)
class Urgency:
    """What interrupts a running job: jobs of a higher priority, and quick ones of the same.

    rank: of the running job's priority. room: bytes of memory that a further job may need.
    """

    rank: int
    room: int
    takes_quick: bool

    def parameters(self) -> dict[str, int]:
        """Parameters of HIGHER and QUICK."""
        return {"rank": self.rank, "room": self.room}

    def candidates(self) -> tuple[Candidates, ...]:
        """The statements for the jobs that interrupt, in the order in which they are tried."""
        return (HIGHER, QUICK) if self.takes_quick else (HIGHER,)


def _candidates(*conditions: Any, among: Any = IS_QUEUED) -> Candidates:
    # SKIP LOCKED: simultaneous claims take different rows instead of waiting for the first one's commit.
    first = due_of(bindparam("of_share"), among, *conditions).limit(1).with_for_update(skip_locked=True)
    values = {
        "status": JobStatus.RUNNING,
        "attempt": Job.attempt + 1,
        "fencing_token": Job.fencing_token + 1,
        "worker": bindparam("worker"),
        "heartbeat_at": db_now(),
        "claimed_at": db_now(),
        "started_at": func.coalesce(Job.started_at, db_now()),
        "not_before": None,
        "error": None,
        **touched(),
    }
    claim = update(JOBS).where(Job.id == first.scalar_subquery(), fair_share.held_count() < bindparam("running_limit"))
    row = select(Job).from_statement(claim.values(values).returning(JOBS))
    return Candidates(
        shares=fair_share.shares_where(*conditions, among=among),
        claim=row.execution_options(populate_existing=True),
    )


# Two statements instead of one with an alternative: each finds its first job in an index.
_FITS = JOBS.c.memory_bytes <= bindparam("room")
_IS_HIGHER = (JOBS.c.priority < bindparam("rank"), _FITS)
_IS_QUICK = (JOBS.c.priority <= bindparam("rank"), _FITS)
ANY, HIGHER = _candidates(), _candidates(*_IS_HIGHER)
# For a worker that cannot run every job.
PLACED = _candidates(JOBS.c.placement.in_(bindparam("met", expanding=True)))
QUICK = _candidates(*_IS_QUICK, among=and_(IS_QUEUED, JOBS.c.is_quick))
_DUE = select(Job.id).where(Job.kind == KIND, is_due()).order_by(*QUEUE_ORDER).limit(1)
IS_HIGHER_DUE, IS_QUICK_DUE = (
    select(_DUE.where(*each).exists()) for each in (_IS_HIGHER, (JOBS.c.is_quick, *_IS_QUICK))
)
