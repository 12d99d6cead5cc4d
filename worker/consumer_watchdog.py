"""Detects a stalled consumer: the worker is alive and idle, and receives no notification although some are in Redis.

Celery's Redis consumer has shown this fault repeatedly after a lost connection (celery#8030, #10205, #10302). The
watchdog ends the process; its supervisor restarts it with a fresh connection.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import reading
from shared.services import notifications
from worker.background import PeriodicThread
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

EXIT_STALLED = 75  # EX_TEMPFAIL: try again
_CHECKS = 6  # consecutive checks that have to agree


class ConsumerWatchdog(PeriodicThread):
    """Checks the queue periodically. `taking` surrounds the work that a notification starts."""

    def __init__(self, context: WorkerContext, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._context, self._monotonic = context, monotonic
        self._lock = threading.Lock()
        self._is_busy = False
        self._waiting_since: float | None = None
        super().__init__("consumer-watchdog", self._check, join_s=0.0)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Within the block the worker handles a notification."""
        with self._lock:
            self._is_busy, self._waiting_since = True, None
        try:
            yield
        finally:
            with self._lock:
                self._is_busy = False

    def is_stalled(self) -> bool:
        """Check once. True when notifications have waited for `consumer_stall_s` while this worker was idle."""
        has_waiting_job = self._has_waiting_job()
        with self._lock:
            if self._is_busy or not has_waiting_job:
                self._waiting_since = None
                return False
            now = self._monotonic()
            self._waiting_since = now if self._waiting_since is None else self._waiting_since
            return now - self._waiting_since >= self._context.settings.consumer_stall_s

    def _has_waiting_job(self) -> bool:
        """Whether Redis has a notification for this kind, and the database a due job of it."""
        if not self._context.broker.depth(self._context.kind):
            return False
        try:
            with reading(self._context.sessions) as session:
                return notifications.count_due(session)[self._context.kind] > 0
        except SQLAlchemyError:
            return False

    def _check(self) -> float:
        if self.is_stalled() and not self._context.stopping.is_set():
            self._end()
        return self._context.settings.consumer_stall_s / _CHECKS

    def _end(self) -> None:
        with self._lock:  # a notification that arrives now waits for this lock, so no job is claimed
            if not self._is_busy:
                log.error("consumer stalled; ending this worker so that its supervisor restarts it")
                os._exit(EXIT_STALLED)
