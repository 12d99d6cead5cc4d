"""Pages of lists, named so that the OpenAPI document names them."""

from api.schemas.base import PageOf
from api.schemas.jobs import Artifact, Checkpoint, Event, ListedGenerationJob, TrainingJob
from api.schemas.resources import Dataset, Model, ModelType, Worker


class TrainingJobPage(PageOf[TrainingJob]):
    """Training jobs, in the order of `sort`."""


class GenerationJobPage(PageOf[ListedGenerationJob]):
    """Generation jobs without their outputs, in the order of `sort`."""


class ModelPage(PageOf[Model]):
    """Models, newest first."""


class ArtifactPage(PageOf[Artifact]):
    """Artifacts of a job, oldest first."""


class EventPage(PageOf[Event]):
    """Events of a job, oldest first."""


class CheckpointPage(PageOf[Checkpoint]):
    """Checkpoints of a job, newest first."""


class DatasetPage(PageOf[Dataset]):
    """Every dataset, by name."""


class ModelTypePage(PageOf[ModelType]):
    """Every model type, by name."""


class WorkerPage(PageOf[Worker]):
    """Live workers, and some with a heartbeat within the last day."""
