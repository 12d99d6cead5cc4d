"""What live workers compute and use now, summed over workers for metrics."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db.owned_rows import ALL_OWNERS
from shared.db.tables import Job, Worker
from shared.job_status import JobKind
from shared.services.workers import is_alive
from shared.settings import Settings


@dataclass
class WorkerLoad:
    """Sum over the live workers of a kind and a device. disk_free_bytes: of the worker with the least."""

    workers: int = 0
    busy: int = 0
    memory_bytes: int = 0
    memory_total_bytes: int = 0
    disk_free_bytes: int | None = None


@dataclass
class Speed:
    """Sum over the trainings of a model type that run now."""

    examples_per_s: float = 0.0
    steps_per_s: float = 0.0


def loads(session: Session, settings: Settings) -> dict[tuple[JobKind, str], WorkerLoad]:
    """The load by kind and device (`cpu`, `cuda`)."""
    found: dict[tuple[JobKind, str], WorkerLoad] = defaultdict(WorkerLoad)
    for worker in session.scalars(select(Worker).where(is_alive(settings))):
        load = found[worker.kind, worker.device.partition(":")[0]]
        load.workers += 1
        load.busy += worker.job_id is not None
        load.memory_bytes += worker.memory_bytes or 0
        load.memory_total_bytes += worker.memory_total_bytes or 0
        disks = [free for free in (load.disk_free_bytes, worker.disk_free_bytes) if free is not None]
        load.disk_free_bytes = min(disks, default=None)
    return found


def training_speeds(session: Session, settings: Settings) -> dict[str, Speed]:
    """The speed by model type."""
    running = select(Job.model_type, Worker.examples_per_s, Worker.steps_per_s).join(Job, Job.id == Worker.job_id)
    found: dict[str, Speed] = defaultdict(Speed)
    rows = session.execute(running.where(is_alive(settings)), execution_options=ALL_OWNERS)
    for model_type, examples_per_s, steps_per_s in rows:
        found[model_type].examples_per_s += examples_per_s or 0.0
        found[model_type].steps_per_s += steps_per_s or 0.0
    return found
