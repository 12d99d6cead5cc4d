"""Models, datasets, model types and workers in responses."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, JsonObject, Measurements, Sha256, Time, Url
from api.schemas.jobs import JobWarning
from shared import model_types
from shared.job_status import JobKind


def _describe_quality(schema: JsonObject) -> None:
    """List the quality figures of all model types in the description of a schema."""
    meanings: dict[str, dict[str, None]] = {}  # in the order of the registry; equal sentences once
    for contract in model_types.REGISTRY.values():
        for name, measure in contract.quality.items():
            meanings.setdefault(name, {})[measure.meaning] = None
    lines = [f"- `{name}`: {' '.join(found)}" for name, found in meanings.items()]
    schema["description"] = "Figures of the final evaluation, those of the model's type:\n\n" + "\n".join(lines)


class CheckpointOfModel(Answer):
    """The weights of a model."""

    id: str
    sha256: Sha256
    step: int


class ModelUrls(Answer):
    """Links of a model."""

    self: Url
    training_job: Url | None


class Model(Answer):
    """The published result of a successful training job, or a model that was imported from a file."""

    id: str
    object: Literal["model"] = "model"
    name: str | None
    model_type: str
    dataset: str = Field(description="That it was trained on; `unknown` where an imported file names none.")
    source: Literal["trained", "imported", "ready-made"] = Field(
        description="`ready-made`: it comes with Mimeo and was imported at the first start."
    )
    about: JsonObject = Field(description="What an imported file says of its origin.")
    training_job: str | None = Field(description="null for an imported model.")
    checkpoint: CheckpointOfModel
    hyperparameters: JsonObject
    quality: Measurements = Field(json_schema_extra=_describe_quality)
    quality_omitted: list[str] = Field(
        description="Figures of its type that this model lacks. A training with `evaluation: full` computes all."
    )
    versions: dict[str, str] = Field(description="Versions of the code and of torch at training.")
    device: str | None
    warnings: list[JobWarning] = Field(description="Those of its training job.")
    created_at: Time
    urls: ModelUrls


class Preset(Answer):
    """A named set of hyperparameters."""

    name: str
    hyperparameters: JsonObject = Field(description="Every hyperparameter under this preset.")


class Demo(Answer):
    """A training of a few minutes that shows the model type: hyperparameters, dataset and sampling."""

    fallback_dataset: str = Field(description="A built-in dataset of its kind.")
    hyperparameters: JsonObject
    sampling: JsonObject


class Bands(Answer):
    """Bounds that hold for any dataset. A value worse than `usual` is poor."""

    good: float = Field(description="The least good value that is good.")
    usual: float = Field(description="The least good value that is usual.")


class MeasureDocs(Answer):
    """Description of a training metric or a quality figure."""

    name: str
    meaning: str
    better: Literal["lower", "higher"] | None = Field(description="Direction of an improvement, where there is one.")
    is_headline: bool = Field(description="True for the few figures that lists show.")
    bands: Bands | None = Field(description="Null where values of two datasets cannot be compared.")


class ModelType(Answer):
    """A kind of model with its contract: options, presets, metrics and outputs."""

    name: str
    object: Literal["model_type"] = "model_type"
    title: str
    summary: str
    data_kind: str = Field(description="The `kind` of the datasets it learns from.")
    default_dataset: str
    needs_labels: bool = Field(description="Learns from labelled datasets only.")
    formats: list[str] = Field(description="Output formats of generation, the default first.")
    onnx_parts: list[str] = Field(description="ONNX graphs of an export, the default first.")
    metrics: list[str] = Field(description="Names of its training curves.")
    metric_docs: list[MeasureDocs] = Field(description="Description of each of `metrics`.")
    quality: list[str] = Field(description="Names of the figures that a finished model has in `quality`.")
    quality_docs: list[MeasureDocs] = Field(description="Description of each of `quality`.")
    presets: list[Preset]
    hyperparameters_schema: JsonObject = Field(description="JSON Schema of `hyperparameters`.")
    sampling_schema: JsonObject = Field(description="JSON Schema of `sampling`.")
    demo: Demo


class DatasetUse(Answer):
    """Counts of the records that name a dataset."""

    jobs: int = Field(description="Training jobs that have not ended; they block its deletion and replacement.")
    models: int


class Dataset(Answer):
    """A source of training data."""

    name: str
    object: Literal["dataset"] = "dataset"
    kind: str = Field(description="`images` or `text`; model types name it as their `data_kind`.")
    title: str
    description: str | None = Field(description="Free text of an upload.")
    source: Literal["registry", "upload"]
    availability: Literal["builtin", "present", "downloadable", "missing"] = Field(
        description="`missing`: offline and not on disk; `detail` names the folder for it."
    )
    detail: str | None = Field(description="Of uploaded images: what was found and repaired, and how they are split.")
    license: str | None
    examples: int | None = Field(description="Images, or characters of text.")
    classes: int | None
    vocabulary: int | None = Field(description="Distinct characters of text.")
    size: int | None = Field(description="Bytes of an upload in its stored form: a text with Unix line ends, a tar.")
    sha256: Sha256 | None = Field(description="Of an upload in its stored form.")
    version: int | None = Field(description="Of an upload: 1, and one more with each replacement.")
    created_at: Time | None = Field(description="Time of the first upload.")
    updated_at: Time | None = Field(description="Time of the last change of an upload.")
    used_by: DatasetUse
    sources: list[Url] = Field(description="Addresses of its files; empty for built-in datasets and uploads.")
    image_shape: list[int] | None = Field(description="Channels, height and width of an image.")
    picture: Url | None = Field(description="A picture of some uploaded images, one row for each class.")
    class_names: list[str] | None = Field(description="Of images, in the order of their labels.")
    checksums: dict[str, str] = Field(
        description="Of its downloads, by path: `sha256:…` or `md5:…`. Without a published one, the first "
        "download's is recorded, and later downloads must equal it."
    )


class Worker(Answer):
    """A worker process with its latest heartbeat."""

    id: str
    object: Literal["worker"] = "worker"
    kind: JobKind
    host: str
    pid: int
    device: str
    labels: list[str] = Field(description="What jobs can require (`MIMEO_WORKER_LABELS`).")
    is_alive: bool = Field(description="True after a heartbeat within one lease.")
    job: str | None = Field(description="The current job; the last one if the worker is not alive.")
    interrupted_jobs: list[str] = Field(
        description="Generations that wait for the end of `job`, a shorter or more urgent one, the latest last."
    )
    jobs_done: int = Field(description="Completed attempts.")
    examples_per_s: float | None = Field(description="Current training speed.")
    started_at: Time
    heartbeat_at: Time = Field(description="Time of the last heartbeat.")


class QueueOfKind(Answer):
    """The queue of one kind of job."""

    queued: int = Field(description="Jobs that wait, those in a back-off included.")
    running: int
    workers: int = Field(description="Live workers.")


class Queue(Answer):
    """The jobs that wait and run now. The stream of all jobs sends the same as its `queue` event."""

    object: Literal["queue"] = "queue"
    training: QueueOfKind
    generation: QueueOfKind
    positions: list[str | None] = Field(
        description="The first 200 training jobs that wait, in the order of the queue; null for another owner's."
    )


class Notice(Answer):
    """Response of a live process."""

    status: Literal["ok"] = "ok"


class Check(Answer):
    """The check of one required server, or of the disks."""

    name: Literal["database", "redis", "storage", "disk"]
    ok: bool
    detail: str | None = Field(description="The error, if any.")


class Readiness(Answer):
    """The checks of all servers that requests need."""

    status: Literal["ready", "unavailable"]
    checks: list[Check]


class Root(Answer):
    """The version and the addresses of the documentation."""

    name: Literal["mimeo"] = "mimeo"
    version: str
    documentation: Url
    openapi: Url
