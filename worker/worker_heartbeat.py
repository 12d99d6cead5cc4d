"""A worker's own sign of life, for `/v1/workers`: who it is and what it is doing. No job depends on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import transaction
from shared.services import workers
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

_NVIDIA = Path("/dev/nvidiactl")


class WorkerHeartbeat:
    """Writes the worker's row every `heartbeat_s` in a thread of its own, and whenever the job changes."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._job_id: str | None = None
        self._jobs_done = 0
        self.device = "cuda" if _NVIDIA.exists() else "cpu"
        self.examples_per_s: float | None = None
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def __enter__(self) -> "WorkerHeartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._changed.set()
        self._thread.join(timeout=5)
        try:
            with transaction(self._context.sessions) as session:
                workers.leave(session, self._context.id)
        except SQLAlchemyError as failure:
            log.warning("worker not signed off; its row goes stale", reason=str(failure))

    @contextmanager
    def working_on(self, job_id: str) -> Iterator[None]:
        """Show a job as the current one within the block."""
        self._job_id = job_id
        self._changed.set()
        try:
            yield
        finally:
            self._job_id, self.examples_per_s = None, None
            self._jobs_done += 1
            self._changed.set()

    def _run(self) -> None:
        settings = self._context.settings
        while not self._ending.is_set():
            self._changed.clear()
            self._write()
            # A change shows within a second; a burst of short jobs is still one write a second.
            if not self._ending.wait(min(1.0, settings.heartbeat_s)):
                self._changed.wait(max(0.0, settings.heartbeat_s - 1.0))

    def _write(self) -> None:
        context = self._context
        try:
            with transaction(context.sessions) as session:
                workers.record_heartbeat(
                    session,
                    worker_id=context.id,
                    kind=context.kind,
                    host=context.host,
                    pid=context.pid,
                    device=self.device,
                    job_id=self._job_id,
                    jobs_done=self._jobs_done,
                    examples_per_s=self.examples_per_s,
                )
        except SQLAlchemyError as failure:
            log.warning("worker's sign of life not written", reason=str(failure))
