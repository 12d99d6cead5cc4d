"""Workers, their heartbeats and their current jobs."""

from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.contract_steps import NEWEST_CONTRACT_STEP
from shared.db.tables import DeviceLease, Job, Worker
from shared.db.upsert import upsert
from shared.job_status import HELD, JobKind
from shared.settings import Settings

_FORGET_MS = 24 * 3600 * 1000
_SILENT_SHOWN = 20


def list_alive(session: Session, settings: Settings) -> list[Worker]:
    """Workers with a heartbeat within three leases, by id."""
    query = select(Worker).where(is_alive(settings))
    return list(session.scalars(query.order_by(Worker.id)))


def is_alive(settings: Settings, *, leases: int = 3) -> ColumnElement[bool]:
    """Condition: the worker has a heartbeat within that many leases."""
    return Worker.heartbeat_at > silent_since(settings, leases=leases)


def silent_since(settings: Settings, *, leases: int = 3) -> ColumnElement[datetime]:
    """The time that many leases ago, by the database's clock."""
    return db_now() - round(1000 * leases * settings.lease_s)


def list_known(session: Session, settings: Settings) -> list[Worker]:
    """Live workers by id, then up to twenty others with a heartbeat within the last day, the latest first."""
    alive = list_alive(session, settings)
    query = select(Worker).where(Worker.id.not_in([worker.id for worker in alive]))
    silent = query.where(Worker.heartbeat_at > db_now() - _FORGET_MS).order_by(Worker.heartbeat_at.desc(), Worker.id)
    return alive + list(session.scalars(silent.limit(_SILENT_SHOWN)))


def interrupted_jobs(session: Session) -> dict[str, list[str]]:
    """By worker, the jobs that it holds beside its current one, in the order of their claims."""
    held = select(Worker.id, Job.id).join(Job, Job.worker == Worker.id).where(Job.status.in_(HELD))
    is_interrupted = (Job.kind == JobKind.GENERATION, Job.id != func.coalesce(Worker.job_id, ""))
    found: dict[str, list[str]] = {}
    for worker_id, job_id in session.execute(held.where(*is_interrupted).order_by(Job.priority.desc(), Job.is_quick)):
        found.setdefault(worker_id, []).append(job_id)
    return found


def count_neighbours(session: Session, settings: Settings, *, worker_id: str, machine: str) -> int:
    """Number of other live training workers that share the cores of a machine and hold a device."""
    shares = (Worker.machine == machine, Worker.kind == JobKind.TRAINING, Worker.device_id.is_not(None))
    return session.scalar(select(func.count()).where(is_alive(settings), *shares, Worker.id != worker_id)) or 0


def record_heartbeat(
    session: Session,
    *,
    worker_id: str,
    kind: JobKind,
    host: str,
    pid: int,
    device: str,
    job_id: str | None,
    jobs_done: int,
    examples_per_s: float | None,
    steps_per_s: float | None = None,
    memory_bytes: int | None = None,
    memory_total_bytes: int | None = None,
    disk_free_bytes: int | None = None,
    labels: str | None = None,
    machine: str | None = None,
    device_id: str | None = None,
) -> None:
    """Record a heartbeat of a worker, with its current job and what it takes. None: not known, or no device held."""
    row = {
        "id": worker_id,
        "kind": kind,
        "host": host,
        "pid": pid,
        "device": device,
        "job_id": job_id,
        "jobs_done": jobs_done,
        "examples_per_s": examples_per_s,
        "steps_per_s": steps_per_s,
        "memory_bytes": memory_bytes,
        "memory_total_bytes": memory_total_bytes,
        "disk_free_bytes": disk_free_bytes,
        "labels": labels,
        "machine": machine,
        "device_id": device_id,
        "contract_step": NEWEST_CONTRACT_STEP,
    }
    upsert(session, Worker, [row], key=("id",), written_at="heartbeat_at")


def leave(session: Session, worker_id: str) -> None:
    """Delete the row of a worker that stops in order."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def forget_silent(session: Session) -> None:
    """Delete workers without a heartbeat for a day, and leases of devices that such workers held."""
    session.execute(delete(Worker).where(Worker.heartbeat_at < db_now() - _FORGET_MS))
    has_row = select(Worker.id).where(Worker.id == DeviceLease.worker_id).exists()
    session.execute(delete(DeviceLease).where(DeviceLease.created_at < db_now() - _FORGET_MS, ~has_row))
