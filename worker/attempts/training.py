"""One attempt at a training job: prepares its workdir, monitors its trainer, and records how the attempt ended.

Durable writes have a fixed order: files into storage, then their rows; rows deleted, then their files. A crash between
any two of them loses only work that the next attempt repeats. Every row is written under the lease.
"""

from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from shared.db.session import reading
from shared.db.tables import Checkpoint, Model, TrainingJob
from shared.disk_space import is_full
from shared.errors import JobFailure, LeaseLost, MimeoError, OutOfMemory
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.job_status import ErrorCode, JobStatus
from shared.services import attempt_writes, checkpoints, job_queue, memory_shortage
from shared.services.job_queue import FencedSession, Lease
from shared.trainer_protocol import CheckpointWritten, Finished
from worker import neighbours
from worker.attempts import workdir
from worker.attempts.commit import finish
from worker.attempts.exit_status import Stopped, classify, file_failure
from worker.attempts.fork_server import ForkServer
from worker.attempts.lease_heartbeat import LeaseHeartbeat
from worker.attempts.report_buffer import ReportBuffer
from worker.attempts.trainer_monitor import TrainerMonitor
from worker.attempts.trainer_process import TrainerProcess, trainer_environment
from worker.checkpoints.manifest import TRAINING, WEIGHTS
from worker.context import WorkerContext
from worker.devices import Device
from worker.failures import storage_full
from worker.worker_heartbeat import WorkerHeartbeat

log = structlog.get_logger(__name__)


def run_attempt(
    context: WorkerContext,
    job: TrainingJob,
    worker_heartbeat: WorkerHeartbeat,
    fork_server: ForkServer | None = None,
    device: Device | None = None,
) -> None:
    """Run a claimed job to the end of this attempt. Failures of the job are recorded, not raised.

    fork_server: starts the trainer where it can; otherwise the trainer is a new program. device: that the trainer
    computes on; None is the first one.
    """
    lease = job_queue.lease_of(job)
    attempt = _Attempt(context, job, lease, worker_heartbeat, fork_server=fork_server, device=device)
    try:
        with workdir.scratch(context, lease) as folder:
            attempt.run(folder)
    except LeaseLost:
        log.warning("lease lost: another worker holds the job, or it has ended", job_id=job.id, attempt=lease.attempt)
    except JobFailure as failure:
        attempt.fail(failure)
    except OSError as error:
        attempt.fail(file_failure(error, "A file operation on the worker's disk failed"))
    except Exception as error:
        log.exception("attempt failed with an unexpected error", job_id=job.id, attempt=lease.attempt)
        if is_full(error):
            attempt.fail(storage_full())
            return
        message = "An unexpected error occurred in the worker."
        attempt.fail(JobFailure(ErrorCode.INTERNAL, message, "See the worker's log."))


def environment_now(context: WorkerContext, device: Device | None = None) -> dict[str, str]:
    """The variables of a trainer that starts now on a device."""
    with reading(context.sessions) as session:
        is_alone = neighbours.is_alone(context, session)
    return trainer_environment(context.settings, is_alone=is_alone, device=device)


