"""The counters of `/metrics` that outlive processes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import JobEvent
from shared.errors import JobFailure, OutOfMemory
from shared.job_status import ErrorCode, JobStatus
from shared.services import job_queue, memory_shortage, metric_totals, reaping
from shared.services.job_queue import Lease
from shared.services.metric_totals import Key
from shared.settings import Settings
from tests import jobs


def count(database: SessionFactory) -> dict[Key, int]:
    """Count all events, and read the counters without the cursor."""
    with transaction(database) as session:
        while metric_totals.count_new(session, settle_ms=0):
            pass
    with reading(database) as session:
        return {key: value for key, value in metric_totals.totals(session).items() if key[0] != "event_cursor"}


def fail(database: SessionFactory, settings: Settings, lease: Lease, code: ErrorCode) -> JobStatus:
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        return job_queue.finish_failed(fenced, JobFailure(code, "Failed."), settings)


def test_events_of_a_job_are_counted_once(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    assert fail(database, settings, lease, ErrorCode.OUT_OF_MEMORY) is JobStatus.FAILED
    cancelled = jobs.submitted(database, settings)
    jobs.cancel(database, cancelled)

    first, second = count(database), count(database)

    assert first == second
    assert first["submitted", "training", ""] == 2
    assert first["started", "training", ""] == 1
    assert first["ended", "training", "failed:out_of_memory"] == 1
    assert first["ended", "training", "cancelled"] == 1
    assert sum(value for key, value in first.items() if key[0] == "waits") == 1


def test_retries_and_lost_leases_are_counted(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, max_attempts=2)
    assert fail(database, settings, lease, ErrorCode.INTERNAL) is JobStatus.QUEUED
    jobs.set_values(database, lease.job_id, not_before=None)
    again = jobs.claimed(database)
    assert again is not None
    row = jobs.read_job(database, lease.job_id)
    assert row.heartbeat_at is not None
    jobs.set_values(database, lease.job_id, heartbeat_at=row.heartbeat_at - timedelta(hours=1))
    with transaction(database) as session:
        assert reaping.reap_expired(session, settings) == [lease.job_id]

    found = count(database)

    assert found["retried", "training", "internal"] == 1
    assert found["leases_lost", "training", ""] == 1
    assert found["ended", "training", "failed:worker_lost"] == 1


def test_another_attempt_with_less_memory_is_a_retry_whose_wait_begins_with_it(
    database: SessionFactory, settings: Settings
) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        memory_shortage.finish_out_of_memory(fenced, OutOfMemory("No memory."), settings)
    with transaction(database) as session:
        for event in session.query(JobEvent).where(JobEvent.type != "smaller_batches"):
            event.created_at -= timedelta(hours=1)
    assert jobs.claimed(database) is not None

    found = count(database)

    assert found["retried", "training", "out_of_memory"] == 1
    assert found["wait_ms", "training", ""] < 3_600_000


def test_wait_begins_when_the_job_is_due(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    with transaction(database) as session:
        queued, running = session.query(JobEvent).order_by(JobEvent.id)
        queued.created_at = running.created_at - timedelta(seconds=100)
        queued.data = {"backoff_ms": 60_000}

    found = count(database)

    assert lease.attempt == 1
    assert found["wait_ms", "training", ""] == 40_000
    assert found["waits", "training", "7"] == 1  # of (30, 60] seconds


def test_recent_events_wait_for_transactions_that_may_commit_later(
    database: SessionFactory, settings: Settings
) -> None:
    jobs.submitted(database, settings)
    with transaction(database) as session:
        assert not metric_totals.is_any_new(session)
        assert metric_totals.count_new(session) == 0
        assert metric_totals.is_any_new(session, settle_ms=0)


def test_simultaneous_counters_count_each_event_once(database: SessionFactory, settings: Settings) -> None:
    count(database)
    for _ in range(20):
        jobs.submitted(database, settings)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: count(database), range(4)))

    assert count(database)["submitted", "training", ""] == 20


def test_age_of_the_reconciler_is_unknown_before_its_first_round(database: SessionFactory) -> None:
    with transaction(database) as session:
        assert metric_totals.reconciler_age_s(session) is None
        metric_totals.record_reconciler(session)
        age_s = metric_totals.reconciler_age_s(session)
    assert age_s is not None
    assert age_s < 60


@pytest.mark.parametrize("job_id", ["imp_00000000000000000000000000", "x"])
def test_imports_are_not_counted(database: SessionFactory, settings: Settings, job_id: str) -> None:
    row = type("Row", (), {"job_id": job_id, "type": "queued", "data": {}})
    assert metric_totals._increments(row) == {}  # type: ignore[arg-type]
