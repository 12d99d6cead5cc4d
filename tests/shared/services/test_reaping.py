"""Reaping of jobs whose leases have expired."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from shared.db.session import SessionFactory, transaction
from shared.errors import LeaseLost
from shared.job_status import JobStatus
from shared.services import job_history, job_queue, reaping
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs

LONG_AGO = timedelta(hours=1)


def fall_silent(database: SessionFactory, lease: Lease, status: JobStatus = JobStatus.RUNNING) -> None:
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime.now(UTC) - LONG_AGO, status=status)


def reap(database: SessionFactory, settings: Settings) -> list[str]:
    with transaction(database) as session:
        return reaping.reap_expired(session, settings)


def test_job_with_a_recent_heartbeat_is_left_alone(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    jobs.submitted(database, settings)

    assert reap(database, settings) == []
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING


@pytest.mark.parametrize(("backoff_s", "least_s", "longest_s"), [(100, 48, 98), (2, 0, 0)])
def test_job_of_a_silent_worker_is_queued_after_the_rest_of_its_back_off(
    database: SessionFactory, settings: Settings, backoff_s: float, least_s: float, longest_s: float
) -> None:
    settings = settings.model_copy(update={"lease_s": 2.0, "backoff_s": backoff_s, "backoff_max_s": 300.0})
    lease = jobs.running(database, settings)
    fall_silent(database, lease)

    assert reap(database, settings) == [lease.job_id]

    job = jobs.read_job(database, lease.job_id)
    assert (job.status, job.attempt, job.worker, job.notified_at) == (JobStatus.QUEUED, 1, None, None)
    assert job.not_before is not None
    assert least_s - 0.1 <= (job.not_before - job.updated_at).total_seconds() <= longest_s + 0.1
    with transaction(database) as session:
        last = job_history.list_for_job(session, lease.job_id)[0][-1]
    assert (last.type, last.attempt, last.data["worker"]) == ("reaped", 1, "wrk_test")


def test_later_writes_of_the_silent_worker_are_refused(database: SessionFactory, settings: Settings) -> None:
    stale = jobs.running(database, settings)
    fall_silent(database, stale)
    reap(database, settings)

    with pytest.raises(LeaseLost), transaction(database) as session:
        job_queue.renew_lease(session, stale)

    jobs.set_values(database, stale.job_id, not_before=None)
    fresh = jobs.claimed(database)
    assert fresh == Lease(job_id=stale.job_id, fencing_token=stale.fencing_token + 1, attempt=2)
    with pytest.raises(LeaseLost), transaction(database) as session:
        job_queue.renew_lease(session, stale)


def test_job_that_lost_its_worker_in_each_attempt_fails(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=3)
    for _ in range(3):
        lease = jobs.claimed(database)
        assert lease is not None
        fall_silent(database, lease)
        assert reap(database, settings) == [job_id]
        jobs.set_values(database, job_id, not_before=None)

    job = jobs.read_job(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "worker_lost"
    assert job.finished_at is not None
    assert jobs.claimed(database) is None


@pytest.mark.parametrize(
    ("asked", "after"),
    [(JobStatus.CANCELLING, JobStatus.CANCELLED), (JobStatus.PAUSING, JobStatus.PAUSED)],
)
def test_requested_pause_or_cancel_takes_effect_without_the_worker(
    database: SessionFactory, settings: Settings, asked: JobStatus, after: JobStatus
) -> None:
    lease = jobs.running(database, settings)
    fall_silent(database, lease, asked)

    assert reap(database, settings) == [lease.job_id]

    job = jobs.read_job(database, lease.job_id)
    assert (job.status, job.status.is_terminal) == (after, job.finished_at is not None)


def test_concurrent_reapers_reap_a_job_once(database: SessionFactory, settings: Settings) -> None:
    leases = [jobs.running(database, settings) for _ in range(10)]
    for lease in leases:
        fall_silent(database, lease)

    with ThreadPoolExecutor(8) as pool:
        reaped = [job_id for found in pool.map(lambda _: reap(database, settings), range(8)) for job_id in found]

    assert sorted(reaped) == sorted(lease.job_id for lease in leases)
