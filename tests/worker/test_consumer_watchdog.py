"""A worker that hears nothing any more."""

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

DEAF_S = 60.0
DEAF_MS = round(1000 * DEAF_S)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"consumer_stall_s": DEAF_S})


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


@pytest.fixture
def hearing(context: WorkerContext, clock: FakeClock) -> ConsumerWatchdog:
    """Not started: the tests look themselves."""
    return ConsumerWatchdog(context, monotonic=clock.monotonic)


def waiting(database: SessionFactory, settings: Settings, broker: NullBroker) -> None:
    """A job, and the notification that should start a worker."""
    broker.send(JobKind.TRAINING, jobs.submitted(database, settings), Priority.NORMAL)


def test_an_idle_worker_that_leaves_notifications_for_jobs_waiting_is_stalled(
    hearing: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    assert not hearing.is_stalled()
    clock.advance(DEAF_MS - 1)
    assert not hearing.is_stalled()
    clock.advance(1)
    assert hearing.is_stalled()


def test_a_busy_worker_is_not_stalled_and_has_to_be_idle_for_long_to_become_so(
    hearing: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    hearing.is_stalled()
    with hearing.taking():
        clock.advance(DEAF_MS)
        assert not hearing.is_stalled()
    assert not hearing.is_stalled()
    clock.advance(DEAF_MS)
    assert hearing.is_stalled()


def test_a_worker_without_notifications_for_jobs_is_not_stalled(
    hearing: ConsumerWatchdog, clock: FakeClock, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    # Given: a job whose notification was lost; then notifications for no job; then a Redis that is away
    jobs.submitted(database, settings)
    assert not hearing.is_stalled()
    clock.advance(DEAF_MS)
    assert not hearing.is_stalled()
    jobs.claimed(database)
    broker.send(JobKind.TRAINING, "trn_" + "0" * 26, Priority.NORMAL)
    assert not hearing.is_stalled()
    clock.advance(DEAF_MS)
    assert not hearing.is_stalled()
    waiting(database, settings, broker)
    hearing.is_stalled()
    broker.is_up = False
    assert not hearing.is_stalled()
    broker.is_up = True
    clock.advance(DEAF_MS)
    assert not hearing.is_stalled()  # counted from when Redis was back
