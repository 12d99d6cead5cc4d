"""The reconciler: lost notifications, silent workers, outages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from shared.broker import CeleryBroker, NullBroker
from shared.db.session import SessionFactory, make_engine, reading, session_factory, transaction
from shared.db.tables import Worker
from shared.job_status import JobKind, JobStatus, Priority
from shared.services import job_queue
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs
from tests.engine.fake_clock import FakeClock
from tests.servers import Valkey
from tests.waiting import wait_until
from tests.worker.attempts.harness import event_types
from worker.reconciler import Reconciler

Make = Callable[[], Reconciler]
ROUND_MS = 250
LEASE_S = 2.0


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


@pytest.fixture
def make(settings: Settings, database: SessionFactory, broker: NullBroker, clock: FakeClock) -> Make:
    """A factory of reconcilers; each starts at the time of the call."""
    assert settings.lease_s == LEASE_S
    return lambda: Reconciler(settings, database, broker, monotonic=clock.monotonic)


def run_for(reconciler: Reconciler, clock: FakeClock, seconds: float) -> None:
    """Run rounds of a quarter of a second."""
    for _ in range(round(1000 * seconds / ROUND_MS)):
        clock.advance(ROUND_MS)
        reconciler.round()


def silence(clock: FakeClock) -> None:
    """Advance the clock by an hour without a heartbeat."""
    clock.advance(3_600_000)


def test_lost_notification_is_repeated(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make, clock: FakeClock
) -> None:
    job_id = jobs.submitted(database, settings, priority="high")
    reconciler = make()
    run_for(reconciler, clock, settings.notification_stale_s / 2)
    assert broker.sent == []

    run_for(reconciler, clock, settings.notification_stale_s)

    assert [(notification.kind, notification.job_id, notification.priority) for notification in broker.sent] == [
        ("training", job_id, Priority.HIGH)
    ]


def test_released_job_is_notified_at_once(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make
) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, notified_at=None)
    make().round()
    assert [notification.job_id for notification in broker.sent] == [job_id]


def test_untaken_notifications_do_not_accumulate(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make, clock: FakeClock
) -> None:
    for _ in range(3):
        broker.send(JobKind.TRAINING, jobs.submitted(database, settings), Priority.NORMAL)

    run_for(make(), clock, 5 * settings.notification_stale_s)

    assert broker.depth(JobKind.TRAINING) == 3


def test_only_missing_notifications_are_sent(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make, clock: FakeClock
) -> None:
    for _ in range(5):
        broker.send(JobKind.TRAINING, jobs.submitted(database, settings), Priority.NORMAL)
    broker.take(JobKind.TRAINING)
    broker.take(JobKind.TRAINING)

    run_for(make(), clock, 2 * settings.notification_stale_s)

    assert broker.depth(JobKind.TRAINING) == 5


def test_job_of_a_silent_worker_is_reaped_after_one_lease(
    database: SessionFactory, settings: Settings, make: Make, clock: FakeClock
) -> None:
    lease = jobs.running(database, settings)
    silence(clock)
    reconciler = make()

    run_for(reconciler, clock, LEASE_S - ROUND_MS / 1000)
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING

    run_for(reconciler, clock, ROUND_MS / 1000)
    assert jobs.status_of(database, lease.job_id) is JobStatus.QUEUED


def test_end_of_a_reaped_job_is_published(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make, clock: FakeClock
) -> None:
    lost = jobs.running(database, settings, max_attempts=1)
    silence(clock)

    run_for(make(), clock, LEASE_S)

    assert jobs.status_of(database, lost.job_id) is JobStatus.FAILED
    assert broker.done == {lost.job_id}


def test_reaping_is_delayed_after_a_suspension_of_the_process(
    database: SessionFactory, settings: Settings, make: Make, clock: FakeClock
) -> None:
    reconciler = make()
    run_for(reconciler, clock, 2 * LEASE_S)
    lease = jobs.running(database, settings)

    silence(clock)  # the machine was suspended; the heartbeats are as old as the suspension was long
    reconciler.round()
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING

    run_for(reconciler, clock, LEASE_S)
    assert jobs.status_of(database, lease.job_id) is JobStatus.QUEUED


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_change_of_the_clock_reaps_only_the_job_of_the_dead_worker(
    database: SessionFactory, settings: Settings, make: Make, clock: FakeClock, jump_s: int
) -> None:
    # Given: two workers, one of which will die
    alive, dead = jobs.running(database, settings), jobs.running(database, settings)
    reconciler = make()

    def rounds(seconds: float, *, beating: list[Lease]) -> None:
        for _ in range(round(1000 * seconds / ROUND_MS)):
            run_for(reconciler, clock, ROUND_MS / 1000)  # before the first heartbeat on the new clock
            with transaction(database) as session:
                for lease in beating:
                    job_queue.renew_lease(session, lease)

    # When: the clock is set, and the reconciler has made enough observations to reap
    rounds(1.1 * LEASE_S, beating=[alive, dead])
    clock.jump(1000 * jump_s)
    rounds(0.5 * LEASE_S, beating=[alive])
    assert jobs.status_of(database, dead.job_id) is JobStatus.RUNNING
    rounds(1.5 * LEASE_S, beating=[alive])

    # Then
    assert jobs.status_of(database, alive.job_id) is JobStatus.RUNNING
    assert "reaped" in event_types(database, dead.job_id)


def test_reaping_is_delayed_by_one_lease_after_an_outage_of_the_database(
    tmp_path: Path, database: SessionFactory, settings: Settings, make: Make, clock: FakeClock
) -> None:
    lease = jobs.running(database, settings)
    silence(clock)
    gone = make_engine(Settings(home=tmp_path, database_url=SecretStr("postgresql://127.0.0.1:1/nothing")))
    reconciler = make()

    # When: the database is unavailable for longer than the lease
    reconciler._sessions = session_factory(gone)
    run_for(reconciler, clock, 2 * LEASE_S)
    reconciler._sessions = database
    reconciler.round()

    # Then: no job is reaped at once; that of the silent worker is reaped after one lease
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING
    run_for(reconciler, clock, LEASE_S)
    assert jobs.status_of(database, lease.job_id) is JobStatus.QUEUED


def test_jobs_are_reaped_without_redis_and_notified_after_its_return(
    database: SessionFactory, settings: Settings, valkey: Valkey, clock: FakeClock
) -> None:
    with_redis = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    broker = CeleryBroker(with_redis)
    lost = jobs.running(database, with_redis)
    waiting = jobs.submitted(database, with_redis)
    reconciler = Reconciler(with_redis, database, broker, monotonic=clock.monotonic)
    valkey.kill()

    run_for(reconciler, clock, LEASE_S + 1)
    assert jobs.status_of(database, lost.job_id) is JobStatus.QUEUED

    def both_are_notified() -> bool:
        run_for(reconciler, clock, settings.notification_stale_s)
        return broker.depth(JobKind.TRAINING) == 2

    valkey.start()
    wait_until(both_are_notified)
    assert jobs.status_of(database, waiting) is JobStatus.QUEUED


def test_two_reconcilers_together_send_and_reap_like_one(
    database: SessionFactory, settings: Settings, broker: NullBroker, make: Make, clock: FakeClock
) -> None:
    leases = [jobs.running(database, settings, max_attempts=3) for _ in range(3)]
    silence(clock)
    both = [make(), make()]

    with ThreadPoolExecutor(2) as pool:
        for _ in range(12):
            clock.advance(ROUND_MS)
            list(pool.map(Reconciler.round, both))

    for lease in leases:
        job = jobs.read_job(database, lease.job_id)
        assert (job.status, job.attempt, job.fencing_token) == (JobStatus.QUEUED, 1, 1)
    assert len(leases) <= len(broker.sent) <= 2 * len(leases)


def test_workers_silent_for_a_day_are_deleted(database: SessionFactory, settings: Settings, broker: NullBroker) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    with transaction(database) as session:
        for name, at in [("old", old), ("new", datetime.now(UTC))]:
            session.add(Worker(id=name, kind=JobKind.TRAINING, host="h", pid=1, device="cpu", heartbeat_at=at))

    Reconciler(settings, database, broker).round()

    with reading(database) as session:
        assert [session.get(Worker, name) is not None for name in ("old", "new")] == [False, True]
