"""Finds ended jobs for waiting requests while Redis is unavailable, with one query for all of them."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db.tables import Job
from shared.job_status import TERMINAL

POLL_S = 0.5
log = structlog.get_logger(__name__)


class EndPoller:
    """The waiting requests by job, and a thread that polls the database while there are any."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Session]]) -> None:
        self._reading = reading
        self._waiting: dict[str, list[threading.Event]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set when the job is found to have ended, or to be deleted, within the block."""
        ended = threading.Event()
        with self._lock:
            self._waiting[job_id].append(ended)
            if self._thread is None or not self._thread.is_alive():  # a fork keeps the object but not its thread
                self._thread = threading.Thread(target=self._poll, name="end-poller", daemon=True)
                self._thread.start()
        try:
            yield ended
        finally:
            with self._lock:
                self._waiting[job_id].remove(ended)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def close(self) -> None:
        """Wait for the end of the thread, once no request waits."""
        with self._lock:
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join()

    def _poll(self) -> None:
        self._wake.clear()
        while not self._is_over():
            self._wake.wait(POLL_S)
            with self._lock:
                job_ids = list(self._waiting)
            if not job_ids:
                continue
            try:
                self._set_events(set(job_ids) - self._unfinished(job_ids))
            except SQLAlchemyError as error:
                log.warning("ends of jobs not polled", reason=str(error.__cause__ or error))

    def _unfinished(self, job_ids: list[str]) -> set[str]:
        query = select(Job.id).where(Job.id.in_(job_ids), Job.status.not_in(TERMINAL))
        with self._reading() as session:
            return set(session.scalars(query))

    def _set_events(self, job_ids: set[str]) -> None:
        with self._lock:
            for job_id in job_ids:
                for ended in self._waiting.get(job_id, ()):
                    ended.set()

    def _is_over(self) -> bool:
        """Whether no request waits any more; the next one then starts a new thread."""
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True
