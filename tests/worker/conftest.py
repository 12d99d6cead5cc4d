"""Fixtures of the worker's tests."""

from collections.abc import Iterator

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat


@pytest.fixture
def context(settings: Settings, database: SessionFactory, storage: Storage, broker: NullBroker) -> WorkerContext:
    """The context of a training worker, on a fresh database and store."""
    return WorkerContext(settings=settings, kind=JobKind.TRAINING, sessions=database, storage=storage, broker=broker)


@pytest.fixture
def worker_heartbeat(context: WorkerContext) -> Iterator[WorkerHeartbeat]:
    """The worker's heartbeat."""
    with WorkerHeartbeat(context) as beating:
        yield beating
