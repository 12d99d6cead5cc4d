"""Uploads a trainer's files from the run folder into storage, before the database refers to them."""

from pathlib import Path

import structlog

from shared.atomic_files import sha256_of
from shared.errors import JobFailure
from shared.failpoints import failpoint
from shared.job_status import ErrorCode
from shared.services import model_config
from shared.services.attempt_writes import StoredCheckpoint, StoredFile
from shared.services.job_queue import Lease
from shared.storage import Storage, StorageUnavailable
from shared.trainer_protocol import CheckpointWritten, EventFileWritten, SampleWritten
from worker.checkpoints.manifest import MANIFEST, DamagedCheckpoint, verify

log = structlog.get_logger(__name__)


class ArtifactUploader:
    """Stores the files of one attempt.

    Keys contain the fencing token: a worker with a lost lease cannot overwrite files of the next attempt.
    """

    def __init__(self, storage: Storage, lease: Lease, run_dir: Path) -> None:
        self._storage, self._lease, self._run_dir = storage, lease, run_dir

    def checkpoint(self, event: CheckpointWritten) -> StoredCheckpoint:
        """Verify a checkpoint and store it, its manifest last. Raises DamagedCheckpoint, OSError, JobFailure."""
        folder = self._inside(event.path)
        checkpoint = verify(folder)
        key = f"jobs/{self._lease.job_id}/checkpoints/{event.step:08d}-{self._lease.fencing_token}"
        try:
            self._storage.put_tree(folder, key, names=[*checkpoint.manifest.files, MANIFEST])
        except FileNotFoundError as error:
            if folder.exists():
                raise
            # A trainer prunes its checkpoints, also those that are not uploaded yet.
            self._storage.delete_tree(key)
            raise DamagedCheckpoint("the trainer removed it during the upload") from error
        failpoint("upload.checkpoint_stored")
        return StoredCheckpoint(
            epoch=event.epoch,
            step=event.step,
            storage_key=key,
            sha256=checkpoint.sha256,
            size=checkpoint.size,
            is_best=event.is_best,
            metrics=event.metrics,
            config=model_config.without_hyperparameters(checkpoint.manifest.config),
        )

    def discard(self, key: str) -> None:
        """Remove a checkpoint without a row. While storage is unavailable it is left to the sweeper."""
        try:
            self._storage.delete_tree(key)
        except StorageUnavailable:
            log.warning("checkpoint not removed; left to the sweeper", key=key)

    def file(self, event: SampleWritten | EventFileWritten) -> StoredFile:
        """Store a sample or an event file. Raises OSError, JobFailure."""
        return self._sample(event) if isinstance(event, SampleWritten) else self._event_file(event)

    def _sample(self, event: SampleWritten) -> StoredFile:
        file = self._inside(event.path)
        key = f"jobs/{self._lease.job_id}/samples/{self._lease.fencing_token}/{file.name}"
        stored = StoredFile(
            kind="sample",
            name=file.name,
            media_type=event.media_type,
            storage_key=key,
            sha256=sha256_of(file),
            size=file.stat().st_size,
            epoch=event.epoch,
            step=event.step,
            details=event.meta,
        )
        self._storage.put_file(file, key)
        failpoint("upload.sample_stored")
        return stored

    def _event_file(self, event: EventFileWritten) -> StoredFile:
        """Store an event file under a name with the fencing token.

        TensorBoard reads a run's files in the order of their names, and each attempt numbers its files from 1.
        """
        file = self._inside(event.path)
        stem, _, number = file.name.rpartition(".")
        name = f"{stem}.{self._lease.fencing_token:06d}-{number}"
        key = f"jobs/{self._lease.job_id}/tensorboard/{name}"
        stored = StoredFile(
            kind="tensorboard",
            name=name,
            media_type="application/octet-stream",
            storage_key=key,
            sha256=sha256_of(file),
            size=file.stat().st_size,
            step=event.step,
        )
        self._storage.put_file(file, key)
        return stored

    def _inside(self, path: str) -> Path:
        full = (self._run_dir / path).resolve()
        if not full.is_relative_to(self._run_dir.resolve()):
            raise JobFailure(ErrorCode.INTERNAL, f"The trainer reported a file outside its folder: {path}")
        return full
