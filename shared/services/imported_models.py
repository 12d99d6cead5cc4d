"""Models from files: their files precede their rows, as those of uploaded datasets do, and an import is one job row."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, Literal

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.datasets import REGISTRY
from shared.db.clock import db_now
from shared.db.owned_rows import check_may_change, owner_of, shared_owner
from shared.db.tables import Checkpoint, ImportJob, Job, Model, ReadyModel, table_of
from shared.errors import Conflict, MimeoError, SpecError
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.job_status import JobKind, JobStatus
from shared.manifests import MANIFEST, WEIGHTS, of_import, versions
from shared.model_files import ModelFile, check
from shared.services import attempt_writes, datasets, deletion, job_history, model_config, pending_deletions, quotas
from shared.services.models import get
from shared.settings import Settings
from shared.storage import Storage

log = structlog.get_logger(__name__)

UNKNOWN_DATASET = "unknown"  # of a file that names none
_MOST_ABOUT = 20_000  # characters of JSON
_PIECE_BYTES = 1 << 20
ModelSource = Literal["imported", "ready-made"]
Writing = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """A checked file that is not stored yet. stream: its bytes. job_id: of the import, unique to it."""

    stream: IO[bytes]
    file: ModelFile
    source: ModelSource
    dataset: str
    name: str | None
    job_id: str

    @property
    def folder(self) -> str:
        """Storage folder of everything that the import stores."""
        return f"jobs/{self.job_id}"

    @property
    def checkpoint_folder(self) -> str:
        """Storage folder of weights and manifest."""
        return f"{self.folder}/checkpoints/{self.file.step:08d}"


def check_file(
    stream: IO[bytes], *, source: ModelSource = "imported", name: str | None = None, dataset: str | None = None
) -> NewModel:
    """Check a file. Next, `store` stores it. name, dataset: over those that the file names. Raises SpecError."""
    file = check(stream)
    chosen = dataset or _dataset_name(file.dataset)
    info = REGISTRY.get(chosen)
    if info is not None and info.kind != file.model_type.data_kind:
        detail = f"A {file.model_type.name} learns from {file.model_type.data_kind}; {chosen} is {info.kind}."
        raise SpecError.at("/dataset", detail, "wrong_kind")
    return NewModel(
        stream=stream, file=file, source=source, dataset=chosen, name=name or file.name, job_id=new_id("imp")
    )


def _dataset_name(given: str | None) -> str:
    try:
        datasets.check_name(given or "")
    except SpecError:
        return UNKNOWN_DATASET
    return given or UNKNOWN_DATASET


def store(
    writing: Writing, storage: Storage, settings: Settings, new: NewModel, *, ready_name: str | None = None
) -> str:
    """Put a file in storage and write its rows. Returns the model's id. A refused or failed import leaves no file.

    ready_name: of a ready-made model, which is recorded as imported. Raises Conflict where it is recorded already,
    Unavailable, OSError.
    """
    with writing() as session:  # removes the files if this process ends before it writes the rows
        pending_deletions.expect(session, new.folder, settings)
    failpoint("import.noted")
    try:
        new.stream.seek(0)
        pieces = iter(lambda: new.stream.read(_PIECE_BYTES), b"")
        storage.put_pieces(pieces, f"{new.checkpoint_folder}/{WEIGHTS}")
        storage.put_bytes(of_import(new.file, new.dataset), f"{new.checkpoint_folder}/{MANIFEST}")
        failpoint("import.stored")
        with writing() as session:
            pending_deletions.keep(session, new.folder, settings)
            if ready_name is not None:
                _record(session, ready_name, new.file.sha256)
            model_id = _add(session, new)
            if new.source == "imported":
                quotas.check_added_files(session, settings)
            return model_id
    except (MimeoError, OSError):
        _remove(writing, storage, new.folder)
        raise


def is_recorded(session: Session, ready_name: str) -> bool:
    """Whether a ready-made model was imported once, even if it was deleted since."""
    return session.get(ReadyModel, ready_name) is not None


def _record(session: Session, ready_name: str, sha256: str) -> None:
    try:
        with session.begin_nested():
            session.add(ReadyModel(name=ready_name, sha256=sha256))
            session.flush()
    except IntegrityError:  # recorded before, or by another process at the same time
        raise Conflict(f"The ready-made model {ready_name} has been imported.") from None


def _add(session: Session, new: NewModel) -> str:
    """The rows of job, checkpoint and model."""
    file = new.file
    owner = None if new.source == "ready-made" else owner_of(session)
    about = attempt_writes.storable(dict(file.about))
    spec = {
        "source": new.source,
        "dataset": new.dataset,
        "hyperparameters": dict(file.hyperparameters),
        "sha256": file.sha256,
        "about": about if len(json.dumps(about)) <= _MOST_ABOUT else {},
    }
    session.execute(
        insert(table_of(Job)).values(
            id=new.job_id,
            owner=owner,
            kind=JobKind.IMPORT,
            status=JobStatus.SUCCEEDED,
            model_type=file.model_type.name,
            name=new.name,
            spec=spec,
            seed=0,
            timeout_s=0,
            started_at=db_now(),
            finished_at=db_now(),
        )
    )
    job_history.add(session, new.job_id, event="succeeded", message="Imported.", attempt=0)
    checkpoint = Checkpoint(
        id=new_id("ckp"),
        job_id=new.job_id,
        epoch=0,
        step=file.step,
        storage_key=new.checkpoint_folder,
        sha256=file.sha256,
        size=file.size,
        is_best=True,
        config=attempt_writes.storable(model_config.without_hyperparameters(file.config)),
    )
    session.add(checkpoint)
    session.flush()
    model = Model(
        id=new_id("mdl"),
        owner=shared_owner(owner),
        job_id=new.job_id,
        checkpoint_id=checkpoint.id,
        model_type=file.model_type.name,
        dataset=new.dataset,
        name=new.name,
        hyperparameters=dict(file.hyperparameters),
        quality=dict(file.quality),
        versions=attempt_writes.storable(versions(file)),
    )
    session.add(model)
    session.flush()
    failpoint("import.written")
    return model.id


def delete(session: Session, model_id: str) -> None:
    """Delete an imported model with its exports; the sweeper removes the files.

    Raises NotFound, Forbidden, and Conflict for a model of a training job or one whose weights an unfinished job will
    read.
    """
    model = get(session, model_id)
    check_may_change(session, model.owner)
    if session.get(ImportJob, model.job_id) is None:
        raise Conflict(f"The model belongs to the training job {model.job_id}; delete that job.")
    deletion.delete_job(session, model.job_id)


def _remove(writing: Writing, storage: Storage, folder: str) -> None:
    """Remove the files of a failed import now. If the store does not respond, the sweeper removes them."""
    try:
        storage.delete_tree(folder)
    except OSError as error:
        log.warning("failed import is removed later", folder=folder, reason=str(error))
        return
    with writing() as session:
        pending_deletions.forget(session, folder)


def origin(job: ImportJob | None) -> dict[str, Any]:
    """`source` and `about` of a model, from the import that it belongs to, if any."""
    if job is None:
        return {"source": "trained", "about": {}}
    return {"source": job.spec["source"], "about": job.spec.get("about", {})}
