"""Many workers on one database: `python -m benchmarks.crowd` (PostgreSQL with full durability).

The workers are those of the engine, with trainers that only wait: each claims a job, renews its lease and records its
heartbeat, and finishes the job after a random time. Jobs of many owners wait; the first owner has half of them.
Threads of several processes do the work of all workers. Figures: claims a second; p50, p99 and the longest of each
operation; how late operations are, since a heartbeat that is late by a lease loses its job; the use of each owner.

Figures go to benchmarks/results/crowd.json.
"""

import argparse
import heapq
import itertools
import json
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.engine import RESULTS, machine, postgresql, table_of
from benchmarks.scrape import vacuum
from shared.db.session import SessionFactory, make_engine, session_factory, transaction
from shared.errors import LeaseLost
from shared.job_status import JobKind
from shared.services import job_queue, workers
from shared.services.job_queue import Lease
from shared.settings import Settings

FIRST_SHARE = 0.5  # of the jobs are the first owner's


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one process does. workers: their numbers. job_s, heartbeat_s, seconds: of a job, an interval, the whole."""

    url: str
    workers: Sequence[int]
    threads: int
    job_s: float
    heartbeat_s: float
    seconds: float


@dataclass(kw_only=True)
class Measured:
    """Seconds of each operation and how late it began; held: seconds for which jobs of each owner were held."""

    took: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    lost: int = 0

    def add(self, other: "Measured") -> None:
        """Add the figures of another process."""
        for name, seconds in other.took.items():
            self.took.setdefault(name, []).extend(seconds)
        self.late += other.late
        self.held += other.held
        self.lost += other.lost


class Agenda:
    """The next operation of each worker, by time. An operation returns the time and the function of the next one."""

    def __init__(self, load: Load, sessions: SessionFactory) -> None:
        self._load, self._sessions = load, sessions
        self._lock, self._count = threading.Lock(), itertools.count()
        self._due: list[tuple[float, int, Callable[[], Any]]] = []
        self.measured = Measured()
        self._end = time.monotonic() + load.seconds

    def run(self) -> Measured:
        """Do everything that is due until the end."""
        now = time.monotonic()
        for worker in self._load.workers:
            # The first claims are spread over one heartbeat, as those of workers that started at different times.
            self._add(now + random.uniform(0, self._load.heartbeat_s), lambda worker=worker: self._claim(worker))
        threads = [threading.Thread(target=self._work) for _ in range(self._load.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.measured

    def _add(self, at: float, run: Callable[[], Any]) -> None:
        with self._lock:
            heapq.heappush(self._due, (at, next(self._count), run))

    def _work(self) -> None:
        while (now := time.monotonic()) < self._end:
            with self._lock:
                is_due = bool(self._due) and self._due[0][0] <= now
                item = heapq.heappop(self._due) if is_due else None
            if item is None:
                time.sleep(0.005)
                continue
            self.measured.late.append(now - item[0])
            item[2]()

    def _timed(self, name: str, started: float) -> None:
        self.measured.took.setdefault(name, []).append(time.monotonic() - started)

    def _claim(self, worker: int) -> None:
        started = time.monotonic()
        with transaction(self._sessions) as session:
            job = job_queue.claim_next(session, JobKind.TRAINING, f"wrk_{worker}")
            found = (job_queue.lease_of(job), job.owner or "") if job else None
        self._timed("claim", started)
        now = time.monotonic()
        if found is None:
            self._add(now + 1.0, lambda: self._claim(worker))
            return
        ends = now + random.expovariate(1 / self._load.job_s)
        self._next(worker, found[0], found[1], started=now, ends=ends)

    def _next(self, worker: int, lease: Lease, owner: str, *, started: float, ends: float) -> None:
        at = time.monotonic() + self._load.heartbeat_s
        if at < ends:
            self._add(at, lambda: self._renew(worker, lease, owner, started=started, ends=ends))
        else:
            self._add(ends, lambda: self._finish(worker, lease, owner, held=ends - started))

    def _renew(self, worker: int, lease: Lease, owner: str, *, started: float, ends: float) -> None:
        began = time.monotonic()
        try:
            with transaction(self._sessions) as session:
                job_queue.renew_lease(session, lease)
                workers.record_heartbeat(
                    session,
                    worker_id=f"wrk_{worker}",
                    kind=JobKind.TRAINING,
                    host=f"host-{worker % 100}",
                    pid=worker,
                    device="cpu",
                    job_id=lease.job_id,
                    jobs_done=0,
                    examples_per_s=None,
                )
        except LeaseLost:
            self.measured.lost += 1
            self._add(time.monotonic(), lambda: self._claim(worker))
            return
        self._timed("heartbeat", began)
        self._next(worker, lease, owner, started=started, ends=ends)

    def _finish(self, worker: int, lease: Lease, owner: str, *, held: float) -> None:
        began = time.monotonic()
        with transaction(self._sessions) as session:
            job_queue.finish_succeeded(job_queue.renew_lease(session, lease))
        self._timed("finish", began)
        self.measured.held[owner] += held
        self._claim(worker)


def work(load: Load) -> Measured:
    """The work of one process."""
    with tempfile.TemporaryDirectory(prefix="mimeo-crowd-") as home:
        settings = Settings(home=Path(home), database_url=SecretStr(load.url), api_threads=load.threads)
        engine = make_engine(settings)
        try:
            return Agenda(load, session_factory(engine)).run()
        finally:
            engine.dispose()


def measure(url: str, options: argparse.Namespace, count: int) -> dict[str, Any]:
    """One run with so many workers."""
    parts = [range(part, count, options.processes) for part in range(options.processes)]
    loads = [
        Load(
            url=url,
            workers=part,
            threads=options.threads,
            job_s=options.job_s,
            heartbeat_s=options.heartbeat_s,
            seconds=options.seconds,
        )
        for part in parts
    ]
    found = Measured()
    before = _database_cpu_s()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(work, loads):
            found.add(part)
    return report(found, count, options, _database_cpu_s() - before)


def report(found: Measured, count: int, options: argparse.Namespace, database_cpu_s: float) -> dict[str, Any]:
    """The figures of one run."""
    shares = sorted(found.held.values())
    return {
        "workers": count,
        "claims_per_s": round(len(found.took.get("claim", ())) / options.seconds, 1),
        "wanted_claims_per_s": round(count / options.job_s, 1),
        "ms": {name: spread(seconds) for name, seconds in found.took.items()},
        "late_ms": spread(found.late),
        "leases_lost": found.lost,
        "owners": len(shares),
        "largest_to_smallest_share": round(shares[-1] / shares[0], 2) if shares and shares[0] else None,
        "largest_to_median_share": round(shares[-1] / statistics.median(shares), 2) if shares else None,
        "database_cpus": round(database_cpu_s / options.seconds, 2),
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and the longest in milliseconds."""
    ordered = sorted(1000 * each for each in seconds)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
        "max": round(ordered[-1], 1),
    }


