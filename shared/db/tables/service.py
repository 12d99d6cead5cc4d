"""The service itself: workers and their devices, files to remove, counters, backups in progress."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.clock import db_now
from shared.db.column_types import KIND
from shared.db.tables.base import DEVICE_ID, PLACEMENT, Base
from shared.job_status import JobKind


class Worker(Base):
    """A worker process with its latest heartbeat.

    contract_step: see shared/db/contract_steps.py; null is none.
    memory_bytes, memory_total_bytes: of its device, used by its job and in all. disk_free_bytes: of its fullest disk.
    labels: separated by commas. machine: the same for all workers that share cores. device_id: of the device that it
    holds (`DeviceLease`); null is none.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    kind: Mapped[JobKind] = mapped_column(KIND)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int] = mapped_column(Integer)
    device: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[str | None] = mapped_column(String(32))
    jobs_done: Mapped[int] = mapped_column(Integer, default=0)
    examples_per_s: Mapped[float | None]
    steps_per_s: Mapped[float | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    memory_total_bytes: Mapped[int | None] = mapped_column(BigInteger)
    disk_free_bytes: Mapped[int | None] = mapped_column(BigInteger)
    labels: Mapped[str | None] = mapped_column(PLACEMENT)
    machine: Mapped[str | None] = mapped_column(DEVICE_ID)
    device_id: Mapped[str | None] = mapped_column(DEVICE_ID)
    contract_step: Mapped[str | None] = mapped_column(String(8))
    started_at: Mapped[datetime] = mapped_column(default=db_now())
    heartbeat_at: Mapped[datetime] = mapped_column(default=db_now())


class DeviceLease(Base):
    """A training worker's right to compute on a device. It ends with the worker's row or heartbeats.

    device_id: of a GPU its UUID, else the memory that workers share. slot: from 0, one for each holder of the device.
    """

    __tablename__ = "device_leases"

    device_id: Mapped[str] = mapped_column(DEVICE_ID, primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    worker_id: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class Placement(Base):
    """A value of `jobs.placement` that some job has or had, other than `any`. A worker reads which it can meet."""

    __tablename__ = "placements"

    name: Mapped[str] = mapped_column(PLACEMENT, primary_key=True)


class PendingDeletion(Base):
    """A folder of storage that the sweeper removes after `due_at`.

    Written with the deletion of the rows that refer to it, or before files are stored whose rows may never be written.
    """

    __tablename__ = "pending_deletions"

    storage_key: Mapped[str] = mapped_column(String(300), primary_key=True)
    due_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (Index("ix_pending_deletions_due", "due_at"),)


class MetricTotal(Base):
    """One counter that reconcilers keep for `/metrics`; it outlives every process and the rows that it counts.

    name: of the counter. label: one further distinction, such as an error code; empty for none.
    """

    __tablename__ = "metric_totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(default=db_now())


class StorageHold(Base):
    """A backup that copies files: until its end no file is removed from storage. until: when it ends by itself."""

    __tablename__ = "storage_holds"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
