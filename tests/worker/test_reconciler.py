"""The queue made true again: lost notifications, silent workers, outages."""

import threading
import time
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
from tests.engine.fake_clock import START_MS, FakeClock
from tests.servers import Valkey
from tests.worker.attempts.harness import event_types
from worker.reconciler import Reconciler


@pytest.fixture
def hurried(settings: Settings) -> Settings:
    """A lease short enough to wait for."""
    return settings.model_copy(update={"lease_s": 0.3, "notification_stale_s": 0.2})


def silence(database: SessionFactory, job_id: str) -> None:
    jobs.set_values(database, job_id, heartbeat_at=datetime.now(UTC) - timedelta(hours=1))


def test_a_job_whose_notification_was_lost_gets_another(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    job_id = jobs.submitted(database, hurried, priority="high")
    reconciler = Reconciler(hurried, database, broker)
    reconciler.round()
    assert broker.sent == []

    time.sleep(0.3)
    reconciler.round()
    reconciler.round()

    assert [(notification.kind, notification.job_id, notification.priority) for notification in broker.sent] == [
        ("training", job_id, Priority.HIGH)
    ]


def test_a_released_job_is_notified_at_once(database: SessionFactory, settings: Settings, broker: NullBroker) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, notified_at=None)
    Reconciler(settings, database, broker).round()
    assert [notification.job_id for notification in broker.sent] == [job_id]


