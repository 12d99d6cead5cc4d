"""Watching one trainer from its start to its end: relays reports, obeys the user, enforces the clocks."""

import time
from pathlib import Path

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from shared import events
from shared.crash_points import reach
from shared.db.models import TrainingJob
from shared.db.session import is_away, transaction
from shared.errors import JobFailure, LeaseLost
from shared.job_status import ErrorCode, JobStatus
from shared.services.job_queue import Lease
from shared.storage import StoreAway
from worker.beat import Beat
from worker.context import WorkerContext
from worker.supervision import memory
from worker.supervision.child import Child
from worker.supervision.heart import Heart
from worker.supervision.intake import Intake
from worker.supervision.manifest import DamagedCheckpoint
from worker.supervision.outcome import Ending, of_files
from worker.supervision.recorder import Recorder

log = structlog.get_logger(__name__)

_POLL_S = 0.2
_WRITE_S, _WRITE_AT_MOST_S = 1.0, 5.0
_AWAY_S = 2.0
_STORE_PATIENCE_S = 60.0


def rest_s(lasted_s: float) -> float:
    """Seconds between two writes of what was reported: a hundredth of the attempt so far, never long to a reader."""
    return min(max(_WRITE_S, lasted_s / 100), _WRITE_AT_MOST_S)


