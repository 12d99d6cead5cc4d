"""A worker whose consumer no longer receives notifications."""

import pytest
from sqlalchemy import Engine

from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind, Priority
from shared.settings import Settings
from tests import jobs
from tests.engine.fake_clock import FakeClock
from worker.consumer_watchdog import ConsumerWatchdog
from worker.context import WorkerContext

STALL_S = 60.0
STALL_MS = round(1000 * STALL_S)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"consumer_stall_s": STALL_S})


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


@pytest.fixture
def watchdog(context: WorkerContext, clock: FakeClock) -> ConsumerWatchdog:
    """Not started: the tests call its checks."""
    return ConsumerWatchdog(context, monotonic=clock.monotonic)


def waiting(database: SessionFactory, settings: Settings, broker: NullBroker) -> None:
    """A job, and the notification that should start a worker."""
    broker.send(JobKind.TRAINING, jobs.submitted(database, settings), Priority.NORMAL)


def test_idle_worker_with_untaken_notifications_is_stalled(
    watchdog: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    assert not watchdog.is_stalled()
    clock.advance(STALL_MS - 1)
    assert not watchdog.is_stalled()
    clock.advance(1)
    assert watchdog.is_stalled()


def test_busy_worker_is_stalled_only_after_it_has_been_idle(
    watchdog: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    watchdog.is_stalled()
    with watchdog.taking():
        clock.advance(STALL_MS)
        assert not watchdog.is_stalled()
    assert not watchdog.is_stalled()
    clock.advance(STALL_MS)
    assert watchdog.is_stalled()


def test_worker_without_notifications_for_jobs_is_not_stalled(
    watchdog: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    # Given: a job whose notification was lost; then notifications for no job; then a Redis that is unavailable
    jobs.submitted(database, settings)
    assert not watchdog.is_stalled()
    clock.advance(STALL_MS)
    assert not watchdog.is_stalled()
    jobs.claimed(database)
    broker.send(JobKind.TRAINING, "trn_" + "0" * 26, Priority.NORMAL)
    assert not watchdog.is_stalled()
    clock.advance(STALL_MS)
    assert not watchdog.is_stalled()
    waiting(database, settings, broker)
    watchdog.is_stalled()
    broker.is_up = False
    assert not watchdog.is_stalled()
    broker.is_up = True
    clock.advance(STALL_MS)
    assert not watchdog.is_stalled()  # counted from the return of Redis
