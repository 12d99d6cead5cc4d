"""The fair share between owners: `python -m benchmarks.fair_share`.

Waits: a mixed load on four simulated workers, with the real services on a real database and a clock that the benchmark
moves. One owner submits 1,000 trainings of a minute; a minute later ten others submit three each. The same load of one
owner for all jobs has the order by age alone, as before there were owners.

Claims: time of a claim, with its commit, from 100,000 queued jobs of 1, 50 and 1,000 owners. Each round also takes a
job by priority and age alone, without a fair share.

Figures go to benchmarks/results/fair_share.json.
"""

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import bindparam, select, text, update

from benchmarks.engine import RESULTS, machine, postgresql
from migrations import runner
from shared.db.session import SessionFactory, make_engine, session_factory, transaction
from shared.db.tables import Job, table_of
from shared.job_status import JobKind, JobStatus
from shared.services import job_history, job_queue
from shared.services.queue_order import QUEUE_ORDER, is_due
from shared.settings import Settings
from tests import jobs
from tests.engine.fake_clock import FakeClock

WORKERS, JOB_MS, MANY, FEW = 4, 60_000, 1_000, 3
OTHERS = [f"owner-{number}" for number in range(10)]
QUEUED = 100_000
_JOBS = table_of(Job)
_BY_AGE = select(Job).from_statement(
    update(_JOBS)
    .where(
        Job.id
        == select(Job.id)
        .where(Job.kind == bindparam("claimed_kind"), is_due())
        .order_by(*QUEUE_ORDER)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(status=JobStatus.RUNNING, attempt=Job.attempt + 1, fencing_token=Job.fencing_token + 1)
    .returning(_JOBS)
)
_SPREAD = text(
    "UPDATE jobs SET owner = 'owner-' || (CAST(substr(id, 6) AS BIGINT) % :owners), "
    "share = 'owner-' || (CAST(substr(id, 6) AS BIGINT) % :owners) WHERE id <> :first"
)


@contextmanager
def database(url: str, folder: Path) -> Iterator[tuple[SessionFactory, Settings]]:
    """A migrated database."""
    settings = Settings(home=folder, database_url=SecretStr(url), datasets_dir=None)
    runner.upgrade(settings)
    engine = make_engine(settings)
    yield session_factory(engine), settings
    engine.dispose()


# --- waits ------------------------------------------------------------------------------------------------------


def waits(sessions: SessionFactory, settings: Settings, *, is_fair: bool) -> dict[str, dict[str, float]]:
    """Seconds from submission to claim: median and longest of each group of owners."""
    clock = FakeClock(sessions.kw["bind"])
    submitted = _submitted(sessions, settings, clock, is_fair=is_fair)
    found: dict[str, list[float]] = {"1,000 jobs": [], "3 jobs": [], "first of 3 jobs": []}
    seen: set[str] = set()
    ends: list[tuple[int, str]] = []
    leases: dict[str, job_queue.Lease] = {}
    while len(found["1,000 jobs"]) + len(found["3 jobs"]) < len(submitted):
        if len(ends) == WORKERS:
            at, job_id = heapq.heappop(ends)
            clock.advance(at - clock.now_ms)
            with transaction(sessions) as session:
                job_queue.finish_succeeded(job_queue.renew_lease(session, leases[job_id]))
        lease = jobs.claimed(sessions)
        assert lease is not None
        leases[lease.job_id] = lease
        heapq.heappush(ends, (clock.now_ms + JOB_MS, lease.job_id))
        owner, since = submitted[lease.job_id]
        wait_s = (clock.now_ms - since) / 1000
        found["1,000 jobs" if owner == "many" else "3 jobs"].append(wait_s)
        if owner != "many" and owner not in seen:
            found["first of 3 jobs"].append(wait_s)
            seen.add(owner)
    return {group: {"median": statistics.median(of), "longest": max(of)} for group, of in found.items()}


def _submitted(
    sessions: SessionFactory, settings: Settings, clock: FakeClock, *, is_fair: bool
) -> dict[str, tuple[str, int]]:
    """Owner and time of each job, by id."""
    found: dict[str, tuple[str, int]] = {}

    def submit(owner: str, count: int) -> None:
        for _ in range(count):
            job_id = jobs.submitted(sessions, settings, **({"owner": owner} if is_fair else {}))
            found[job_id] = (owner, clock.now_ms)
            clock.advance(1)

    submit("many", MANY)
    clock.advance(60_000)
    for owner in OTHERS:
        submit(owner, FEW)
    return found


# --- claims -----------------------------------------------------------------------------------------------------


def claims(sessions: SessionFactory, settings: Settings, owners: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds (p50, p99) of a claim by fair share, and of one by priority and age alone."""
    engine = sessions.kw["bind"]
    first = jobs.submitted(sessions, settings)
    jobs.copy_behind(engine, first, QUEUED)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_SPREAD, {"owners": owners, "first": first})
    if engine.dialect.name == "postgresql":  # as autovacuum does
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE jobs"))
    times: dict[str, list[float]] = {"fair share": [], "priority and age": []}
    for _ in range(rounds):
        started = time.perf_counter()
        assert jobs.claimed(sessions) is not None
        middle = time.perf_counter()
        with transaction(sessions) as session:
            job = session.scalars(_BY_AGE, {"claimed_kind": JobKind.TRAINING}).one()
            job_history.add(session, job.id, event="running", message="Claimed by wrk_test.", attempt=job.attempt)
        times["fair share"].append(middle - started)
        times["priority and age"].append(time.perf_counter() - middle)
    return {name: _spread(seconds) for name, seconds in times.items()}


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(1000 * each for each in seconds)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[int(0.99 * (len(ordered) - 1))]}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--owners", type=int, nargs="+", default=[1, 50, 1_000])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine().replace("make bench-engine", "python -m benchmarks.fair_share")}
    with tempfile.TemporaryDirectory(prefix="mimeo-bench-") as name, postgresql() as create:
        folder = Path(name)
        for order, is_fair in (("by age", False), ("fair share", True)):
            with database(f"sqlite:///{folder}/waits-{is_fair}.db", folder) as (sessions, settings):
                found.setdefault("wait_s", {})[order] = waits(sessions, settings, is_fair=is_fair)
        for owners in options.owners:
            for kind, url in (("sqlite", f"sqlite:///{folder}/{owners}.db"), ("postgresql", create(owners))):
                with database(url, folder) as (sessions, settings):
                    by_owners = found.setdefault("claim_ms", {}).setdefault(kind, {})
                    by_owners[f"{owners} owners"] = claims(sessions, settings, owners, options.rounds)
                    print(kind, owners, by_owners[f"{owners} owners"], flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "fair_share.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
