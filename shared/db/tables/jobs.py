"""Jobs of every kind, their checkpoints and their models.

One `jobs` table holds every kind of job, so that claims, leases and reaping have one implementation.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint, false
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db.clock import db_now
from shared.db.column_types import KIND, STATUS, JsonObject, JsonObjects
from shared.db.tables.base import DEFAULT_OWNER, OWNER, PLACEMENT, Base
from shared.job_status import JobKind, JobStatus
from shared.placement import ANYWHERE

# With not_before, the index alone answers whether a job is due and how many are ahead of it.
QUEUE_COLUMNS = ("kind", "status", "priority", "created_at", "id", "not_before")
# The order of one owner's queue.
SHARE_COLUMNS = ("kind", "share", "priority", "created_at", "id", "not_before")
_IS_QUEUED = "status = 'queued'"
_IS_HELD = "status IN ('cancelling', 'pausing', 'running')"


class Job(Base):
    """A job of any kind. `spec` is the accepted request, fully resolved; it never changes.

    owner: None is a job of all owners, such as the import of a ready-made model.
    share: the owner in the fair share of the queue; '' for jobs of all owners, which are one group.
    kind: also given by the id's prefix. priority: Priority.rank, 0 first.
    fencing_token rises with every claim; each write by a worker must carry the current token.
    not_before: earliest start of a queued job (back-off). notified_at: when a notification was last sent.
    warnings: objects with code, message, hint and step, at most one of each code; null is none.
    version rises with every visible change (ETag).
    claimed_at: start of the attempt that a worker holds. preempted_by: the job to which the attempt is to give way.
    request_id, trace_parent: of the request that submitted the job, for logs and traces.
    webhook: url and events, of which each is delivered there; null is none.
    is_quick, memory_bytes: of a generation, whether it interrupts longer ones; the memory that a job needs at most.
    placement: what its worker must have (`shared.placement`).
    threads: of torch, from the start of its first attempt. batch_parts: into which the trainer splits each batch.
    """

    __tablename__ = "jobs"
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012 - SQLAlchemy reads it once

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str | None] = mapped_column(OWNER, server_default=DEFAULT_OWNER)
    share: Mapped[str] = mapped_column(OWNER, default=DEFAULT_OWNER, server_default=DEFAULT_OWNER)
    kind: Mapped[JobKind] = mapped_column(KIND)
    status: Mapped[JobStatus] = mapped_column(STATUS, default=JobStatus.QUEUED)
    model_type: Mapped[str] = mapped_column(String(32))
    name: Mapped[str | None] = mapped_column(String(200))
    spec: Mapped[JsonObject]
    labels: Mapped[JsonObject] = mapped_column("metadata", default=dict)
    priority: Mapped[int] = mapped_column(Integer, default=1)
    seed: Mapped[int] = mapped_column(BigInteger)
    max_attempts: Mapped[int] = mapped_column(Integer, default=3)
    timeout_s: Mapped[int] = mapped_column(Integer)
    webhook: Mapped[JsonObject | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    trace_parent: Mapped[str | None] = mapped_column(String(55))
    is_quick: Mapped[bool] = mapped_column(default=False, server_default=false())
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    preemptible: Mapped[bool] = mapped_column(default=False, server_default=false())
    placement: Mapped[str] = mapped_column(PLACEMENT, default=ANYWHERE, server_default=ANYWHERE)
    threads: Mapped[int | None] = mapped_column(Integer)
    batch_parts: Mapped[int] = mapped_column(Integer, default=1, server_default="1")

    attempt: Mapped[int] = mapped_column(Integer, default=0)
    fencing_token: Mapped[int] = mapped_column(BigInteger, default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    device: Mapped[str | None] = mapped_column(String(100))
    heartbeat_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    preempted_by: Mapped[str | None] = mapped_column(String(32))
    not_before: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]

    progress: Mapped[JsonObject] = mapped_column(default=dict)
    metrics: Mapped[JsonObject] = mapped_column(default=dict)
    output: Mapped[JsonObject | None]
    error: Mapped[JsonObject | None]
    warnings: Mapped[JsonObjects | None]

    created_at: Mapped[datetime] = mapped_column(default=db_now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=db_now())
    version: Mapped[int] = mapped_column(BigInteger, default=1)

    __table_args__ = (
        Index("ix_jobs_queue", *QUEUE_COLUMNS),
        Index(
            "ix_jobs_quick",
            *QUEUE_COLUMNS,
            sqlite_where=sql("is_quick = 1"),
            postgresql_where=sql("is_quick"),
        ),
        Index("ix_jobs_share", *SHARE_COLUMNS, sqlite_where=sql(_IS_QUEUED), postgresql_where=sql(_IS_QUEUED)),
        Index(
            "ix_jobs_quick_share",
            *SHARE_COLUMNS,
            sqlite_where=sql(f"{_IS_QUEUED} AND is_quick = 1"),
            postgresql_where=sql(f"{_IS_QUEUED} AND is_quick"),
        ),
        Index(
            "ix_jobs_held",
            "kind",
            "share",
            "claimed_at",
            sqlite_where=sql(_IS_HELD),
            postgresql_where=sql(_IS_HELD),
        ),
        Index("ix_jobs_status_heartbeat", "status", "heartbeat_at"),
        Index("ix_jobs_owner_id", "owner", "kind", "id"),
        Index("ix_jobs_owner_status_id", "owner", "kind", "status", "id"),
        Index("ix_jobs_owner_model_type_id", "owner", "kind", "model_type", "id"),
        Index("ix_jobs_updated", "updated_at"),
    )


class TrainingJob(Job):
    """A training job. spec: dataset, preset, hyperparameters (all resolved), init_from."""

    __mapper_args__ = {"polymorphic_identity": JobKind.TRAINING}  # noqa: RUF012 - SQLAlchemy reads it once

    model: Mapped["Model | None"] = relationship(back_populates="job", uselist=False, viewonly=True)


class GenerationJob(Job):
    """A generation job. spec: model (as requested), sampling, format, checkpoint_id and model_id (as resolved).

    A job that creates an export has the export's format (`onnx`) and no sampling parameters.
    """

    __mapper_args__ = {"polymorphic_identity": JobKind.GENERATION}  # noqa: RUF012 - SQLAlchemy reads it once


class ImportJob(Job):
    """The import of a model file. spec: source (`imported` or `ready-made`), dataset, hyperparameters, sha256.

    `sha256` is that of the file. about: what the file says of its origin.
    """

    __mapper_args__ = {"polymorphic_identity": JobKind.IMPORT}  # noqa: RUF012 - SQLAlchemy reads it once


class Checkpoint(Base):
    """A durable state of a run in storage under `storage_key/`. sha256 is that of model.safetensors.

    config: of the manifest, without hyperparameters (character set, image shape, classes). Rows of earlier versions
    have none until `shared.services.model_config` reads it from the manifest.
    """

    __tablename__ = "checkpoints"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    epoch: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    is_best: Mapped[bool] = mapped_column(default=False)
    metrics: Mapped[JsonObject] = mapped_column(default=dict)
    config: Mapped[JsonObject | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (UniqueConstraint("job_id", "step"),)


class Model(Base):
    """The result of a successful training or import, at most one per job. Its checkpoint is never pruned.

    owner: that of its job.
    """

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str | None] = mapped_column(OWNER, server_default=DEFAULT_OWNER)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), unique=True)
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id"))
    model_type: Mapped[str] = mapped_column(String(32))
    dataset: Mapped[str] = mapped_column(String(100))
    name: Mapped[str | None] = mapped_column(String(200))
    hyperparameters: Mapped[JsonObject]
    quality: Mapped[JsonObject] = mapped_column(default=dict)
    versions: Mapped[JsonObject] = mapped_column(default=dict)
    device: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    job: Mapped[TrainingJob | None] = relationship(back_populates="model", viewonly=True)
    imported: Mapped[ImportJob | None] = relationship(viewonly=True)
    checkpoint: Mapped[Checkpoint] = relationship()

    __table_args__ = (
        Index("ix_models_model_type_id", "model_type", "id"),
        Index("ix_models_checkpoint", "checkpoint_id"),
    )
