"""The placements that jobs have or had (`shared.placement`), and which of them workers meet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Job, Placement, Worker, table_of
from shared.job_status import JobKind, JobStatus, Priority
from shared.placement import ANYWHERE, Ability
from shared.services import fair_share
from shared.services.queue_order import IS_HELD, JOBS, QUEUE_ORDER, is_due
from shared.services.workers import is_alive
from shared.settings import Settings

_PLACEMENTS = table_of(Placement)
_NAMES = select(_PLACEMENTS.c.name)
_KEPT = 100
WaitingFor = Literal["running_quota", "able_worker", "worker"]


class NewPlacement(Exception):
    """The claimed job has a placement, `name`, that was not recorded when the claim began: roll back, claim again."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def add(session: Session, name: str) -> None:
    """Record a placement, in the transaction of a job that has it. `prune` waits for the end of the transaction."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(_PLACEMENTS).values(name=name).on_conflict_do_nothing()
    kept = _NAMES.where(_PLACEMENTS.c.name == name).with_for_update(read=True, key_share=True)
    while True:
        session.execute(statement)
        if session.scalars(kept).one_or_none() is not None:
            return


def prune(session: Session) -> None:
    """Delete the placements that no job has which may run again. A few are kept: the check reads every job."""
    known = set(session.scalars(_NAMES.with_for_update()))
    if len(known) <= _KEPT:
        return
    may_run = (JOBS.c.placement != ANYWHERE, JOBS.c.status != JobStatus.SUCCEEDED)
    unused = known - set(session.scalars(select(JOBS.c.placement).where(*may_run).distinct()))
    session.execute(delete(_PLACEMENTS).where(_PLACEMENTS.c.name.in_(unused)))


def names(session: Session) -> list[str]:
    """The placements that some job has or had, without `any`."""
    return list(session.scalars(_NAMES))


def restriction(session: Session, ability: Ability) -> dict[str, Any] | None:
    """Parameters of `claim_statements.PLACED` for a worker; None where it can run every job."""
    known = names(session)
    met = [name for name in known if ability.meets(name)]
    return None if met == known else {"met": [ANYWHERE, *met]}


def ability_of(worker: Any) -> Ability:
    """The ability of a worker by its row."""
    labels = frozenset((worker.labels or "").split(",")) - {""}
    return Ability(device=worker.device.partition(":")[0], labels=labels)


def idle_abilities(session: Session, settings: Settings, *, without: str | None = None) -> list[Ability]:
    """Abilities of the live training workers that hold no job. without: the id of a worker to leave out."""
    held = select(JOBS.c.worker).where(JOBS.c.kind == JobKind.TRAINING, IS_HELD, JOBS.c.worker.is_not(None))
    idle = select(Worker).where(Worker.kind == JobKind.TRAINING, is_alive(settings, leases=1), Worker.id.not_in(held))
    return [ability_of(worker) for worker in session.scalars(idle) if worker.id != without]


@dataclass(frozen=True, kw_only=True)
class IdleWorkers:
    """The live training workers that hold no job. met: the placements that one of them meets."""

    count: int
    met: list[str]


def idle_workers(session: Session, settings: Settings) -> IdleWorkers | None:
    """The idle training workers; None where no job has asked for a placement."""
    known = names(session)
    if not known:
        return None
    idle = idle_abilities(session, settings)
    met = [name for name in [ANYWHERE, *known] if any(ability.meets(name) for ability in idle)]
    return IdleWorkers(count=len(idle), met=met)


def first_for_others(
    session: Session, ability: Ability, settings: Settings, *, worker: str
) -> tuple[str, Priority] | None:
    """A due job that this worker cannot run and another, idle one can: its id and priority."""
    unmet = [name for name in names(session) if not ability.meets(name)]
    if not unmet:
        return None
    idle = idle_abilities(session, settings, without=worker)
    wanted = [name for name in unmet if any(other.meets(name) for other in idle)]
    if not wanted:
        return None
    due = select(Job.id, Job.priority).where(Job.kind == JobKind.TRAINING, is_due(), Job.placement.in_(wanted))
    row = session.execute(due.order_by(*QUEUE_ORDER).limit(1)).one_or_none()
    return None if row is None else (row.id, Priority.of_rank(row.priority))


def waiting_for(session: Session, jobs: Sequence[Job], settings: Settings) -> dict[str, WaitingFor]:
    """By id, why the queued and due jobs among `jobs` still wait. The workers are read once.

    `running_quota`: the owner has as many running jobs as it may have. `able_worker`: no live worker can run the job.
    `worker`: those that can are busy, or their devices have no room.
    """
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    if any(job.not_before is not None for job in queued):
        now = session.execute(select(db_now())).scalar_one()
        queued = [job for job in queued if job.not_before is None or job.not_before <= now]
    if not queued:
        return {}
    columns = select(Worker.kind, Worker.device, Worker.labels)
    rows = session.execute(columns.where(is_alive(settings)).distinct())
    alive = {(row.kind, ability_of(row)) for row in rows}
    full = _shares_at_limit(session, {job.share for job in queued if job.kind is JobKind.TRAINING}, settings)

    def reason(job: Job) -> WaitingFor:
        if job.kind is JobKind.TRAINING and job.share in full:
            return "running_quota"
        able = (kind == job.kind and each.meets(job.placement) for kind, each in alive)
        return "worker" if any(able) else "able_worker"

    return {job.id: reason(job) for job in queued}


def _shares_at_limit(session: Session, shares: Collection[str], settings: Settings) -> set[str]:
    limit = fair_share.running_limit(settings, JobKind.TRAINING)
    if limit is None or not shares:
        return set()
    held = select(JOBS.c.share).where(JOBS.c.kind == JobKind.TRAINING, IS_HELD, JOBS.c.share.in_(shares))
    return set(session.scalars(held.group_by(JOBS.c.share).having(func.count() >= limit)))
