"""What the API answers, as pydantic models: they serialise the answers and document them."""

from api.schemas import pages
from api.schemas.jobs import Artifact, GenerationJob, MetricsOfJob, TrainingJob
from api.schemas.problem import Problem
from api.schemas.resources import Dataset, Model, ModelType, Notice, Readiness, Root

# Every model that a response names; what they contain follows from them.
ANSWERS = (
    Problem,
    TrainingJob,
    GenerationJob,
    MetricsOfJob,
    Artifact,
    Model,
    Dataset,
    ModelType,
    Notice,
    Readiness,
    Root,
    pages.TrainingJobPage,
    pages.GenerationJobPage,
    pages.ModelPage,
    pages.ArtifactPage,
    pages.EventPage,
    pages.CheckpointPage,
    pages.DatasetPage,
    pages.ModelTypePage,
    pages.WorkerPage,
)
