"""Keeps a lease alive and reads the user's requests, in a thread of its own, so that slow storage cannot stop it."""

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
from worker.background import PeriodicThread

log = structlog.get_logger(__name__)


class LeaseHeartbeat:
    """Renews one lease. status: as the job's row says. is_lost: the lease is gone.

    on_change: called from the heartbeat's thread after either changed. A database that does not answer does not end
    the lease: other workers cannot take it either, and every write is fenced. The row decides when it is back.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        lease: Lease,
        settings: Settings,
        on_change: Callable[["LeaseHeartbeat"], None],
    ) -> None:
        self._sessions, self._lease, self._settings, self._on_change = sessions, lease, settings, on_change
        self.status = JobStatus.RUNNING
        self.is_lost = False
        self._renewed_at = self._read_at = time.monotonic()
        self._is_away = False
        self._thread = PeriodicThread("lease-heartbeat", self._beat, join_s=30.0)

    def __enter__(self) -> "LeaseHeartbeat":
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.__exit__(kind, error, trace)

    @property
    def is_unwanted(self) -> bool:
        """Whether the work of this attempt has no use any more: the lease is lost, or a cancel was requested."""
        return self.is_lost or self.status is JobStatus.CANCELLING

    def renewed(self, status: JobStatus) -> None:
        """Note a write that has just renewed the lease and read this status: the next renewal is due later."""
        self._renewed_at = self._read_at = time.monotonic()
        self._set_status(status)

    def _beat(self) -> float | None:
        """Renew or read when due. Returns the seconds until the next time; None ends the thread."""
        rest_s = self._rest_s()
        if rest_s > 0:
            return rest_s
        self._read_at = time.monotonic()
        try:
            self._set_status(self._renew_or_read())
        except LeaseLost:
            self.is_lost = True
            self._on_change(self)
            return None
        except SQLAlchemyError as failure:
            if not self._is_away:
                log.warning("heartbeat not written", job_id=self._lease.job_id, reason=str(failure))
            self._is_away = True
        else:
            self._is_away = False
        return self._rest_s()

    def _rest_s(self) -> float:
        """Seconds until the row is to be read again."""
        return max(0.0, self._read_at + self._settings.control_poll_s - time.monotonic())

    def _renew_or_read(self) -> JobStatus:
        if time.monotonic() - self._renewed_at < self._settings.heartbeat_s:
            with read_connection(self._sessions) as connection:
                return job_queue.control(connection, self._lease)
        with transaction(self._sessions) as session:
            status = job_queue.renew_lease(session, self._lease).status
        self._renewed_at = time.monotonic()
        return status

    def _set_status(self, status: JobStatus) -> None:
        if status is not self.status:
            self.status = status
            self._on_change(self)
