"""The tables. One `jobs` table holds every kind of job, so that claims, leases and reaping have one implementation."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, false
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from shared.db.clock import Timestamp, db_now
from shared.db.column_types import JSON_TYPE, KIND, ROW_ID, STATUS, JsonObject, JsonObjects
from shared.job_status import JobKind, JobStatus
from shared.placement import ANYWHERE

# With not_before, the index alone answers whether a job is due and how many are ahead of it.
QUEUE_COLUMNS = ("kind", "status", "priority", "created_at", "id", "not_before")
# The order of one owner's queue.
SHARE_COLUMNS = ("kind", "share", "priority", "created_at", "id", "not_before")
_IS_QUEUED = "status = 'queued'"
_IS_HELD = "status IN ('cancelling', 'pausing', 'running')"
DEFAULT_OWNER = "local"  # of everything while authentication is off
OWNER = String(64)
PLACEMENT = String(700)
DEVICE_ID = String(200)


class Base(DeclarativeBase):
    """Base of every table. Constraints have names, so that later migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {datetime: Timestamp(), JsonObject: JSON_TYPE, JsonObjects: JSON_TYPE}  # noqa: RUF012 - SQLAlchemy reads it once


def table_of(row: type[Base]) -> Table:
    """A class's table: statements on it run faster than on the class and do not change the objects of a session."""
    return cast(Table, row.__table__)


class Owner(Base):
    """A tenant: the owner of jobs, models and datasets. Each API key belongs to one."""

    __tablename__ = "owners"

    name: Mapped[str] = mapped_column(OWNER, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class OwnerUse(Base):
    """The time for which workers have held an owner's jobs of a kind, for its fair share of the queue.

    owner: '' for jobs that belong to all owners. used_ms: as of charged_at; it decays (`shared.services.fair_share`).
    """

    __tablename__ = "owner_use"

    owner: Mapped[str] = mapped_column(OWNER, primary_key=True)
    kind: Mapped[JobKind] = mapped_column(KIND, primary_key=True)
    used_ms: Mapped[int] = mapped_column(BigInteger)
    charged_at: Mapped[datetime]


class ApiKey(Base):
    """An API key. The key itself is not stored.

    id: the key's prefix, by which it is found. sha256: of the whole key. scopes: values of `shared.identity.Scope`,
    separated by spaces. expires_at: None is never.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("owners.name"))
    name: Mapped[str | None] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_api_keys_owner", "owner"),)


class LoginSession(Base):
    """A browser that is logged in with an API key. sha256: of the cookie's value."""

    __tablename__ = "login_sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_login_sessions_key", "key_id"), Index("ix_login_sessions_expires", "expires_at"))


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


class ReadyModel(Base):
    """A ready-made model that was imported once. A deleted one is not imported again."""

    __tablename__ = "ready_models"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class Artifact(Base):
    """A file for download.

    kind: `sample` (written while training), `tensorboard` (its event files) or `output` (of a generation).
    """

    __tablename__ = "artifacts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    media_type: Mapped[str] = mapped_column(String(100))
    storage_key: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int | None] = mapped_column(Integer)
    step: Mapped[int | None] = mapped_column(BigInteger)
    details: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (UniqueConstraint("job_id", "name"), Index("ix_artifacts_job_kind_id", "job_id", "kind", "id"))


class Export(Base):
    """A model in another format, and the generation job that creates its files: one for each model and format."""

    __tablename__ = "exports"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    format: Mapped[str] = mapped_column(String(16), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))

    __table_args__ = (Index("ix_exports_job", "job_id"),)


class Metric(Base):
    """One point of one curve."""

    __tablename__ = "metrics"

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (UniqueConstraint("job_id", "name", "step"), Index("ix_metrics_job_id", "job_id", "id"))


