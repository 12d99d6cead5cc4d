"""The scratch folder of one attempt: filled from storage at the start, removed at the end."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from shared.atomic_files import sha256_of
from shared.db.session import reading, transaction
from shared.db.tables import Checkpoint, Job, TrainingJob
from shared.errors import DependencyUnavailable, JobFailure, NotFound
from shared.failpoints import failpoint
from shared.image_uploads import stored
from shared.job_status import ErrorCode
from shared.services import attempt_writes, checkpoints, datasets, job_queue
from shared.services.job_queue import Lease
from worker.checkpoints.manifest import MANIFEST, WEIGHTS, DamagedCheckpoint, NewerCheckpoint, verify
from worker.context import WorkerContext

log = structlog.get_logger(__name__)

_NAME = re.compile(r"(?P<job_id>[a-z]{3}_[0-9a-z]{26})-(?P<token>\d+)")


@contextmanager
def scratch(context: WorkerContext, lease: Lease) -> Iterator[Path]:
    """An empty folder for one attempt on this machine; removed at the end of the block.

    Folders of earlier attempts at the job on this machine are removed first: their workers are killed or have lost
    their lease.
    """
    for earlier in context.settings.runs_path.glob(f"{lease.job_id}-*"):
        shutil.rmtree(earlier, ignore_errors=True)
    folder = context.settings.runs_path / f"{lease.job_id}-{lease.fencing_token}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(context: WorkerContext, job: TrainingJob, lease: Lease, folder: Path) -> Path:
    """Fetch checkpoint, uploaded dataset and starting weights, and write the specification; returns its path.

    Raises JobFailure for missing data or weights, LeaseLost, OSError.
    """
    is_resumed = _fetch_newest_checkpoint(context, lease, folder)
    spec = {
        "model_type": job.model_type,
        "dataset": job.spec["dataset"],
        "preset": job.spec["preset"],
        "evaluation": job.spec.get("evaluation", "full"),  # absent from jobs of earlier versions
        "device": job.spec.get("device", "auto"),
        "hyperparameters": job.spec["hyperparameters"],
        "seed": job.seed,
        "batch_parts": job.batch_parts,
        "threads": job.threads,
        "dataset_path": _fetch_dataset(context, job, folder),
        "init_from": None if is_resumed else _fetch_weights(context, job, folder),
    }
    path = folder / "job.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def clear(folder: Path) -> None:
    """Remove the content of a scratch folder, which the end of its block does otherwise."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(context: WorkerContext) -> None:
    """Remove the folders of ended attempts that killed workers left on this machine."""
    for folder in context.settings.runs_path.glob("*_*-*"):
        name = _NAME.fullmatch(folder.name)
        if name is None:
            continue
        with reading(context.sessions) as session:
            job = session.get(Job, name["job_id"])
        if job is None or not job.status.is_held or job.fencing_token != int(name["token"]):
            log.info("removing the folder of an ended attempt", folder=folder.name)
            shutil.rmtree(folder, ignore_errors=True)


def _fetch_newest_checkpoint(context: WorkerContext, lease: Lease, folder: Path) -> bool:
    """Fetch the newest stored checkpoint that verifies to where the trainer reads it; an event for each damaged one.

    Returns whether there is one.
    """
    with reading(context.sessions) as session:
        rows = checkpoints.list_for_job(session, lease.job_id)
    newest = next((row for row in rows if _fetch_or_drop(context, lease, row, folder)), None)
    if newest is None:
        return False
    best = next((row for row in rows if row.is_best and row.step < newest.step), None)
    if best is not None:  # the trainer publishes it at the end unless a later one is better
        _fetch_or_drop(context, lease, best, folder)
    return True


def _fetch_or_drop(context: WorkerContext, lease: Lease, row: Checkpoint, folder: Path) -> bool:
    """Fetch a checkpoint to where the trainer reads it. False: it is damaged, and removed with an event."""
    target = folder / "checkpoints" / f"{row.step:08d}"
    damage = _fetch_checkpoint(context, row, target)
    if damage is None:
        return True
    shutil.rmtree(target, ignore_errors=True)
    log.warning("damaged checkpoint", job_id=lease.job_id, step=row.step, reason=damage)
    with transaction(context.sessions) as session:
        fenced = job_queue.renew_lease(session, lease)
        message = f"The checkpoint at step {row.step} cannot be used ({damage}); the previous one replaces it."
        attempt_writes.add_event(fenced, event="checkpoint_damaged", message=message, data={"step": row.step})
        attempt_writes.drop_checkpoint(fenced, row.id)
    failpoint("damage.recorded")
    context.storage.delete_tree(row.storage_key)
    return False


def _fetch_checkpoint(
    context: WorkerContext, row: Checkpoint, target: Path, *, weights_only: bool = False
) -> str | None:
    """Fetch and verify a checkpoint, or its weights alone; returns the damage, or None.

    Raises DependencyUnavailable for one of a later version, whose workers run beside this one during an upgrade.
    """
    try:
        if weights_only:
            for name in (WEIGHTS, MANIFEST):
                context.storage.get_file(f"{row.storage_key}/{name}", target / name)
        else:
            context.storage.get_tree(row.storage_key, target)
        verify(target, weights_only=weights_only)
    except NewerCheckpoint as error:
        raise DependencyUnavailable(error.detail) from error
    except (NotFound, DamagedCheckpoint) as error:
        return error.detail
    return None


def _fetch_dataset(context: WorkerContext, job: TrainingJob, folder: Path) -> str | None:
    """Path of the file of an uploaded dataset; None for a dataset of the registry.

    Raises JobFailure where the dataset is not the one that the job was submitted with.
    """
    name, submitted = job.spec["dataset"], job.spec.get("dataset_sha256")
    with reading(context.sessions) as session:
        upload = datasets.upload_of(session, job)
    if submitted is not None and (upload is None or upload.sha256 != submitted):
        change = "deleted" if upload is None else "replaced"
        raise JobFailure(
            ErrorCode.DATASET_UNAVAILABLE,
            f"The dataset {name} was {change} after this job was submitted.",
            "Submit a new job.",
        )
    if upload is None:
        return None
    target = folder / (stored.FILE if upload.kind == "images" else "dataset.txt")
    try:
        context.storage.get_file(upload.storage_key, target)
    except NotFound as error:
        raise JobFailure(
            ErrorCode.DATASET_UNAVAILABLE, f"The uploaded file of {name} is missing from storage."
        ) from error
    if sha256_of(target) != upload.sha256:
        raise JobFailure(ErrorCode.INVALID_DATA, f"The uploaded file of {name} in storage does not match its checksum.")
    return str(target)


def _fetch_weights(context: WorkerContext, job: TrainingJob, folder: Path) -> str | None:
    source = job.spec["init_from"]
    if source is None:
        return None
    with reading(context.sessions) as session:
        row = checkpoints.get(session, source["checkpoint_id"])
    target = folder / "init_from"
    damage = "it no longer exists" if row is None else _fetch_checkpoint(context, row, target, weights_only=True)
    if damage is not None:
        message = f"The starting weights ({source['id']}) cannot be used: {damage}."
        raise JobFailure(ErrorCode.INIT_FROM_UNUSABLE, message, "Start from another model or checkpoint.")
    return str(target)
