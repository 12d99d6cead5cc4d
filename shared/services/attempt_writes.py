"""Writes of a worker to its job. Each takes a FencedSession, so no write happens without a lease."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from shared.db.owned_rows import shared_owner
from shared.db.tables import Artifact, Checkpoint, Job, Metric, Model, table_of
from shared.db.upsert import upsert
from shared.ids import new_id
from shared.services import job_history, job_warnings
from shared.services.job_queue import FencedSession
from shared.services.job_warnings import JobWarning

_KNOWN_ARTIFACTS = select(Artifact.name, Artifact.storage_key).where(
    Artifact.job_id == bindparam("job_id"), Artifact.name.in_(bindparam("names", expanding=True))
)
_OF_JOB = Checkpoint.job_id == bindparam("of_job")
_KNOWN_CHECKPOINT = select(Checkpoint.storage_key).where(_OF_JOB, Checkpoint.step == bindparam("at_step"))
_NOT_BEST = (
    update(table_of(Checkpoint))
    .where(_OF_JOB, Checkpoint.is_best, Checkpoint.step != bindparam("at_step"))
    .values(is_best=False)
)


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """One point of one curve."""

    name: str
    epoch: int
    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file in storage that becomes an artifact. kind: `sample`, `output` or `tensorboard`."""

    kind: str
    name: str
    media_type: str
    storage_key: str
    sha256: str
    size: int
    epoch: int | None = None
    step: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StoredCheckpoint:
    """A verified checkpoint in storage that gets a row. config: as `Checkpoint.config`."""

    epoch: int
    step: int
    storage_key: str
    sha256: str
    size: int
    is_best: bool
    metrics: Mapping[str, float]
    config: Mapping[str, Any] = field(default_factory=dict)


def add_metrics(fenced: FencedSession, points: Sequence[MetricPoint]) -> None:
    """Record points, without values that are not finite. A point that a resumed run repeats is replaced."""
    latest = {(point.name, point.step): point for point in points if math.isfinite(point.value)}
    rows = [
        {
            "job_id": fenced.lease.job_id,
            "name": point.name,
            "epoch": point.epoch,
            "step": point.step,
            "value": point.value,
        }
        for point in latest.values()
    ]
    upsert(fenced.session, Metric, rows, key=("job_id", "name", "step"), written_at="created_at")


def add_artifacts(fenced: FencedSession, files: Sequence[StoredFile]) -> list[str]:
    """Record files; each replaces a file of the same name from before a resume.

    Returns the storage keys that were replaced, to delete after the commit.
    """
    if not files:
        return []
    latest = {file.name: file for file in files}
    known = fenced.session.execute(_KNOWN_ARTIFACTS, {"job_id": fenced.lease.job_id, "names": list(latest)})
    replaced = [key for name, key in known if key != latest[name].storage_key]
    rows = [
        {
            "id": new_id("art"),
            "job_id": fenced.lease.job_id,
            "kind": file.kind,
            "name": file.name,
            "media_type": file.media_type,
            "storage_key": file.storage_key,
            "sha256": file.sha256,
            "size": file.size,
            "epoch": file.epoch,
            "step": file.step,
            "details": storable(dict(file.details)),
        }
        for file in latest.values()
    ]
    upsert(fenced.session, Artifact, rows, key=("job_id", "name"), written_at="created_at")
    return replaced


def add_checkpoint(fenced: FencedSession, stored: StoredCheckpoint) -> list[str]:
    """Record a checkpoint; it replaces one of the same step from before a resume.

    Returns the storage folders that were replaced, to delete after the commit.
    """
    job_id = fenced.lease.job_id
    place = {"of_job": job_id, "at_step": stored.step}
    replaced = [key for key in fenced.session.scalars(_KNOWN_CHECKPOINT, place) if key != stored.storage_key]
    if stored.is_best:
        fenced.session.execute(_NOT_BEST, place)
    row = {
        "id": new_id("ckp"),
        "job_id": job_id,
        "epoch": stored.epoch,
        "step": stored.step,
        "storage_key": stored.storage_key,
        "sha256": stored.sha256,
        "size": stored.size,
        "is_best": stored.is_best,
        "metrics": storable(dict(stored.metrics)),
        "config": storable(dict(stored.config)),
    }
    upsert(fenced.session, Checkpoint, [row], key=("job_id", "step"), written_at="created_at")
    return replaced


def drop_checkpoint(fenced: FencedSession, checkpoint_id: str) -> None:
    """Delete the row of an unusable checkpoint. Delete its files after the commit."""
    fenced.session.execute(
        delete(Checkpoint)
        .where(Checkpoint.id == checkpoint_id, Checkpoint.job_id == fenced.lease.job_id)
        .execution_options(synchronize_session=False)
    )


def add_event(fenced: FencedSession, *, event: str, message: str, data: Mapping[str, Any] | None = None) -> None:
    """Record one line of the job's history."""
    lease = fenced.lease
    job_history.add(
        fenced.session,
        lease.job_id,
        event=event,
        message=str(storable(message)),
        attempt=lease.attempt,
        data=storable(dict(data or {})),
    )


def add_warnings(fenced: FencedSession, warnings: Iterable[JobWarning]) -> None:
    """Add warnings to the job; one replaces an earlier one of the same code."""
    job_warnings.add(
        fenced.session, fenced.lease.job_id, [JobWarning(**storable(asdict(warning))) for warning in warnings]
    )


def add_model(fenced: FencedSession, model: Model) -> None:
    """Publish a model for the owner of its job. The database permits one per job."""
    owner = fenced.session.execute(select(Job.owner).where(Job.id == fenced.lease.job_id)).scalar_one()
    model.owner = shared_owner(owner)
    fenced.session.add(model)
    fenced.session.flush()


def storable(value: Any) -> Any:
    """The value as both databases can store it: no NUL or unpaired surrogate, null for numbers that are not finite."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(storable(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