class _Attempt:
    """One attempt at one job."""

    def __init__(
        self,
        context: WorkerContext,
        job: TrainingJob,
        lease: Lease,
        worker_heartbeat: WorkerHeartbeat,
        *,
        fork_server: ForkServer | None,
        device: Device | None,
    ) -> None:
        self._context, self._job, self._lease, self._worker_heartbeat = context, job, lease, worker_heartbeat
        self._fork_server, self._device = fork_server, device

    def run(self, folder: Path) -> None:
        """Prepare, monitor and end the attempt. Raises LeaseLost, JobFailure, OSError."""
        trainer: TrainerProcess | None = None

        def on_change(heartbeat: LeaseHeartbeat) -> None:
            # The only place that kills an obsolete trainer. The monitor may be blocked by slow storage at this moment.
            if trainer is not None and heartbeat.is_obsolete:
                trainer.kill()

        monitor = TrainerMonitor(self._context, self._job, self._lease, folder, self._worker_heartbeat)
        with LeaseHeartbeat(self._context.sessions, self._lease, self._context.settings, on_change) as heartbeat:
            spec = workdir.prepare(self._context, self._job, self._lease, folder)
            failpoint("attempt.prepared")
            trainer = self._start_trainer(spec, folder, lambda: heartbeat.is_obsolete)
            on_change(heartbeat)  # the status may have changed before there was a trainer
            failpoint("attempt.started")
            outcome = classify(monitor.run(trainer, heartbeat))
            match outcome:
                case Finished():
                    self._publish(outcome, monitor, folder)
                case Stopped():
                    self._end(monitor, job_queue.release)
                case JobFailure():
                    if outcome.error_code is ErrorCode.STORAGE_FULL:
                        workdir.clear(folder)  # the database needs the space
                    self._end(monitor, lambda fenced: self._failed(fenced, outcome))

    def _start_trainer(self, spec: Path, folder: Path, is_over: Callable[[], bool]) -> TrainerProcess:
        environment = environment_now(self._context, self._device)
        if self._fork_server is not None:
            trainer = self._fork_server.start_trainer(spec, folder, environment, is_over)
            if trainer is not None:
                return trainer
        return TrainerProcess.start(
            [*self._context.trainer, str(spec), str(folder), "--supervised"], environment, folder
        )

    def fail(self, failure: JobFailure) -> None:
        """End the attempt with a failure, unless the lease is lost or the job has ended."""
        log.warning("attempt failed", job_id=self._job.id, code=failure.error_code.value, reason=failure.detail)
        try:
            finish(
                self._context,
                self._job.id,
                lambda session: self._failed(job_queue.renew_lease(session, self._lease), failure),
            )
        except MimeoError as error:
            reason = error.detail
            log.warning("attempt not ended: the lease is lost or the job has ended", job_id=self._job.id, reason=reason)

    def _failed(self, fenced: FencedSession, failure: JobFailure) -> JobStatus:
        if isinstance(failure, OutOfMemory):
            return memory_shortage.finish_out_of_memory(fenced, failure, self._context.settings)
        return job_queue.finish_failed(fenced, failure, self._context.settings)

    def _end(self, monitor: TrainerMonitor, end: Callable[[FencedSession], JobStatus]) -> None:
        """Write all buffered reports and end the attempt, in one transaction."""
        finish(self._context, self._job.id, lambda session: end(monitor.report_buffer.write(session)))
        for key in monitor.report_buffer.written():
            monitor.uploader.discard(key)

    def _publish(self, finished: Finished, monitor: TrainerMonitor, folder: Path) -> None:
        """Write the model's row and the job's success in one transaction.

        Of the checkpoints the published weights remain. The rest served to continue the run.
        """
        weights_size = (folder / finished.checkpoint / WEIGHTS).stat().st_size
        step = int(Path(finished.checkpoint).name)
        if step not in monitor.stored_steps and not self._has_row(step):
            event = CheckpointWritten(
                epoch=finished.epoch, step=step, path=finished.checkpoint, sha256="", size=0, is_best=True
            )
            monitor.report_buffer.checkpoint(monitor.uploader.checkpoint(event))

        def end(fenced: FencedSession) -> JobStatus:
            if fenced.status is not JobStatus.CANCELLING:
                model = self._model(fenced.session, finished, step, monitor.report_buffer)
                attempt_writes.add_model(fenced, model)
                checkpoints.keep_weights(
                    fenced.session,
                    job_id=self._job.id,
                    published=model.checkpoint_id,
                    size=weights_size,
                    rest=(TRAINING,),
                )
                failpoint("publish.written")
            return job_queue.finish_succeeded(fenced)

        self._end(monitor, end)

    def _has_row(self, step: int) -> bool:
        with reading(self._context.sessions) as session:
            return session.scalars(self._row_at(step)).one_or_none() is not None

    def _row_at(self, step: int) -> Select[Checkpoint]:
        return select(Checkpoint).where(Checkpoint.job_id == self._job.id, Checkpoint.step == step)

    def _model(self, session: Session, finished: Finished, step: int, report_buffer: ReportBuffer) -> Model:
        job = self._job
        return Model(
            id=new_id("mdl"),
            job_id=job.id,
            checkpoint_id=session.scalars(self._row_at(step)).one().id,
            model_type=job.model_type,
            dataset=job.spec["dataset"],
            name=job.name,
            hyperparameters=job.spec["hyperparameters"],
            quality=attempt_writes.storable(finished.quality),
            versions=report_buffer.versions,
            device=report_buffer.device,
        )
