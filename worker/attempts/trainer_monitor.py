"""Monitors one trainer from start to end: stores its reports, applies stop requests, enforces time limits."""

import time
from pathlib import Path

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from shared import disk_space, trainer_protocol
from shared.db.session import is_transient, transaction
from shared.db.tables import TrainingJob
from shared.errors import JobFailure, LeaseLost
from shared.failpoints import failpoint
from shared.job_status import ErrorCode, JobStatus
from shared.services.job_queue import Lease
from shared.storage import StorageUnavailable
from worker.attempts.exit_status import TrainerExit, file_failure, oom_kills
from worker.attempts.lease_heartbeat import LeaseHeartbeat
from worker.attempts.live_reports import LivePoints
from worker.attempts.report_buffer import ReportBuffer
from worker.attempts.trainer_process import TrainerProcess
from worker.attempts.uploads import ArtifactUploader
from worker.checkpoints.manifest import DamagedCheckpoint
from worker.context import WorkerContext
from worker.failures import storage_full
from worker.worker_heartbeat import WorkerHeartbeat

log = structlog.get_logger(__name__)

_POLL_S = 0.1
_WRITE_S, _WRITE_AT_MOST_S = 1.0, 5.0
_RETRY_S = 2.0
_MOST_LOGGED_LINES = 500
_STORAGE_RETRY_LIMIT_S = 60.0


def write_interval_s(lasted_s: float) -> float:
    """Seconds between two writes of reports: a hundredth of the attempt's duration, from 1 to 5."""
    return min(max(_WRITE_S, lasted_s / 100), _WRITE_AT_MOST_S)


