"""One attempt at a generation job, inside this process, which keeps models in memory."""

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from shared import exports
from shared.atomic_files import sha256_of
from shared.db.session import read_connection
from shared.db.tables import GenerationJob
from shared.errors import JobFailure, LeaseLost, MimeoError, NotFound, SpecError
from shared.failpoints import failpoint
from shared.job_status import ErrorCode, JobStatus
from shared.services import attempt_writes, checkpoints, job_queue
from shared.services.attempt_writes import StoredFile
from shared.services.job_queue import FencedSession, Lease
from shared.storage import StorageUnavailable
from worker.attempts.commit import finish
from worker.attempts.exit_status import storage_unavailable
from worker.attempts.lease_heartbeat import LeaseHeartbeat
from worker.attempts.workdir import scratch
from worker.checkpoints.manifest import CheckpointRef
from worker.context import WorkerContext
from worker.failures import as_failure
from worker.generation.output import Engine, GenerationOutput, OutputFile

log = structlog.get_logger(__name__)

_CANCEL_GRACE_S = 2.0
_POLL_S = 0.25
_EXIT_STOPPED = 0
_EXIT_OVERRUN = 75


def sample(context: WorkerContext, job: GenerationJob, engine: Engine) -> None:
    """Run a claimed job to the end of this attempt. Failures of the job are recorded, not raised."""
    lease = job_queue.lease_of(job)
    limit = GenerationTimeout(context, job, lease)
    try:
        with scratch(context, lease) as folder:
            with limit:
                output = _generate(context, job, engine, folder)
                files = [_store(context, lease, file) for file in output.files]
            finish(context, job.id, lambda session: _succeed(session, lease, output, files))
    except LeaseLost:
        log.warning("lease lost: another worker holds the job, or it has ended", job_id=job.id, attempt=lease.attempt)
    except Exception as error:
        failure = _failure_of(error)
        if failure.error_code is ErrorCode.INTERNAL:
            log.exception("generation failed", job_id=job.id, attempt=lease.attempt)
        _fail(context, lease, failure)


class GenerationTimeout:
    """Ends this process when its generation takes too long or has been cancelled.

    Only the end of the process stops a computation inside it. The job's row is written first; the supervisor of the
    worker restarts it. The lease is first renewed after `_POLL_S`, by when most generations have ended.
    """

    def __init__(self, context: WorkerContext, job: GenerationJob, lease: Lease) -> None:
        self._context, self._job, self._lease = context, job, lease
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._fail_at = time.monotonic() + job.timeout_s

    def __enter__(self) -> "GenerationTimeout":
        threading.Thread(target=self._watch, name="limit", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:  # a timeout that is being handled completes first
            self._over.set()

    def _on_change(self, heartbeat: LeaseHeartbeat) -> None:
        """An obsolete generation may end by itself within `_CANCEL_GRACE_S`."""
        if heartbeat.is_obsolete:
            self._fail_at = min(self._fail_at, time.monotonic() + _CANCEL_GRACE_S)

    def _watch(self) -> None:
        if not self._over.wait(_POLL_S):
            with LeaseHeartbeat(self._context.sessions, self._lease, self._context.settings, self._on_change):
                self._enforce()

    def _enforce(self) -> None:
        leave_at = math.inf
        while not self._over.is_set():
            now = time.monotonic()
            if self._context.stopping.is_set() and leave_at == math.inf:
                leave_at = now + self._context.settings.stop_grace_s
            if now > self._fail_at:
                self._end(self._fail, _EXIT_OVERRUN)
            elif now > leave_at:
                self._end(self._give_back, _EXIT_STOPPED)
            self._over.wait(_POLL_S)

    def _end(self, settle: Callable[[], None], status: int) -> None:
        with self._lock:
            if not self._over.is_set():
                try:
                    settle()
                    log.warning("ending this worker to end its generation", job_id=self._job.id)
                finally:  # the reaper ends an attempt that could not be ended here
                    os._exit(status)

    def _fail(self) -> None:
        message = f"The generation took longer than timeout_s = {self._job.timeout_s} s."
        failure = JobFailure(ErrorCode.TIMEOUT, message, "Raise timeout_s, or request fewer samples at once.")
        _fail(self._context, self._lease, failure)

    def _give_back(self) -> None:
        """Release the job of a stopping worker. A generation has no checkpoint: another worker starts it again."""
        _settle(self._context, self._lease, job_queue.release)


def _generate(context: WorkerContext, job: GenerationJob, engine: Engine, folder: Path) -> GenerationOutput:
    def generate(reference: CheckpointRef) -> GenerationOutput:
        if job.spec["format"] == exports.ONNX:
            return engine.export_graphs(reference, folder)
        return engine.generate(reference, job.spec["sampling"], job.seed, job.spec["format"], folder)

    reference = _reference(context, job)
    try:
        return generate(reference)
    except NotFound:
        # A resumed training that wrote the same checkpoint again may have moved it in the meantime.
        moved = _reference(context, job)
        if moved == reference:
            raise
        return generate(moved)


def _reference(context: WorkerContext, job: GenerationJob) -> CheckpointRef:
    checkpoint_id = job.spec["checkpoint_id"]
    with read_connection(context.sessions) as connection:
        place = checkpoints.place(connection, checkpoint_id)
    if place is None:
        raise NotFound("The checkpoint no longer exists.")
    storage_key, sha256 = place
    return CheckpointRef(id=checkpoint_id, storage_key=storage_key, sha256=sha256, model_type=job.model_type)


def _store(context: WorkerContext, lease: Lease, file: OutputFile) -> StoredFile:
    key = f"jobs/{lease.job_id}/output-{lease.fencing_token}-{file.name}"
    stored = StoredFile(
        kind="output",
        name=file.name,
        media_type=file.media_type,
        storage_key=key,
        sha256=sha256_of(file.path),
        size=file.path.stat().st_size,
        details=file.details,
    )
    context.storage.put_file(file.path, key)
    failpoint("generate.stored")
    return stored


def _succeed(session: Session, lease: Lease, output: GenerationOutput, files: list[StoredFile]) -> JobStatus:
    fenced = job_queue.renew_lease(session, lease)
    if fenced.status is not JobStatus.CANCELLING:
        attempt_writes.add_artifacts(fenced, files)
    failpoint("generate.written")
    return job_queue.finish_succeeded(fenced, output=attempt_writes.storable(output.output))


def _fail(context: WorkerContext, lease: Lease, failure: JobFailure) -> None:
    _settle(context, lease, lambda fenced: job_queue.finish_failed(fenced, failure, context.settings))


def _settle(context: WorkerContext, lease: Lease, end: Callable[[FencedSession], JobStatus]) -> None:
    """End the attempt, unless the lease is lost or the job has ended."""
    try:
        finish(context, lease.job_id, lambda session: end(job_queue.renew_lease(session, lease)))
    except MimeoError as error:
        log.warning(
            "attempt not ended: the lease is lost or the job has ended", job_id=lease.job_id, reason=error.detail
        )


def _failure_of(error: Exception) -> JobFailure:
    if isinstance(error, SpecError | NotFound):
        return JobFailure(ErrorCode.INVALID_DATA, error.detail)
    if isinstance(error, StorageUnavailable):
        return storage_unavailable(error)
    return as_failure(error)
