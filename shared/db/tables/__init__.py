"""The tables."""

from shared.db.tables.base import DEFAULT_OWNER, DEVICE_ID, OWNER, PLACEMENT, Base, table_of
from shared.db.tables.jobs import (
    QUEUE_COLUMNS,
    SHARE_COLUMNS,
    Checkpoint,
    GenerationJob,
    ImportJob,
    Job,
    Model,
    TrainingJob,
)
from shared.db.tables.owners import ApiKey, LoginSession, Owner, OwnerUse
from shared.db.tables.records import (
    Artifact,
    Export,
    IdempotencyKey,
    JobEvent,
    Metric,
    ReadyModel,
    UploadedDataset,
    WebhookDelivery,
)
from shared.db.tables.service import DeviceLease, MetricTotal, PendingDeletion, Placement, StorageHold, Worker

__all__ = [
    "DEFAULT_OWNER",
    "DEVICE_ID",
    "OWNER",
    "PLACEMENT",
    "QUEUE_COLUMNS",
    "SHARE_COLUMNS",
    "ApiKey",
    "Artifact",
    "Base",
    "Checkpoint",
    "DeviceLease",
    "Export",
    "GenerationJob",
    "IdempotencyKey",
    "ImportJob",
    "Job",
    "JobEvent",
    "LoginSession",
    "Metric",
    "MetricTotal",
    "Model",
    "Owner",
    "OwnerUse",
    "PendingDeletion",
    "Placement",
    "ReadyModel",
    "StorageHold",
    "TrainingJob",
    "UploadedDataset",
    "WebhookDelivery",
    "Worker",
    "table_of",
]