class JobEvent(Base):
    """One line of a job's history: a transition, a retry, a fallback, a warning about the model's health."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int] = mapped_column(Integer)
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (Index("ix_job_events_job_id", "job_id", "id"),)


class UploadedDataset(Base):
    """A dataset that a user uploaded; its file is complete in storage.

    version: 1, and one more with each replacement. updated_at: None for a dataset of an earlier
    release that has not changed.
    """

    __tablename__ = "datasets"

    owner: Mapped[str] = mapped_column(OWNER, primary_key=True, server_default=DEFAULT_OWNER)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    storage_key: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    description: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    updated_at: Mapped[datetime | None] = mapped_column(default=db_now())


class Worker(Base):
    """A worker process with its latest heartbeat.

    contract_step: see shared/db/contract_steps.py; null is none.
    memory_bytes, memory_total_bytes: of its device, used by its job and in all. disk_free_bytes: of its fullest disk.
    labels: separated by commas. machine: the same for all workers that share cores. device_id: of the device that it
    holds (`DeviceLease`); null is none.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    kind: Mapped[JobKind] = mapped_column(KIND)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int] = mapped_column(Integer)
    device: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[str | None] = mapped_column(String(32))
    jobs_done: Mapped[int] = mapped_column(Integer, default=0)
    examples_per_s: Mapped[float | None]
    steps_per_s: Mapped[float | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    memory_total_bytes: Mapped[int | None] = mapped_column(BigInteger)
    disk_free_bytes: Mapped[int | None] = mapped_column(BigInteger)
    labels: Mapped[str | None] = mapped_column(PLACEMENT)
    machine: Mapped[str | None] = mapped_column(DEVICE_ID)
    device_id: Mapped[str | None] = mapped_column(DEVICE_ID)
    contract_step: Mapped[str | None] = mapped_column(String(8))
    started_at: Mapped[datetime] = mapped_column(default=db_now())
    heartbeat_at: Mapped[datetime] = mapped_column(default=db_now())


class DeviceLease(Base):
    """A training worker's right to compute on a device. It ends with the worker's row or heartbeats.

    device_id: of a GPU its UUID, else the memory that workers share. slot: from 0, one for each holder of the device.
    """

    __tablename__ = "device_leases"

    device_id: Mapped[str] = mapped_column(DEVICE_ID, primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    worker_id: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class Placement(Base):
    """A value of `jobs.placement` that some job has or had, other than `any`. A worker reads which it can meet."""

    __tablename__ = "placements"

    name: Mapped[str] = mapped_column(PLACEMENT, primary_key=True)


class IdempotencyKey(Base):
    """The idempotency key of an owner's POST, the hash of its body, and the job that it created."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(OWNER, primary_key=True, server_default=DEFAULT_OWNER)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (
        Index("ix_idempotency_keys_job", "job_id"),
        Index("ix_idempotency_keys_created", "created_at"),
    )


class PendingDeletion(Base):
    """A folder of storage that the sweeper removes after `due_at`.

    Written with the deletion of the rows that refer to it, or before files are stored whose rows may never be written.
    """

    __tablename__ = "pending_deletions"

    storage_key: Mapped[str] = mapped_column(String(300), primary_key=True)
    due_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (Index("ix_pending_deletions_due", "due_at"),)


class MetricTotal(Base):
    """One counter that reconcilers keep for `/metrics`; it outlives every process and the rows that it counts.

    name: of the counter. label: one further distinction, such as an error code; empty for none.
    """

    __tablename__ = "metric_totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(default=db_now())


class StorageHold(Base):
    """A backup that copies files: until its end no file is removed from storage. until: when it ends by itself."""

    __tablename__ = "storage_holds"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class WebhookDelivery(Base):
    """One event of a job with a webhook, written in the transaction of the event and sent afterwards.

    status: `pending` until a receiver has accepted it (`delivered`) or `retry_until` has passed (`failed`).
    payload: the exact body, so that each attempt sends and signs the same bytes. host: of the URL.
    next_attempt_at: of a pending one; while it is sent, when it is sent again if the sender is lost.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(16))
    payload: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(String(300))
    status: Mapped[str] = mapped_column(String(16), default="pending")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    retry_until: Mapped[datetime]
    response_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    __table_args__ = (
        Index("ix_webhook_deliveries_due", "status", "next_attempt_at"),
        Index("ix_webhook_deliveries_job", "job_id", "id"),
    )
