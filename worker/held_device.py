"""The device that a training worker holds, and the room on it for a further job. docs/decisions/0034-placement.md."""

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db.session import is_transient, transaction
from shared.db.tables import Job
from shared.services import admission, device_leases
from worker.context import WorkerContext
from worker.devices import MOST_AUTOMATIC, Device
from worker.worker_heartbeat import WorkerHeartbeat

log = structlog.get_logger(__name__)

_BUSY = 0.9  # share of the time in which a GPU computes
_SETTLED_MS = 5000  # after which the use of a GPU includes that of the newest job
_RETRY_S = 5.0


class NoRoom(Exception):
    """The worker cannot take a job now: its device is lost, or the first due job does not fit beside the others."""


class HeldDevice:
    """The lease of a device, taken before the first claim and verified in the transaction of each.

    is_full: whether the last claim found a job without room for it.
    """

    def __init__(self, context: WorkerContext, worker_heartbeat: WorkerHeartbeat) -> None:
        self._context, self._worker_heartbeat = context, worker_heartbeat
        self._has_logged = False
        self.device: Device | None = None
        self.is_full = False

    def wait(self) -> None:
        """Take a device, as soon as one is free or until the worker stops."""
        while not self.take() and not self._context.stopping.wait(_RETRY_S):
            pass

    def take(self) -> bool:
        """Take a device unless one is held. False: none is free, or the database is unavailable."""
        if self.device is not None:
            return True
        seen = {device.id: device for device in self._context.devices}
        try:
            with transaction(self._context.sessions) as session:
                found = device_leases.take(
                    session, self._context.id, list(seen), slots=self._slots(), settings=self._context.settings
                )
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            self._log_once("no device taken; the database is unavailable", reason=str(error))
            return False
        if found is None:
            self._log_once("no job is claimed; other workers hold every device", devices=list(seen))
            return False
        self.device, self._has_logged = seen[found], False
        self._worker_heartbeat.report_held(self.device)
        log.info("device taken", device=found)
        return True

    def verify(self, session: Session) -> None:
        """Verify the lease in the transaction of a claim. Raises NoRoom where another worker has it."""
        self.is_full = False
        if self.device is None:
            raise NoRoom
        if not device_leases.verify(session, self._context.id, self.device.id):
            log.warning("device lost; another worker has taken it", device=self.device.id)
            self.device = None
            raise NoRoom

    def admit(self, session: Session, job: Job) -> None:
        """Raises NoRoom for a claimed job that does not fit beside the others. A job that is alone always fits.

        The end of the transaction then returns the job to the queue. No smaller job overtakes it on this device, so
        that it gets the device in the end.
        """
        assert self.device is not None
        beside = device_leases.load_beside(session, self.device.id, job.id)
        if beside.jobs == 0:
            return
        needed = job.memory_bytes or 0
        if needed > self._total() - beside.memory_bytes or self._is_busy(needed, beside.newest_ms):
            self.is_full = True
            raise NoRoom

    def _is_busy(self, needed: int, newest_ms: int) -> bool:
        """Whether the measured use of a GPU leaves no room; measured where the number of jobs is automatic."""
        if self.device is None or self.device.type == "cpu" or self._context.settings.jobs_per_device != "auto":
            return False
        if newest_ms < _SETTLED_MS:
            return True
        usage = self._context.measure(self.device)
        return usage is not None and (needed > usage.free_bytes or (usage.utilization or 0.0) >= _BUSY)

    def _total(self) -> int:
        assert self.device is not None
        return self.device.total_bytes if self.device.type == "cuda" else admission.memory_limit(self._context.settings)

    def _slots(self) -> int | None:
        wanted = self._context.settings.jobs_per_device
        if wanted != "auto":
            return wanted
        return MOST_AUTOMATIC if self._context.devices[0].type == "cuda" else None

    def _log_once(self, event: str, **values: object) -> None:
        if not self._has_logged:
            log.warning(event, **values)
        self._has_logged = True
