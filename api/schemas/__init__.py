"""Pydantic models of the responses, for serialisation and documentation."""

from api.schemas import pages
from api.schemas.access import Session
from api.schemas.jobs import Artifact, CancelledJobs, GenerationJob, MetricsOfJob, TrainingEstimate, TrainingJob
from api.schemas.previews import DatasetPreview
from api.schemas.problem import Problem
from api.schemas.resources import Dataset, Model, ModelType, Notice, Queue, Readiness, Root
from api.schemas.storage import DiskSpace, Pruned
from api.schemas.webhooks import WebhookDelivery, WebhookDeliveryPage

# The models of whole responses; the document adds their parts.
ANSWERS = (
    Problem,
    TrainingJob,
    TrainingEstimate,
    GenerationJob,
    MetricsOfJob,
    CancelledJobs,
    Artifact,
    Model,
    Dataset,
    DatasetPreview,
    ModelType,
    Queue,
    Notice,
    Session,
    Readiness,
    Root,
    DiskSpace,
    Pruned,
    pages.TrainingJobPage,
    pages.GenerationJobPage,
    pages.ModelPage,
    pages.ArtifactPage,
    pages.EventPage,
    pages.CheckpointPage,
    pages.DatasetPage,
    pages.ModelTypePage,
    pages.WorkerPage,
    WebhookDelivery,
    WebhookDeliveryPage,
)
