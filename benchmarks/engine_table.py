"""Operations of the API and of a worker on one database, each in one transaction, timed for `benchmarks.engine`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from benchmarks.engine_rows import Rows
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import TrainingJob
from shared.job_status import JobKind
from shared.services import job_queue, jobs, notifications, queue_stats, training_jobs
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.specs import parse_training

REQUEST = parse_training({"model_type": "vae", "dataset": "digits", "seed": 7})
PAGE = 20
STOCK = 400  # size of the queue that the throughput measurement starts with


@dataclass(kw_only=True)
class Table:
    """One database with a given number of jobs. times: seconds of each operation."""

    rows: Rows
    settings: Settings
    engine: Engine
    sessions: SessionFactory
    times: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Time the block."""
        started = time.perf_counter()
        yield
        self.times.setdefault(operation, []).append(time.perf_counter() - started)

    def submit(self) -> str:
        """A POST, without its notification. Returns the job's id."""
        with transaction(self.sessions) as session:
            job = training_jobs.submit(session, REQUEST, settings=self.settings)
            queue_stats.queue_position(session, job)
            return job.id

    def claim(self) -> Lease:
        """A worker's attempt to claim the next job."""
        with transaction(self.sessions) as session:
            job = job_queue.claim_next(session, JobKind.TRAINING, "wrk_bench")
            assert job is not None
            return job_queue.lease_of(job)

    def keep(self, lease: Lease) -> None:
        """A heartbeat."""
        with transaction(self.sessions) as session:
            job_queue.renew_lease(session, lease)

    def finish(self, lease: Lease) -> None:
        """The end of a job that published nothing."""
        with transaction(self.sessions) as session:
            job_queue.finish_succeeded(job_queue.renew_lease(session, lease))

    def work(self) -> None:
        """The life of one job in a worker: claim, heartbeat, finish."""
        lease = self.claim()
        self.keep(lease)
        self.finish(lease)

    def restock(self) -> None:
        """Fill the queue with more jobs than one second of work finishes."""
        with reading(self.sessions) as session:
            waiting = notifications.count_due(session)[JobKind.TRAINING]
        for _ in range(waiting, STOCK):
            self.submit()

    def read(self, job_id: str) -> None:
        """A GET of one job."""
        with reading(self.sessions) as session:
            queue_stats.queue_position(session, training_jobs.get(session, job_id))

    def list(self, **filters: Any) -> None:
        """A GET of one page."""
        with reading(self.sessions) as session:
            page, _ = jobs.list_page(session, TrainingJob, limit=PAGE, **filters)
            queue_stats.queue_positions(session, page)