class TrainerMonitor:
    """Monitors one trainer. stored_steps: steps whose checkpoints are in storage."""

    def __init__(
        self, context: WorkerContext, job: TrainingJob, lease: Lease, run_dir: Path, worker_heartbeat: WorkerHeartbeat
    ) -> None:
        self._context, self._job, self._lease, self._worker_heartbeat = context, job, lease, worker_heartbeat
        self.report_buffer = ReportBuffer(lease, job.metrics)
        self._live = LivePoints(context.broker, lease.job_id)
        self.uploader = ArtifactUploader(context.storage, lease, run_dir)
        self.stored_steps: set[int] = set()
        self._finished: trainer_protocol.Finished | None = None
        self._failed: trainer_protocol.Failed | None = None
        self._killed_for: JobFailure | None = None
        self._stop_requested_at: float | None = None
        self._overran_stop = False
        self._started_at = self._reported_at = time.monotonic()
        self._write_at = 0.0
        self._has_progress = False
        self._logged_lines = 0

    def run(self, trainer: TrainerProcess, heartbeat: LeaseHeartbeat) -> TrainerExit:
        """Monitor the trainer until it ends.

        Kills it and raises LeaseLost, or JobFailure where its files cannot be stored.
        """
        kills = oom_kills()
        try:
            while not trainer.has_ended():
                self._relay(trainer.lines(_POLL_S), heartbeat)
                self._log_output(trainer)
                self._live.publish_when_due()
                self._request_stop_when_due(trainer, heartbeat)
                self._enforce_time_limits(trainer)
                self._write_when_due(heartbeat)
            self._relay(trainer.drain(), heartbeat)
            self._log_output(trainer)
        finally:
            status = trainer.close()
        failed = status != trainer_protocol.EXIT_FINISHED
        about = {"stderr": trainer.stderr_tail} if failed else {}
        log.info("trainer ended", process="trainer", job_id=self._lease.job_id, status=status, **about)
        return TrainerExit(
            status=status,
            finished=self._finished,
            failed=self._failed,
            killed_for=self._killed_for,
            was_stop_requested=self._stop_requested_at is not None,
            overran_stop=self._overran_stop,
            ran_out_of_memory=oom_kills() > kills,
        )

    def _log_output(self, trainer: TrainerProcess) -> None:
        """Log what the trainer has written to its standard error, up to a limit for each attempt."""
        for line in trainer.error_lines():
            self._logged_lines += 1
            if self._logged_lines <= _MOST_LOGGED_LINES:
                log.info("trainer output", process="trainer", job_id=self._lease.job_id, line=line)
            elif self._logged_lines == _MOST_LOGGED_LINES + 1:
                log.warning("further output of the trainer is not logged", job_id=self._lease.job_id)

    # --- reports ------------------------------------------------------------------------------------------------

    def _relay(self, lines: list[bytes], heartbeat: LeaseHeartbeat) -> None:
        for line in lines:
            if heartbeat.is_obsolete:
                return
            try:
                event = trainer_protocol.EVENT.validate_json(line)
            except ValidationError:
                log.debug("trainer wrote a line outside the protocol", job_id=self._lease.job_id, line=line[:200])
                continue
            self._reported_at = time.monotonic()
            self._take_with_retries(event, heartbeat)

    def _take_with_retries(self, event: trainer_protocol.Event, heartbeat: LeaseHeartbeat) -> None:
        """Process an event, with retries for 60 s while storage is unavailable. The trainer continues meanwhile."""

        def log_retry(state: RetryCallState) -> None:
            reason = str(state.outcome.exception()) if state.outcome else ""
            log.warning("file store unavailable; trying again", job_id=self._lease.job_id, reason=reason)

        is_over = stop_after_delay(_STORAGE_RETRY_LIMIT_S)
        retrying = Retrying(
            retry=retry_if_exception_type(StorageUnavailable),
            stop=lambda state: is_over(state) or self._is_ending(heartbeat),
            wait=wait_fixed(_RETRY_S),
            before_sleep=log_retry,
            reraise=True,
        )
        try:
            retrying(self._take, event, heartbeat)
        except OSError as error:
            raise file_failure(error, "The trainer's files cannot be stored") from error

    def _is_ending(self, heartbeat: LeaseHeartbeat) -> bool:
        return heartbeat.is_obsolete or self._is_to_stop(heartbeat)

    def _take(self, event: trainer_protocol.Event, heartbeat: LeaseHeartbeat) -> None:
        match event:
            case trainer_protocol.Started():
                self._take_start(event)
            case trainer_protocol.Progress():
                self._take_progress(event)
            case trainer_protocol.Metrics():
                self.report_buffer.metrics(event)
                self._live.add(event)
            case trainer_protocol.Notice():
                self.report_buffer.notice(event)
            case trainer_protocol.SampleWritten() | trainer_protocol.EventFileWritten():
                self.report_buffer.file(self.uploader.file(event))
            case trainer_protocol.CheckpointWritten():
                self._take_checkpoint(event)
                self._write(heartbeat)
                self._require_space()
            case trainer_protocol.Finished():
                self._finished = event
            case trainer_protocol.Failed():
                self._failed = event
            case trainer_protocol.Stopped():
                pass  # the exit status has the same information

    def _take_start(self, event: trainer_protocol.Started) -> None:
        self.report_buffer.started(event)
        job_id = self._lease.job_id
        log.info("trainer started", process="trainer", job_id=job_id, device=event.device, step=event.step)
        if self._job.spec.get("device") != "cpu":  # such a job does not show which device the worker has
            self._worker_heartbeat.report(device=event.device)

    def _take_progress(self, event: trainer_protocol.Progress) -> None:
        self.report_buffer.progress(event)
        self._worker_heartbeat.report_speed(examples_per_s=event.examples_per_s, steps_per_s=event.steps_per_s)
        self._worker_heartbeat.report_memory(event.memory_bytes, event.memory_total_bytes)
        if not self._has_progress:  # the first step is written without delay
            self._has_progress, self._write_at = True, 0.0

    def _take_checkpoint(self, event: trainer_protocol.CheckpointWritten) -> None:
        try:
            self.report_buffer.checkpoint(self.uploader.checkpoint(event))
        except DamagedCheckpoint as error:
            # The trainer may have pruned it during a slow upload; a newer one follows.
            log.warning("checkpoint not stored", job_id=self._lease.job_id, step=event.step, reason=error.detail)
        else:
            self.stored_steps.add(event.step)
            log.info("checkpoint stored", job_id=self._lease.job_id, step=event.step)

    def _require_space(self) -> None:
        """Fail the job before the disk is full, so that the database and other jobs can still write.

        It may use half of the space that a start requires.
        """
        if problem := disk_space.shortage(self._context.settings, share=0.5):
            failure = storage_full()
            raise JobFailure(failure.error_code, problem, failure.hint)

    # --- stop requests and time limits --------------------------------------------------------------------------

    def _request_stop_when_due(self, trainer: TrainerProcess, heartbeat: LeaseHeartbeat) -> None:
        if heartbeat.is_lost:
            raise LeaseLost
        now = time.monotonic()
        if self._is_to_stop(heartbeat) and self._stop_requested_at is None:
            self._stop_requested_at = now
            trainer.request_stop()
        grace_s = self._context.settings.stop_grace_s
        if self._stop_requested_at is not None and now - self._stop_requested_at > grace_s and not self._overran_stop:
            self._overran_stop = True
            trainer.kill()
            message = f"The trainer did not stop within {grace_s:g} s and was killed; its last checkpoint is used."
            self.report_buffer.notice(trainer_protocol.Notice(code="stop_overrun", message=message))

    def _is_to_stop(self, heartbeat: LeaseHeartbeat) -> bool:
        is_requested = heartbeat.status is JobStatus.PAUSING or heartbeat.is_preempted
        return is_requested or self._context.stopping.is_set()

    def _enforce_time_limits(self, trainer: TrainerProcess) -> None:
        if self._killed_for is not None:
            return
        now = time.monotonic()
        silence_s = self._context.settings.stall_timeout_s
        if now - self._started_at > self._job.timeout_s:
            message = f"The attempt took longer than timeout_s = {self._job.timeout_s} s."
            hint = "Raise timeout_s, or train for fewer epochs."
            self._killed_for = JobFailure(ErrorCode.TIMEOUT, message, hint)
        elif now - self._reported_at > silence_s:
            message = f"The trainer reported nothing for {silence_s:g} s and was killed."
            self._killed_for = JobFailure(ErrorCode.INTERNAL, message, "See the worker's log.")
        if self._killed_for is not None:
            trainer.kill()

    # --- writing ------------------------------------------------------------------------------------------------

    def _write_when_due(self, heartbeat: LeaseHeartbeat) -> None:
        if self.report_buffer.has_pending and time.monotonic() >= self._write_at:
            self._write(heartbeat)

    def _write(self, heartbeat: LeaseHeartbeat) -> None:
        """Write the buffered reports. While the database is unavailable they stay in the buffer."""
        try:
            with transaction(self._context.sessions) as session:
                fenced = self.report_buffer.write(session)
                failpoint("upload.written")
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            log.warning("reports not written; they stay in the buffer", job_id=self._lease.job_id, reason=str(error))
            self._write_at = time.monotonic() + _RETRY_S
            return
        failpoint("upload.committed")
        now = time.monotonic()
        self._write_at = now + write_interval_s(now - self._started_at)
        self._live.stored()
        heartbeat.renewed(fenced)
        for key in self.report_buffer.written():
            self.uploader.discard(key)
            failpoint("upload.pruned")
