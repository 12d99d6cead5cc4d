"""Jobs and leases for tests, made through the services."""

from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.db import owned_rows
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Job
from shared.job_status import JobKind, JobStatus
from shared.placement import Ability
from shared.services import generation_jobs, job_queue, training_jobs, transitions
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.specs import parse_generation, parse_training


def submit(session: Session, settings: Settings, **body: Any) -> str:
    """Submit a training job on the built-in data. Returns its id."""
    request = parse_training({"model_type": "vae", "dataset": "digits", "seed": 7, **body})
    return training_jobs.submit(session, request, settings=settings).id


def submitted(database: SessionFactory, settings: Settings, **body: Any) -> str:
    """`submit` in a transaction of its own; `owner` is that of the session."""
    with transaction(database) as session:
        owned_rows.restrict(session, body.pop("owner", None))
        return submit(session, settings, **body)


def claimed(
    database: SessionFactory,
    kind: JobKind = JobKind.TRAINING,
    worker: str = "wrk_test",
    *,
    running_limit: int | None = None,
    ability: Ability | None = None,
) -> Lease | None:
    """Claim the first due job, of those that a worker can run, in a transaction of its own."""
    with transaction(database) as session:
        job = job_queue.claim_next(session, kind, worker, running_limit=running_limit, ability=ability)
        return job_queue.lease_of(job) if job else None


def running(database: SessionFactory, settings: Settings, **body: Any) -> Lease:
    """A job that was submitted and claimed."""
    submitted(database, settings, **body)
    lease = claimed(database)
    assert lease is not None
    return lease


def read_job(database: SessionFactory, job_id: str) -> Job:
    """A job's current row."""
    with reading(database) as session:
        return session.get_one(Job, job_id)


def set_values(database: SessionFactory, job_id: str, **values: Any) -> None:
    """Set columns of a job directly, for states that take time to reach."""
    with transaction(database) as session:
        job = session.get_one(Job, job_id)
        for name, value in values.items():
            setattr(job, name, value)


def status_of(database: SessionFactory, job_id: str) -> JobStatus:
    """A job's status now."""
    return read_job(database, job_id).status


def generated(database: SessionFactory, settings: Settings, *, owner: str | None = None, **body: Any) -> str:
    """A queued generation job, in a transaction of its own; returns its id."""
    with transaction(database) as session:
        owned_rows.restrict(session, owner)
        return generation_jobs.submit(session, parse_generation(body), settings=settings).id


def cancel(database: SessionFactory, job_id: str) -> JobStatus:
    """Cancel a job, in a transaction of its own."""
    with transaction(database) as session:
        return transitions.cancel(session, job_id)


def copy_behind(engine: Engine, job_id: str, count: int) -> None:
    """Insert copies of a queued job behind it, each one millisecond later than the one before."""
    columns = [column.name for column in Job.__table__.columns if column.name not in {"id", "created_at"}]
    names = ", ".join(f'"{name}"' for name in columns)
    digits = "printf('%026d', n)" if engine.dialect.name == "sqlite" else "lpad(CAST(n AS text), 26, '0')"
    statement = (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
        f"INSERT INTO jobs (id, created_at, {names}) SELECT 'trn_z' || {digits}, created_at + n, {names} "
        "FROM jobs, numbers WHERE id = :id"
    )
    with engine.begin() as connection:
        connection.execute(text(statement), {"count": count, "id": job_id})
    if engine.dialect.name == "postgresql":  # as autovacuum does; before it, the planner estimates the number of rows
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE jobs"))
