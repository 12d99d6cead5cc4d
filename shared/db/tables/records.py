"""What belongs to jobs: files, metrics, history, deliveries; uploaded datasets; keys of repeated requests."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.clock import db_now
from shared.db.column_types import ROW_ID, JsonObject
from shared.db.tables.base import DEFAULT_OWNER, OWNER, Base


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