def _database_cpu_s() -> float:
    """CPU seconds of the servers so far, those of ended connections included."""
    total = 0.0
    for process in psutil.process_iter(["name"]):
        parent = process.parent() if process.info["name"] == "postgres" else None
        if parent is not None and parent.name() != "postgres":
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


# The first owner has a share of the jobs, the others have the rest in equal parts.
QUEUE_ALL = text(
    "UPDATE jobs SET status = 'queued', attempt = 0, fencing_token = 0, not_before = NULL, worker = NULL, "
    "started_at = NULL, finished_at = NULL, owner = CASE WHEN seed % 100 < :first "
    "THEN 'owner-0' ELSE 'owner-' || (1 + seed / 100 % :others) END"
)


def main() -> None:
    """Measure each number of workers, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--job-s", type=float, default=30.0, help="mean seconds of a job")
    parser.add_argument("--heartbeat-s", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8, help="of each process")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine().replace("make bench-engine", "python -m benchmarks.crowd")}
    results |= {"jobs": options.jobs, "owners": options.owners, "job_s": options.job_s, "runs": []}
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-crowd-") as folder,
        postgresql() as create,
        table_of(create(options.jobs), options.jobs, Path(folder)) as table,
    ):
        url = table.engine.url.render_as_string(hide_password=False)
        for count in options.workers:
            with table.engine.begin() as connection:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("DELETE FROM owner_use"))
                connection.execute(QUEUE_ALL, {"first": round(100 * FIRST_SHARE), "others": max(1, options.owners - 1)})
                connection.execute(text("UPDATE jobs SET share = owner"))
            vacuum(url)
            results["runs"].append(measure(url, options, count))
            print(json.dumps(results["runs"][-1], indent=1), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "crowd.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
