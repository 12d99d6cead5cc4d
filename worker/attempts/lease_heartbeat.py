"""Renews a lease and reads the job's status, in a separate thread that slow storage cannot block."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, read_connection, transaction
from shared.errors import LeaseLost
from shared.job_status import JobStatus
from shared.services import job_queue
from shared.services.job_queue import FencedSession, Lease, Request
from shared.settings import Settings
from worker.background import PeriodicThread

log = structlog.get_logger(__name__)


class LeaseHeartbeat(PeriodicThread):
    """Renews one lease. status: the job's status in the database. is_lost: the lease is lost.

    is_preempted: the job is to be released to make room for another.

    on_change: called from the heartbeat's thread after either changed. An unavailable database does not end the lease:
    no other worker can claim the job meanwhile, and every write is fenced. The row is read again afterwards.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        lease: Lease,
        settings: Settings,
        on_change: Callable[["LeaseHeartbeat"], None],
    ) -> None:
        self._sessions, self._lease, self._settings, self._on_change = sessions, lease, settings, on_change
        self.status, self.is_preempted = JobStatus.RUNNING, False
        self.is_lost = False
        self._renewed_at = self._read_at = time.monotonic()
        self._is_unavailable = False
        super().__init__("lease-heartbeat", self._beat, join_s=30.0)

    @property
    def is_obsolete(self) -> bool:
        """Whether the work of this attempt has no use: the lease is lost, or a cancel was requested."""
        return self.is_lost or self.status is JobStatus.CANCELLING

    def renewed(self, fenced: FencedSession) -> None:
        """Record that another write has renewed the lease and read the row, which delays the next renewal."""
        self._renewed_at = self._read_at = time.monotonic()
        self._take(fenced)

    def _beat(self) -> float | None:
        """Renew or read when due. Returns the seconds until the next time; None ends the thread."""
        wait_s = self._until_due_s()
        if wait_s > 0:
            return wait_s
        self._read_at = time.monotonic()
        try:
            self._take(self._renew_or_read())
        except LeaseLost:
            self.is_lost = True
            self._on_change(self)
            return None
        except SQLAlchemyError as failure:
            if not self._is_unavailable:
                log.warning("lease not renewed", job_id=self._lease.job_id, reason=str(failure))
            self._is_unavailable = True
        else:
            self._is_unavailable = False
        return self._until_due_s()

    def _until_due_s(self) -> float:
        """Seconds until the row is to be read again."""
        return max(0.0, self._read_at + self._settings.control_poll_s - time.monotonic())

    def _renew_or_read(self) -> FencedSession | Request:
        if time.monotonic() - self._renewed_at < self._settings.heartbeat_s:
            with read_connection(self._sessions) as connection:
                return job_queue.control(connection, self._lease)
        with transaction(self._sessions) as session:
            fenced = job_queue.renew_lease(session, self._lease)
        self._renewed_at = time.monotonic()
        return fenced

    def _take(self, read: FencedSession | Request) -> None:
        self.is_preempted = read.is_preempted
        if read.status is not self.status:
            self.status = read.status
            self._on_change(self)
