"""Notices that this worker is deaf: alive, idle, and taking no hint although hints for it wait in Redis.

The library below has had that fault again and again after a lost connection (celery#8030, #10205, #10302). A deaf
worker ends its process; whatever keeps it running starts it again, and it hears.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import reading
from shared.services import notifications
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

EXIT_STALLED = 75  # EX_TEMPFAIL: try again
_CHECKS = 6  # as many looks in a row have to find the same


class ConsumerWatchdog:
    """Looks at the queue in a thread of its own. `taking` goes around whatever a hint starts."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._is_busy = False
        self._waiting_since: float | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hearing", daemon=True)

    def __enter__(self) -> "ConsumerWatchdog":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()

    @contextmanager
    def taking(self) -> Iterator[None]:
        """A hint was heard, and is being seen to within the block."""
        with self._lock:
            self._is_busy, self._waiting_since = True, None
        try:
            yield
        finally:
            with self._lock:
                self._is_busy = False

    def is_stalled(self) -> bool:
        """Look once. True where hints have waited for `consumer_stall_s` and this worker, idle, has heard none of them."""
        is_wanted = self._is_wanted()
        with self._lock:
            if self._is_busy or not is_wanted:
                self._waiting_since = None
                return False
            now = time.monotonic()
            self._waiting_since = self._waiting_since or now
            return now - self._waiting_since >= self._context.settings.consumer_stall_s

    def _is_wanted(self) -> bool:
        """Whether a hint waits in Redis, and a job in the database that it would start."""
        if not self._context.broker.depth(self._context.kind):
            return False
        try:
            with reading(self._context.sessions) as session:
                return notifications.count_due(session)[self._context.kind] > 0
        except SQLAlchemyError:
            return False

    def _run(self) -> None:
        while not self._ending.wait(self._context.settings.consumer_stall_s / _CHECKS):
            if self.is_stalled() and not self._context.stopping.is_set():
                self._end()

    def _end(self) -> None:
        with self._lock:  # whoever hears a hint now waits here, and no job is claimed any more
            if not self._is_busy:
                log.error("hints wait and none is heard; ending this worker so that it is started again")
                os._exit(EXIT_STALLED)
