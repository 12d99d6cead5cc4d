"""A worker that hears nothing any more."""

import time

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind, Priority
from shared.settings import Settings
from tests import jobs
from worker.consumer_watchdog import ConsumerWatchdog
from worker.context import WorkerContext

DEAF_S = 0.2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"consumer_stall_s": DEAF_S})


@pytest.fixture
def hearing(context: WorkerContext) -> ConsumerWatchdog:
    """Not started: the tests look themselves."""
    return ConsumerWatchdog(context)


def waiting(database: SessionFactory, settings: Settings, broker: NullBroker) -> None:
    """A job, and the notification that should start a worker."""
    broker.send(JobKind.TRAINING, jobs.submitted(database, settings), Priority.NORMAL)


def test_an_idle_worker_that_leaves_notifications_for_jobs_waiting_is_deaf(
    hearing: ConsumerWatchdog, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    assert not hearing.is_stalled()
    time.sleep(DEAF_S)
    assert hearing.is_stalled()


def test_a_busy_worker_is_not_deaf_and_has_to_be_idle_for_long_to_become_so(
    hearing: ConsumerWatchdog, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    waiting(database, settings, broker)
    hearing.is_stalled()
    with hearing.taking():
        time.sleep(DEAF_S)
        assert not hearing.is_stalled()
    assert not hearing.is_stalled()


def test_a_worker_that_nobody_calls_is_not_deaf(
    hearing: ConsumerWatchdog, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    # Given: a job whose notification was lost; then notifications for no job; then a Redis that is away
    jobs.submitted(database, settings)
    assert [hearing.is_stalled(), time.sleep(DEAF_S), hearing.is_stalled()] == [False, None, False]
    jobs.claimed(database)
    broker.send(JobKind.TRAINING, "trn_" + "0" * 26, Priority.NORMAL)
    assert [hearing.is_stalled(), time.sleep(DEAF_S), hearing.is_stalled()] == [False, None, False]
    waiting(database, settings, broker)
    hearing.is_stalled()
    broker.is_up = False
    assert not hearing.is_stalled()
    broker.is_up = True
    time.sleep(DEAF_S)
    assert not hearing.is_stalled()  # counted from when Redis was back
