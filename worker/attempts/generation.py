"""One attempt at a generation job, inside this process, which keeps models in memory."""

from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from shared import exports
from shared.atomic_files import sha256_of
from shared.db.session import read_connection, reading
from shared.db.tables import GenerationJob
from shared.disk_space import is_full
from shared.errors import JobFailure, LeaseLost, NotFound, SpecError
from shared.failpoints import failpoint
from shared.job_status import ErrorCode, JobStatus
from shared.services import attempt_writes, checkpoints, datasets, job_queue
from shared.services.attempt_writes import StoredFile
from shared.services.job_queue import Lease
from shared.storage import StorageUnavailable
from worker.attempts.commit import finish, settle
from worker.attempts.exit_status import storage_unavailable
from worker.attempts.open_generations import GenerationEnded, OpenGenerations, RunUrgent
from worker.attempts.workdir import scratch
from worker.blocks import BetweenBlocks
from worker.checkpoints.manifest import CheckpointRef, UploadRef
from worker.context import WorkerContext
from worker.failures import as_failure, storage_full
from worker.generation.output import Engine, GenerationOutput, OutputFile

log = structlog.get_logger(__name__)


def sample(
    context: WorkerContext,
    job: GenerationJob,
    engine: Engine,
    open_generations: OpenGenerations,
    run_urgent: RunUrgent,
) -> None:
    """Run a claimed job to the end of this attempt. Failures of the job are recorded, not raised.

    run_urgent: called between blocks when a more urgent job is due; it may call this function.
    """
    lease = job_queue.lease_of(job)
    generation = open_generations.make(job, run_urgent)
    try:
        with scratch(context, lease) as folder:
            with open_generations.opened(generation):
                output = _generate(context, job, engine, folder, generation.between_blocks)
                files = []
                for file in output.files:
                    generation.between_blocks()
                    files.append(_store(context, lease, file))
            finish(context, job.id, lambda session: _succeed(session, lease, output, files))
    except GenerationEnded as ended:
        generation.settle(ended.reason)
    except LeaseLost:
        log.warning("lease lost: another worker holds the job, or it has ended", job_id=job.id, attempt=lease.attempt)
    except Exception as error:
        failure = _failure_of(error)
        if failure.error_code in {ErrorCode.INTERNAL, ErrorCode.DEFECT}:
            log.exception("generation failed", job_id=job.id, attempt=lease.attempt)
        _fail(context, lease, failure)


def _generate(
    context: WorkerContext, job: GenerationJob, engine: Engine, folder: Path, between_blocks: BetweenBlocks
) -> GenerationOutput:
    def generate(reference: CheckpointRef) -> GenerationOutput:
        if job.spec["format"] == exports.ONNX:
            return engine.export_graphs(reference, folder, between_blocks=between_blocks)
        sampling, form = job.spec["sampling"], job.spec["format"]
        return engine.generate(reference, sampling, job.seed, form, folder, between_blocks=between_blocks)

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
    with reading(context.sessions) as session:
        found = datasets.images_of_training(session, job.spec["training_job_id"])
    upload = None if found is None else UploadRef(storage_key=found.storage_key, sha256=found.sha256)
    return CheckpointRef(
        id=checkpoint_id, storage_key=storage_key, sha256=sha256, model_type=job.model_type, upload=upload
    )


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
    settle(context, lease, lambda fenced: job_queue.finish_failed(fenced, failure, context.settings))


def _failure_of(error: Exception) -> JobFailure:
    if isinstance(error, SpecError):
        return JobFailure(ErrorCode.INVALID_REQUEST, error.detail)
    if isinstance(error, NotFound):
        return JobFailure(ErrorCode.CHECKPOINT_UNUSABLE, error.detail, "Generate from another model or checkpoint.")
    if isinstance(error, StorageUnavailable):
        return storage_unavailable(error)
    return storage_full() if is_full(error) else as_failure(error)
