"""One attempt at a training job: prepares its folder, has its trainer watched, and decides how the attempt ended.

Durable writes happen in this order, and a death between any two of them loses no more than the next attempt repeats:
files into storage, then their rows; rows deleted, then their files. Every row is written under the lease.
"""

from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from shared.crash_points import reach
from shared.db.models import Checkpoint, Model, TrainingJob
from shared.db.session import reading
from shared.errors import JobFailure, LeaseLost, MimeoError
from shared.events import CheckpointWritten, Finished
from shared.ids import new_id
from shared.job_status import ErrorCode, JobStatus
from shared.services import job_queue, records
from shared.services.job_queue import Hold, Lease
from worker.beat import Beat
from worker.context import WorkerContext
from worker.supervision import run_folder
from worker.supervision.child import Child, trainer_environment
from worker.supervision.finishing import finish
from worker.supervision.heart import Heart
from worker.supervision.outcome import Stopped, judge, of_files
from worker.supervision.recorder import Recorder
from worker.supervision.watch import Watch

log = structlog.get_logger(__name__)


def supervise(context: WorkerContext, job: TrainingJob, beat: Beat) -> None:
    """See a claimed job through to the end of this attempt. Never raises for anything that happens to the job."""
    lease = job_queue.lease_of(job)
    attempt = _Attempt(context, job, lease, beat)
    try:
        with run_folder.scratch(context, lease) as folder:
            attempt.run(folder)
    except LeaseLost:
        log.warning("lease lost; the job is another worker's, or ended", job_id=job.id, attempt=lease.attempt)
    except JobFailure as failure:
        attempt.fail(failure)
    except OSError as error:
        attempt.fail(of_files(error, "The worker's disk failed it"))
    except Exception:
        log.exception("supervisor failed", job_id=job.id, attempt=lease.attempt)
        message = "The worker met an error that it did not expect."
        attempt.fail(JobFailure(ErrorCode.INTERNAL, message, "See the worker's log."))


class _Attempt:
    """One attempt at one job."""

    def __init__(self, context: WorkerContext, job: TrainingJob, lease: Lease, beat: Beat) -> None:
        self._context, self._job, self._lease, self._beat = context, job, lease, beat

    def run(self, folder: Path) -> None:
        """Prepare, watch, and end the attempt. Raises LeaseLost, JobFailure, OSError."""
        child: Child | None = None

        def on_change(heart: Heart) -> None:
            # At once, from the heart's own thread: whatever the watch is busy with, nobody wants this trainer any more.
            if child is not None and (heart.lost or heart.status is JobStatus.CANCELLING):
                child.kill()

        watch = Watch(self._context, self._job, self._lease, folder, self._beat)
        with Heart(self._context.sessions, self._lease, self._context.settings, on_change) as heart:
            spec = run_folder.prepare(self._context, self._job, self._lease, folder)
            reach("attempt.prepared")
            command = [*self._context.trainer, str(spec), str(folder), "--supervised"]
            child = Child(command, trainer_environment(self._context.settings), folder)
            reach("attempt.started")
            outcome = judge(watch.run(child, heart))
            match outcome:
                case Finished():
                    self._publish(outcome, watch)
                case Stopped():
                    self._end(watch, job_queue.release)
                case JobFailure():
                    self._end(watch, lambda hold: self._failed(hold, outcome))

    def fail(self, failure: JobFailure) -> None:
        """End the attempt badly; what else happens to the job meanwhile is somebody else's decision."""
        log.warning("attempt failed", job_id=self._job.id, code=failure.error_code.value, reason=failure.detail)
        try:
            finish(
                self._context,
                self._job.id,
                lambda session: self._failed(job_queue.hold(session, self._lease), failure),
            )
        except MimeoError as error:
            log.warning("the job is not ours to end", job_id=self._job.id, reason=error.detail)

    def _failed(self, hold: Hold, failure: JobFailure) -> JobStatus:
        return job_queue.finish_failed(hold, failure, self._context.settings)

    def _end(self, watch: Watch, end: Callable[[Hold], JobStatus]) -> None:
        """Write what is left to write and end the attempt, in one transaction."""
        finish(self._context, self._job.id, lambda session: end(watch.recorder.write(session)))
        for key in watch.recorder.written():
            watch.intake.discard(key)

    def _publish(self, finished: Finished, watch: Watch) -> None:
        """The model's row and the job's success appear together, or neither does."""
        step = int(Path(finished.checkpoint).name)
        if step not in watch.stored_steps and not self._has_row(step):
            event = CheckpointWritten(
                epoch=finished.epoch, step=step, path=finished.checkpoint, sha256="", size=0, is_best=True
            )
            watch.recorder.checkpoint(watch.intake.checkpoint(event))

        def end(hold: Hold) -> JobStatus:
            if hold.status is not JobStatus.CANCELLING:
                records.add_model(hold, self._model(hold.session, finished, step, watch.recorder))
                reach("publish.written")
            return job_queue.finish_succeeded(hold)

        self._end(watch, end)

    def _has_row(self, step: int) -> bool:
        with reading(self._context.sessions) as session:
            return session.scalars(self._row_at(step)).one_or_none() is not None

    def _row_at(self, step: int) -> Select[Checkpoint]:
        return select(Checkpoint).where(Checkpoint.job_id == self._job.id, Checkpoint.step == step)

    def _model(self, session: Session, finished: Finished, step: int, recorder: Recorder) -> Model:
        job = self._job
        return Model(
            id=new_id("mdl"),
            job_id=job.id,
            checkpoint_id=session.scalars(self._row_at(step)).one().id,
            model_type=job.model_type,
            dataset=job.spec["dataset"],
            name=job.name,
            hyperparameters=job.spec["hyperparameters"],
            quality=records.storable(finished.quality),
            versions=recorder.versions,
            device=recorder.device,
        )
