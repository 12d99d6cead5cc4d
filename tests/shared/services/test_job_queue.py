"""The core of the queue (claims, leases, ends of attempts), on SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from shared.db.session import SessionFactory, read_connection, reading, transaction
from shared.db.tables import JobEvent
from shared.errors import JobFailure, LeaseLost
from shared.job_status import ErrorCode, JobKind, JobStatus
from shared.services import attempt_writes, job_queue, queue_stats, training_jobs, transitions
from shared.services.job_queue import FencedSession, Lease
from shared.settings import Settings
from tests import jobs

LOST = JobFailure(ErrorCode.WORKER_LOST, "The trainer was killed.")
DIVERGED = JobFailure(ErrorCode.DIVERGED, "loss became nan.", "Use a smaller learning_rate.")


def end(database: SessionFactory, lease: Lease, action: Callable[[FencedSession], JobStatus]) -> JobStatus:
    with transaction(database) as session:
        return action(job_queue.renew_lease(session, lease))


# --- claims ---------------------------------------------------------------------------------------------------------


def test_claim_takes_the_job_and_counts_the_attempt(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)

    lease = jobs.claimed(database)

    assert lease == Lease(job_id=job_id, fencing_token=1, attempt=1)
    job = jobs.read_job(database, job_id)
    assert (job.status, job.worker) == (JobStatus.RUNNING, "wrk_test")
    assert job.started_at is not None
    assert job.heartbeat_at is not None


def test_claim_on_an_empty_queue_returns_none(database: SessionFactory, settings: Settings) -> None:
    assert jobs.claimed(database) is None
    jobs.running(database, settings)
    assert jobs.claimed(database) is None


def test_claim_ignores_jobs_of_the_other_kind(database: SessionFactory, settings: Settings) -> None:
    jobs.submitted(database, settings)
    assert jobs.claimed(database, kind=JobKind.GENERATION) is None


def test_claims_follow_priority_then_arrival(database: SessionFactory, settings: Settings) -> None:
    wanted = ["low", "normal", "high", "normal", "high", "low"]
    ids = [jobs.submitted(database, settings, priority=priority) for priority in wanted]

    order = [lease.job_id for _ in ids if (lease := jobs.claimed(database))]

    assert order == [ids[2], ids[4], ids[1], ids[3], ids[0], ids[5]]


def test_job_in_back_off_is_skipped_for_a_later_one(database: SessionFactory, settings: Settings) -> None:
    waiting = jobs.submitted(database, settings, priority="high")
    jobs.set_values(database, waiting, not_before=datetime.now(UTC) + timedelta(minutes=1))
    ready = jobs.submitted(database, settings, priority="low")

    lease = jobs.claimed(database)

    assert lease is not None
    assert lease.job_id == ready
    assert jobs.claimed(database) is None


def test_fifty_concurrent_claims_for_one_job_give_one_lease(database: SessionFactory, settings: Settings) -> None:
    jobs.submitted(database, settings)

    with ThreadPoolExecutor(16) as pool:
        leases = list(pool.map(lambda number: jobs.claimed(database, worker=f"w{number}"), range(50)))

    assert sum(lease is not None for lease in leases) == 1


def test_fifty_concurrent_claims_for_twenty_jobs_give_twenty_leases(
    database: SessionFactory, settings: Settings
) -> None:
    ids = {jobs.submitted(database, settings) for _ in range(20)}

    with ThreadPoolExecutor(16) as pool:
        leases = list(pool.map(lambda number: jobs.claimed(database, worker=f"w{number}"), range(50)))

    assert Counter(lease.job_id for lease in leases if lease) == dict.fromkeys(ids, 1)


# --- leases ---------------------------------------------------------------------------------------------------------


def test_renewal_extends_the_lease_and_returns_the_current_status(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime(2020, 1, 1, tzinfo=UTC))
    with transaction(database) as session:
        transitions.cancel(session, lease.job_id)

    with transaction(database) as session:
        assert job_queue.renew_lease(session, lease).status is JobStatus.CANCELLING

    heartbeat = jobs.read_job(database, lease.job_id).heartbeat_at
    assert heartbeat is not None
    assert heartbeat > datetime.now(UTC) - timedelta(minutes=1)


def test_progress_changes_the_version_and_a_heartbeat_does_not(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    before = jobs.read_job(database, lease.job_id).version

    with transaction(database) as session:
        job_queue.renew_lease(session, lease)
    assert jobs.read_job(database, lease.job_id).version == before

    with transaction(database) as session:
        job_queue.renew_lease(session, lease, visible=True, progress={"step": 3})
    job = jobs.read_job(database, lease.job_id)
    assert (job.version, job.progress) == (before + 1, {"step": 3})


STALE: list[Callable[[Lease], Lease]] = [
    lambda lease: Lease(job_id=lease.job_id, fencing_token=lease.fencing_token - 1, attempt=lease.attempt),
    lambda lease: Lease(job_id=lease.job_id, fencing_token=lease.fencing_token + 1, attempt=lease.attempt),
    lambda lease: Lease(job_id="trn_unknown", fencing_token=lease.fencing_token, attempt=lease.attempt),
]


@pytest.mark.parametrize("change", STALE)
def test_stale_lease_is_refused(database: SessionFactory, settings: Settings, change: Callable[[Lease], Lease]) -> None:
    lease = change(jobs.running(database, settings))

    with pytest.raises(LeaseLost), transaction(database) as session:
        job_queue.renew_lease(session, lease)
    with pytest.raises(LeaseLost), read_connection(database) as connection:
        job_queue.control(connection, lease)


@pytest.mark.parametrize(
    "status", [JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED]
)
def test_lease_is_invalid_in_each_status_without_a_worker(
    database: SessionFactory, settings: Settings, status: JobStatus
) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, status=status)

    with pytest.raises(LeaseLost), transaction(database) as session:
        job_queue.renew_lease(session, lease)


def test_transaction_with_a_lost_lease_writes_nothing(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)

    def write_and_find_the_lease_gone() -> None:
        with transaction(database) as session:
            fenced = job_queue.renew_lease(session, lease)
            attempt_writes.add_event(fenced, event="started", message="I am alive.")
            job_queue.finish_succeeded(fenced)
            job_queue.renew_lease(session, lease)

    with pytest.raises(LeaseLost):
        write_and_find_the_lease_gone()

    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING
    assert [event.type for event in history(database, lease.job_id)] == ["queued", "running"]


# --- ends of attempts ----------------------------------------------------------------------------------------------


def history(database: SessionFactory, job_id: str) -> list[JobEvent]:
    with reading(database) as session:
        return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)))


def test_succeeded_is_final(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)

    assert (
        end(database, lease, lambda fenced: job_queue.finish_succeeded(fenced, output={"n": 1})) is JobStatus.SUCCEEDED
    )

    job = jobs.read_job(database, lease.job_id)
    assert (job.status, job.output, job.worker) == (JobStatus.SUCCEEDED, {"n": 1}, None)
    assert job.finished_at is not None
    with pytest.raises(LeaseLost):
        end(database, lease, job_queue.finish_cancelled)
    assert [event.type for event in history(database, lease.job_id)] == ["queued", "running", "succeeded"]


def test_cancel_before_the_finish_takes_precedence(database: SessionFactory, settings: Settings) -> None:
    for action in (
        job_queue.finish_succeeded,
        job_queue.release,
        lambda fenced: job_queue.finish_failed(fenced, LOST, settings),
        lambda fenced: job_queue.finish_failed(fenced, DIVERGED, settings),
    ):
        lease = jobs.running(database, settings)
        with transaction(database) as session:
            transitions.cancel(session, lease.job_id)

        assert end(database, lease, action) is JobStatus.CANCELLED
        assert jobs.status_of(database, lease.job_id) is JobStatus.CANCELLED


def test_transient_failure_is_retried_after_a_back_off(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, max_attempts=2)

    assert end(database, lease, lambda fenced: job_queue.finish_failed(fenced, LOST, settings)) is JobStatus.QUEUED

    job = jobs.read_job(database, lease.job_id)
    assert (job.status, job.attempt, job.error, job.notified_at) == (JobStatus.QUEUED, 1, None, None)
    assert job.not_before is not None
    assert job.not_before > job.updated_at
    assert history(database, lease.job_id)[-1].data["error"]["code"] == "worker_lost"


def test_failure_of_the_last_attempt_fails_the_job(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, max_attempts=1)

    assert end(database, lease, lambda fenced: job_queue.finish_failed(fenced, LOST, settings)) is JobStatus.FAILED

    job = jobs.read_job(database, lease.job_id)
    assert job.error == {"code": "worker_lost", "message": "The trainer was killed.", "hint": None}
    assert job.finished_at is not None


@pytest.mark.parametrize("code", [code for code in ErrorCode if not code.is_retried])
def test_permanent_failure_is_not_retried(database: SessionFactory, settings: Settings, code: ErrorCode) -> None:
    lease = jobs.running(database, settings, max_attempts=5)
    failure = JobFailure(code, "No.", "Change it.")

    assert end(database, lease, lambda fenced: job_queue.finish_failed(fenced, failure, settings)) is JobStatus.FAILED
    assert jobs.read_job(database, lease.job_id).error == failure.as_dict()


def test_released_job_is_queued_and_its_attempt_does_not_count(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)

    assert end(database, lease, job_queue.release) is JobStatus.QUEUED

    job = jobs.read_job(database, lease.job_id)
    assert (job.attempt, job.not_before, job.worker) == (0, None, None)
    again = jobs.claimed(database)
    assert again == Lease(job_id=lease.job_id, fencing_token=2, attempt=1)


@pytest.mark.parametrize(
    "action", [job_queue.finish_paused, job_queue.release], ids=["stopped_for_the_pause", "worker_stopping"]
)
def test_pausing_job_is_paused_when_its_worker_releases_it(
    database: SessionFactory, settings: Settings, action: Callable[[FencedSession], JobStatus]
) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, status=JobStatus.PAUSING)

    assert end(database, lease, action) is JobStatus.PAUSED
    assert jobs.read_job(database, lease.job_id).attempt == 0


def test_pausing_job_that_finishes_has_succeeded(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, status=JobStatus.PAUSING)

    assert end(database, lease, job_queue.finish_succeeded) is JobStatus.SUCCEEDED


def test_time_of_the_first_start_is_kept(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    first = jobs.read_job(database, lease.job_id).started_at
    end(database, lease, job_queue.release)

    jobs.claimed(database)

    assert jobs.read_job(database, lease.job_id).started_at == first


def test_back_off_doubles_up_to_its_limit_with_jitter(settings: Settings) -> None:
    patient = settings.model_copy(update={"backoff_s": 10.0, "backoff_max_s": 60.0})
    for attempt, longest_s in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (1000, 60)]:
        waits = {job_queue.backoff_ms(attempt, patient) for _ in range(200)}
        assert longest_s * 500 <= min(waits) < max(waits) <= longest_s * 1000


def test_queue_position_counts_the_jobs_ahead(database: SessionFactory, settings: Settings) -> None:
    ids = [jobs.submitted(database, settings, priority=priority) for priority in ("normal", "low", "high")]
    with transaction(database) as session:
        places = [queue_stats.queue_position(session, training_jobs.get(session, job_id)) for job_id in ids]
    assert places == [2, 3, 1]

    lease = jobs.claimed(database)
    assert lease is not None
    with reading(database) as session:
        assert queue_stats.queue_position(session, training_jobs.get(session, lease.job_id)) is None
        assert queue_stats.queue_position(session, training_jobs.get(session, ids[0])) == 1