class Watch:
    """One trainer, watched. stored_steps: steps whose checkpoints are safe in storage."""

    def __init__(self, context: WorkerContext, job: TrainingJob, lease: Lease, run_dir: Path, beat: Beat) -> None:
        self._context, self._job, self._lease, self._beat = context, job, lease, beat
        self.recorder = Recorder(lease, job.metrics)
        self.intake = Intake(context.storage, lease, run_dir)
        self.stored_steps: set[int] = set()
        self._finished: events.Finished | None = None
        self._failed: events.Failed | None = None
        self._killed_for: JobFailure | None = None
        self._asked_at: float | None = None
        self._overran_stop = False
        self._started_at = self._heard_at = time.monotonic()
        self._write_at = 0.0

    def run(self, child: Child, heart: Heart) -> Ending:
        """Watch until the trainer is gone. Raises LeaseLost, JobFailure (its files cannot be kept); kills it then."""
        kills = memory.oom_kills()
        try:
            while not child.has_ended():
                self._relay(child.lines(_POLL_S), heart)
                self._obey(child, heart)
                self._enforce_clocks(child)
                self._write_when_due(heart)
            self._relay(child.drain(), heart)
        finally:
            status = child.close()
        if status != events.EXIT_FINISHED:
            log.info("trainer ended", job_id=self._lease.job_id, status=status, stderr=child.stderr_tail)
        return Ending(
            status=status,
            finished=self._finished,
            failed=self._failed,
            killed_for=self._killed_for,
            was_asked_to_stop=self._asked_at is not None,
            overran_stop=self._overran_stop,
            ran_out_of_memory=memory.oom_kills() > kills,
        )

    # --- relaying -----------------------------------------------------------------------------------------------

    def _relay(self, lines: list[bytes], heart: Heart) -> None:
        for line in lines:
            if heart.lost or heart.status is JobStatus.CANCELLING:
                return
            try:
                event = events.EVENT.validate_json(line)
            except ValidationError:
                log.debug("trainer said something else", job_id=self._lease.job_id, line=line[:200])
                continue
            self._heard_at = time.monotonic()
            self._take_patiently(event, heart)

    def _take_patiently(self, event: events.Event, heart: Heart) -> None:
        """Take an event in. A store that is away for a moment costs no attempt: the trainer trains on meanwhile."""
        give_up_at = time.monotonic() + _STORE_PATIENCE_S
        while True:
            try:
                self._take(event, heart)
            except OSError as error:
                is_over = heart.lost or heart.status is JobStatus.CANCELLING or self._is_to_stop(heart)
                if is_over or not isinstance(error, StoreAway) or time.monotonic() >= give_up_at:
                    raise of_files(error, "The trainer's files cannot be kept") from error
                log.warning("file store away; waiting for it", job_id=self._lease.job_id, reason=str(error))
                time.sleep(_AWAY_S)
            else:
                return

    def _take(self, event: events.Event, heart: Heart) -> None:
        match event:
            case events.Started():
                self.recorder.started(event)
                self._beat.device = event.device
            case events.Progress():
                self.recorder.progress(event)
                self._beat.examples_per_s = event.examples_per_s
            case events.Metrics():
                self.recorder.metrics(event)
            case events.Health():
                self.recorder.health(event)
            case events.SampleWritten() | events.EventFileWritten():
                self.recorder.file(self.intake.file(event))
            case events.CheckpointWritten():
                self._take_checkpoint(event)
                self._write(heart)
            case events.Finished():
                self._finished = event
            case events.Failed():
                self._failed = event
            case events.Stopped():
                pass  # its exit status says the same

    def _take_checkpoint(self, event: events.CheckpointWritten) -> None:
        try:
            self.recorder.checkpoint(self.intake.checkpoint(event))
        except DamagedCheckpoint as error:
            # The trainer may have pruned it while the store was slow. A newer one is on its way.
            log.warning("checkpoint not taken in", job_id=self._lease.job_id, step=event.step, reason=error.detail)
        else:
            self.stored_steps.add(event.step)

    # --- obeying ------------------------------------------------------------------------------------------------

    def _obey(self, child: Child, heart: Heart) -> None:
        if heart.lost:
            raise LeaseLost
        if heart.status is JobStatus.CANCELLING:
            child.kill()
        now = time.monotonic()
        if self._is_to_stop(heart) and self._asked_at is None:
            self._asked_at = now
            child.ask_to_stop()
        grace_s = self._context.settings.stop_grace_s
        if self._asked_at is not None and now - self._asked_at > grace_s and not self._overran_stop:
            self._overran_stop = True
            child.kill()
            message = f"The trainer did not stop within {grace_s:g} s and was killed; its last checkpoint counts."
            self.recorder.health(events.Health(code="stop_overrun", message=message))

    def _is_to_stop(self, heart: Heart) -> bool:
        return heart.status is JobStatus.PAUSING or self._context.stopping.is_set()

    def _enforce_clocks(self, child: Child) -> None:
        if self._killed_for is not None:
            return
        now = time.monotonic()
        silence_s = self._context.settings.stall_timeout_s
        if now - self._started_at > self._job.timeout_s:
            message = f"The attempt took longer than timeout_s = {self._job.timeout_s} s."
            hint = "Raise timeout_s, or train for fewer epochs."
            self._killed_for = JobFailure(ErrorCode.TIMEOUT, message, hint)
        elif now - self._heard_at > silence_s:
            message = f"The trainer reported nothing for {silence_s:g} s and was killed."
            self._killed_for = JobFailure(ErrorCode.INTERNAL, message, "See the worker's log.")
        if self._killed_for is not None:
            child.kill()

    # --- writing ------------------------------------------------------------------------------------------------

    def _write_when_due(self, heart: Heart) -> None:
        if self.recorder.has_news and time.monotonic() >= self._write_at:
            self._write(heart)

    def _write(self, heart: Heart) -> None:
        """Write what is gathered, unless the database is away: then it is kept for later."""
        try:
            with transaction(self._context.sessions) as session:
                hold = self.recorder.write(session)
                reach("ingest.written")
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            log.warning("reports not written; keeping them", job_id=self._lease.job_id, reason=str(error))
            self._write_at = time.monotonic() + _AWAY_S
            return
        reach("ingest.committed")
        now = time.monotonic()
        self._write_at = now + rest_s(now - self._started_at)
        heart.renewed(hold.status)
        for key in self.recorder.written():
            self.intake.discard(key)
            reach("ingest.pruned")
