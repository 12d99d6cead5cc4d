"""The heartbeat of a worker, for `/v1/workers`: its identity and its current job. It does not affect jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import disk_space
from shared.db.session import transaction
from shared.services import device_leases, workers
from worker.background import PeriodicThread
from worker.context import WorkerContext
from worker.devices import Device

log = structlog.get_logger(__name__)


class WorkerHeartbeat(PeriodicThread):
    """Writes the worker's row every `heartbeat_s`, and at most once a second when the job changes."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._job_id: str | None = None
        self._jobs_done = 0
        self._device = context.device
        self._device_id: str | None = None
        self._examples_per_s: float | None = None
        self._steps_per_s: float | None = None
        self._memory: tuple[int | None, int | None] = (None, None)
        self._measure_memory: Callable[[], tuple[int | None, int | None]] | None = None
        shortest_s = min(1.0, context.settings.heartbeat_s)
        super().__init__("worker-heartbeat", self._write, shortest_s=shortest_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        try:
            with transaction(self._context.sessions) as session:
                device_leases.release(session, self._context.id)
                workers.leave(session, self._context.id)
        except SQLAlchemyError as failure:
            log.warning("worker row not removed; it expires later", reason=str(failure))

    def report(self, *, device: str | None = None) -> None:
        """Update the device (`cpu`, `cuda`) that the next heartbeat shows."""
        self._device = device or self._device

    def report_held(self, device: Device) -> None:
        """Show the device that this worker holds from now on."""
        self._device, self._device_id = device.type, device.id
        self.wake()

    def report_speed(self, *, examples_per_s: float, steps_per_s: float | None) -> None:
        """Update the speed of the current job that the next heartbeat shows."""
        self._examples_per_s, self._steps_per_s = examples_per_s, steps_per_s

    def report_memory(self, used: int | None, total: int | None) -> None:
        """Update the bytes of its device's memory that the next heartbeat shows: those in use, and all."""
        self._memory = (used, total)

    def measure_memory(self, measure: Callable[[], tuple[int | None, int | None]]) -> None:
        """Show what `measure` returns at each heartbeat, in place of reports."""
        self._measure_memory = measure

    @contextmanager
    def working_on(self, job_id: str) -> Iterator[None]:
        """Show a job as the current one within the block, and after it the one that it has interrupted."""
        interrupted, self._job_id = self._job_id, job_id
        self.wake()
        try:
            yield
        finally:
            self._job_id, self._examples_per_s, self._steps_per_s = interrupted, None, None
            self._memory = (None, None)
            self._jobs_done += 1
            self.wake()

    def _write(self) -> float:
        context = self._context
        if self._measure_memory is not None:
            self.report_memory(*self._measure_memory())
        try:
            with transaction(context.sessions) as session:
                workers.record_heartbeat(
                    session,
                    worker_id=context.id,
                    kind=context.kind,
                    host=context.host,
                    pid=context.pid,
                    device=self._device,
                    job_id=self._job_id,
                    jobs_done=self._jobs_done,
                    disk_free_bytes=_disk_free(context),
                    examples_per_s=self._examples_per_s,
                    steps_per_s=self._steps_per_s,
                    memory_bytes=self._memory[0],
                    memory_total_bytes=self._memory[1],
                    labels=",".join(context.settings.worker_labels) or None,
                    machine=context.machine,
                    device_id=self._device_id,
                )
        except SQLAlchemyError as failure:
            log.warning("worker heartbeat not written", reason=str(failure))
        return context.settings.heartbeat_s


def _disk_free(context: WorkerContext) -> int | None:
    try:
        disk = disk_space.fullest(context.settings)
    except OSError:  # reported where a job needs the disk
        return None
    return disk.free if disk else None
