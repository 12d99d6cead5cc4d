"""Keeps a lease alive and hears what the user wants, in a thread of its own, so that slow storage cannot stop it."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, read_connection, transaction
from shared.errors import LeaseLost
from shared.job_status import JobStatus
from shared.services import job_queue
from shared.services.job_queue import Lease
from shared.settings import Settings

log = structlog.get_logger(__name__)


class LeaseHeartbeat:
    """The heartbeat of one lease. status: what the job's row says; lost: the lease is gone.

    on_change is called from the heart's thread after either changed. A database that is away is no reason to stop:
    nobody can take the lease either, and every write is fenced. What counts is what the row says when it is back.
    """

    def __init__(
        self, sessions: SessionFactory, lease: Lease, settings: Settings, on_change: Callable[["LeaseHeartbeat"], None]
    ) -> None:
        self._sessions, self._lease, self._settings, self._on_change = sessions, lease, settings, on_change
        self.status = JobStatus.RUNNING
        self.lost = False
        self._renewed_at = self._seen_at = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def __enter__(self) -> "LeaseHeartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(timeout=30)

    def renewed(self, status: JobStatus) -> None:
        """Another write has just renewed the lease and seen this status: heartbeat and the next look can wait."""
        self._renewed_at = self._seen_at = time.monotonic()
        self._see(status)

    def _run(self) -> None:
        is_transient = False
        while not self._ending.wait(self._rest_s()):
            if self._rest_s() > 0:  # a write of the watch came first
                continue
            self._seen_at = time.monotonic()
            try:
                self._see(self._look())
            except LeaseLost:
                self.lost = True
                self._on_change(self)
                return
            except SQLAlchemyError as failure:
                if not is_transient:
                    log.warning("heartbeat not written", job_id=self._lease.job_id, reason=str(failure))
                is_transient = True
            else:
                is_transient = False

    def _rest_s(self) -> float:
        """Seconds until the row was last looked at too long ago."""
        return max(0.0, self._seen_at + self._settings.control_poll_s - time.monotonic())

    def _look(self) -> JobStatus:
        if time.monotonic() - self._renewed_at < self._settings.heartbeat_s:
            with read_connection(self._sessions) as connection:
                return job_queue.control(connection, self._lease)
        with transaction(self._sessions) as session:
            status = job_queue.renew_lease(session, self._lease).status
        self._renewed_at = time.monotonic()
        return status

    def _see(self, status: JobStatus) -> None:
        if status is not self.status:
            self.status = status
            self._on_change(self)