def test_notifications_do_not_pile_up_while_no_worker_takes_them(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    for _ in range(3):
        broker.send(JobKind.TRAINING, jobs.submitted(database, hurried), Priority.NORMAL)
    reconciler = Reconciler(hurried, database, broker)

    for _ in range(5):
        time.sleep(0.25)
        reconciler.round()

    assert broker.depth(JobKind.TRAINING) == 3


def test_only_the_missing_notifications_are_sent(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    for _ in range(5):
        broker.send(JobKind.TRAINING, jobs.submitted(database, hurried), Priority.NORMAL)
    broker.take(JobKind.TRAINING)
    broker.take(JobKind.TRAINING)
    time.sleep(0.3)

    Reconciler(hurried, database, broker).round()

    assert broker.depth(JobKind.TRAINING) == 5


def test_a_silent_worker_s_job_is_reaped_only_after_one_lease(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    lease = jobs.running(database, hurried)
    silence(database, lease.job_id)
    reconciler = Reconciler(hurried, database, broker)

    reconciler.round()
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING

    assert comes_to(reconciler, database, lease.job_id, JobStatus.QUEUED)


def comes_to(reconciler: Reconciler, database: SessionFactory, job_id: str, status: JobStatus) -> bool:
    """Repeat rounds until the job has this status; False where it has not within ten seconds."""
    deadline = time.monotonic() + 10
    while jobs.status_of(database, job_id) is not status:
        if time.monotonic() > deadline:
            return False
        run_for(reconciler, 0.1)
    return True


def run_for(reconciler: Reconciler, seconds: float) -> None:
    stopping = threading.Event()
    timer = threading.Timer(seconds, stopping.set)
    timer.start()
    reconciler.run(stopping)
    timer.join()


def test_whoever_waits_hears_of_a_job_that_the_reaper_ended(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    lost = jobs.running(database, hurried, max_attempts=1)
    silence(database, lost.job_id)

    assert comes_to(Reconciler(hurried, database, broker), database, lost.job_id, JobStatus.FAILED)
    assert broker.done == {lost.job_id}


def test_after_a_pause_of_the_process_heartbeats_get_time_to_come_in(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    reconciler = Reconciler(hurried, database, broker)
    run_for(reconciler, 0.4)
    lease = jobs.running(database, hurried)
    silence(database, lease.job_id)

    time.sleep(0.4)  # the machine slept; the heartbeats are as old as the sleep was long
    reconciler.round()

    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_after_the_clock_was_set_nobody_loses_a_job_who_is_alive_and_whoever_is_dead_does(
    database: SessionFactory, engine: Engine, hurried: Settings, broker: NullBroker, jump_s: int
) -> None:
    # Given: two workers, one of which is about to die
    hurried = hurried.model_copy(update={"lease_s": 1.0})
    clock, started = FakeClock(engine), time.monotonic()
    clock.now_ms = START_MS
    alive, dead = jobs.running(database, hurried), jobs.running(database, hurried)
    reconciler = Reconciler(hurried, database, broker)

    def rounds(seconds: float, *, shift_s: int, beating: list[Lease]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            clock.now_ms = START_MS + round(1000 * (time.monotonic() - started + shift_s))
            reconciler.round()  # before the first heartbeat on the new clock
            with transaction(database) as session:
                for lease in beating:
                    job_queue.renew_lease(session, lease)
            time.sleep(0.01)

    # When: the clock is set, and the reconciler has seen as much as it needs to reap
    rounds(1.1, shift_s=0, beating=[alive, dead])
    rounds(0.5, shift_s=jump_s, beating=[alive])
    assert jobs.status_of(database, dead.job_id) is JobStatus.RUNNING
    rounds(1.5, shift_s=jump_s, beating=[alive])

    # Then
    assert jobs.status_of(database, alive.job_id) is JobStatus.RUNNING
    assert "reaped" in event_types(database, dead.job_id)


def test_an_outage_of_the_database_is_survived_and_followed_by_a_lease_of_patience(
    tmp_path: Path, broker: NullBroker, database: SessionFactory, hurried: Settings
) -> None:
    lease = jobs.running(database, hurried)
    silence(database, lease.job_id)
    gone = make_engine(Settings(home=tmp_path, database_url=SecretStr("postgresql://127.0.0.1:1/nothing")))
    reconciler = Reconciler(hurried, database, broker)

    # When: the database is away for longer than the lease
    reconciler._sessions = session_factory(gone)
    run_for(reconciler, 0.5)
    reconciler._sessions = database
    reconciler.round()

    # Then: nobody is reaped at once, and the silent one after a lease
    assert jobs.status_of(database, lease.job_id) is JobStatus.RUNNING
    assert comes_to(reconciler, database, lease.job_id, JobStatus.QUEUED)


def test_without_redis_jobs_are_still_reaped_and_notified_when_it_is_back(
    database: SessionFactory, hurried: Settings, valkey: Valkey
) -> None:
    with_redis = hurried.model_copy(update={"redis_url": SecretStr(valkey.url)})
    broker = CeleryBroker(with_redis)
    lost = jobs.running(database, with_redis)
    silence(database, lost.job_id)
    waiting = jobs.submitted(database, with_redis)
    reconciler = Reconciler(with_redis, database, broker)
    valkey.kill()

    assert comes_to(reconciler, database, lost.job_id, JobStatus.QUEUED)

    valkey.start()
    deadline = time.monotonic() + 10
    while broker.depth(JobKind.TRAINING) != 2:
        assert time.monotonic() < deadline
        reconciler.round()
        time.sleep(0.1)
    assert jobs.status_of(database, waiting) is JobStatus.QUEUED


def test_two_reconcilers_send_and_reap_about_as_much_as_one(
    database: SessionFactory, hurried: Settings, broker: NullBroker
) -> None:
    leases = [jobs.running(database, hurried, max_attempts=3) for _ in range(3)]
    for lease in leases:
        silence(database, lease.job_id)
    threads = [threading.Thread(target=run_for, args=(Reconciler(hurried, database, broker), 1.0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for lease in leases:
        job = jobs.look(database, lease.job_id)
        assert (job.status, job.attempt, job.fencing_token) == (JobStatus.QUEUED, 1, 1)
    assert len(broker.sent) <= 2 * len(leases)


def test_workers_silent_for_a_day_are_forgotten(
    database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    with transaction(database) as session:
        for name, at in [("old", old), ("new", datetime.now(UTC))]:
            session.add(Worker(id=name, kind=JobKind.TRAINING, host="h", pid=1, device="cpu", heartbeat_at=at))

    Reconciler(settings, database, broker).round()

    with reading(database) as session:
        assert [session.get(Worker, name) is not None for name in ("old", "new")] == [False, True]
