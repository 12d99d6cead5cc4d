"""Leases of devices: which training worker computes on which GPU, or in which memory.

Each function is one transaction, or a part of one. Workers on one machine may have no file system in common, so the
record of the leases is the database; docs/decisions/0034-placement.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from sqlalchemy import BigInteger, cast, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import DeviceLease, Worker, table_of
from shared.services import workers
from shared.services.queue_order import IS_HELD, JOBS
from shared.settings import Settings

_LEASES = table_of(DeviceLease)


@dataclass(frozen=True, kw_only=True)
class DeviceLoad:
    """The held jobs of the workers of a device. memory_bytes: the sum of their estimates. newest_ms: since a claim."""

    jobs: int
    memory_bytes: int
    newest_ms: int


def take(
    session: Session, worker_id: str, device_ids: Sequence[str], *, slots: int | None, settings: Settings
) -> str | None:
    """Give a worker the device with the fewest live holders; of equal ones the first. None: each slot is held.

    slots: holders of one device at most; None is no limit. A worker that holds one of the devices keeps it. A holder
    is dead when neither its lease nor its heartbeat is newer than three leases of a job.
    """
    _release_dead(session, device_ids, settings)
    while True:
        slots_of: dict[str, set[int]] = {device_id: set() for device_id in device_ids}
        for row in session.execute(select(_LEASES).where(_LEASES.c.device_id.in_(device_ids))):
            if row.worker_id == worker_id:
                return str(row.device_id)
            slots_of[row.device_id].add(row.slot)
        device_id = min(device_ids, key=lambda each: len(slots_of[each]))
        if slots is not None and len(slots_of[device_id]) >= slots:
            return None
        slot = next(number for number in count() if number not in slots_of[device_id])
        if _insert(session, worker_id, device_id, slot):
            return device_id


def verify(session: Session, worker_id: str, device_id: str) -> bool:
    """Whether a worker still holds a device.

    Locks the leases of the device until the end of the transaction, so that claims on one device are one after another.
    """
    holders = select(DeviceLease.worker_id).where(DeviceLease.device_id == device_id).order_by(DeviceLease.slot)
    return worker_id in session.scalars(holders.with_for_update()).all()


def release(session: Session, worker_id: str) -> None:
    """Delete the lease of a worker that stops in order."""
    session.execute(delete(DeviceLease).where(DeviceLease.worker_id == worker_id))


def load_beside(session: Session, device_id: str, job_id: str) -> DeviceLoad:
    """The load of a device, except that of one job."""
    holders = JOBS.join(_LEASES, _LEASES.c.worker_id == JOBS.c.worker)
    newest_ms = cast(db_now() - func.max(JOBS.c.claimed_at), BigInteger)
    query = select(func.count(), func.sum(JOBS.c.memory_bytes), newest_ms).select_from(holders)
    is_beside = (_LEASES.c.device_id == device_id, IS_HELD, JOBS.c.id != job_id)
    jobs, memory_bytes, since = session.execute(query.where(*is_beside)).one()
    return DeviceLoad(jobs=jobs, memory_bytes=int(memory_bytes or 0), newest_ms=since or 0)


def _release_dead(session: Session, device_ids: Sequence[str], settings: Settings) -> None:
    alive = select(Worker.id).where(workers.is_alive(settings), Worker.id == DeviceLease.worker_id)
    is_old = DeviceLease.created_at <= workers.silent_since(settings)  # a worker that starts has no heartbeat yet
    dead = select(DeviceLease.worker_id).where(DeviceLease.device_id.in_(device_ids), is_old, ~alive.exists())
    # The order is that of `verify`, so that the locks of two transactions cannot wait for each other.
    found = session.scalars(dead.order_by(DeviceLease.device_id, DeviceLease.slot).with_for_update()).all()
    if found:
        session.execute(delete(DeviceLease).where(DeviceLease.worker_id.in_(found)))


def _insert(session: Session, worker_id: str, device_id: str, slot: int) -> bool:
    """Whether the slot was free. On PostgreSQL this waits for a transaction that takes the same slot now."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    values = {"device_id": device_id, "slot": slot, "worker_id": worker_id, "created_at": db_now()}
    statement = dialect.insert(_LEASES).values(values).on_conflict_do_nothing()
    return session.execute(statement.returning(_LEASES.c.slot)).one_or_none() is not None
