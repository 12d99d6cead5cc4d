"""Types of the API's responses. Fields that the client does not use are left out."""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

Item = TypeVar("Item")
JsonObject = dict[str, Any]
Measurements = dict[str, float | None]
JobKind = Literal["training", "generation"]


class ProblemError(TypedDict):
    """One invalid field."""

    pointer: str
    detail: str
    code: str


class Progress(TypedDict):
    """Progress of a training run. `fraction` is in [0, 1]; numbers are None until the run has reported them."""

    epoch: int
    epochs: int | None
    step: int
    steps: int | None
    fraction: float
    eta_s: float | None
    examples_per_s: float | None


class JobError(TypedDict):
    """The error of a failed job."""

    code: str
    message: str
    hint: str | None


class JobWarning(TypedDict):
    """A warning about the model that a job trains."""

    code: str
    message: str
    hint: str | None
    step: int | None


class TrainingEstimate(TypedDict):
    """The costs of a training that was not submitted."""

    model_type: str
    dataset: str
    preset: str
    hyperparameters: JsonObject
    steps: int | None
    examples_per_step: int | None
    seconds: float | None
    basis: str
    memory_bytes: int
    queue_position: int
    queue_position_is_exact: bool
    warnings: list[JobWarning]


class Job(TypedDict):
    """Fields of every kind of job. Times are RFC 3339 strings in UTC."""

    id: str
    object: str
    status: str
    is_terminal: bool
    model_type: str
    name: str | None
    priority: str
    seed: int
    device: str | None
    attempt: int
    max_attempts: int
    queue_position: int | None
    queue_position_is_exact: NotRequired[bool]  # False: further back than the position; absent from older servers
    # `running_quota`, `able_worker` or `worker`; None unless queued and due; absent from older servers
    waiting_for: NotRequired[Literal["running_quota", "able_worker", "worker"] | None]
    created_at: str
    started_at: str | None
    finished_at: str | None
    duration_s: float | None
    error: JobError | None
    warnings: NotRequired[list[JobWarning]]  # of training jobs; absent from older servers
    # Of training jobs:
    dataset: NotRequired[str]
    preset: NotRequired[str]
    preemptible: NotRequired[bool]  # absent from older servers
    requested_device: NotRequired[str]  # `auto`, `cpu` or `cuda`; absent from older servers, like `requires`
    requires: NotRequired[list[str]]
    hyperparameters: NotRequired[JsonObject]
    progress: NotRequired[Progress]
    metrics: NotRequired[Measurements]
    # Of a training job: the published model, or None. Of a generation job: the sampled model or checkpoint.
    model: str | None
    # Of generation jobs:
    checkpoint: NotRequired[str]
    sampling: NotRequired[JsonObject]
    format: NotRequired[str]
    output: NotRequired[JsonObject | None]
    artifacts: NotRequired[list["Artifact"]]


class Artifact(TypedDict):
    """A file for download. kind: `sample`, `tensorboard` or `output`."""

    id: str
    job: str
    kind: str
    name: str
    media_type: str
    size: int
    sha256: str
    epoch: int | None
    step: int | None
    details: JsonObject
    created_at: str
    urls: dict[str, str]


class Checkpoint(TypedDict):
    """A durable state of a run."""

    id: str
    job: str
    epoch: int
    step: int
    sha256: str
    size: int
    is_best: bool
    metrics: Measurements
    created_at: str


class MetricPoint(TypedDict):
    """One point of one curve."""

    step: int
    epoch: int
    value: float | None
    at: str


class MetricSeries(TypedDict):
    """One curve."""

    name: str
    points: list[MetricPoint]


class Event(TypedDict):
    """One event of a job's history."""

    id: int
    type: str
    attempt: int
    message: str
    data: JsonObject
    at: str


class Model(TypedDict):
    """The published result of a successful training job, or an imported model."""

    id: str
    name: str | None
    model_type: str
    dataset: str
    source: NotRequired[Literal["trained", "imported", "ready-made"]]  # absent from older servers
    training_job: str | None
    checkpoint: JsonObject
    hyperparameters: JsonObject
    quality: Measurements
    quality_omitted: NotRequired[list[str]]  # absent from older servers
    versions: dict[str, str]
    device: str | None
    warnings: NotRequired[list[JobWarning]]  # absent from older servers
    created_at: str


class Demo(TypedDict):
    """A training of a few minutes that shows the model type: hyperparameters, dataset and sampling."""

    fallback_dataset: str
    hyperparameters: JsonObject
    sampling: JsonObject


class MeasureDocs(TypedDict):
    """Description of a training metric or a quality figure. better: `lower`, `higher` or None."""

    name: str
    meaning: str
    better: str | None
    is_headline: bool


class ModelType(TypedDict):
    """A kind of model with its contract."""

    name: str
    title: str
    summary: str
    data_kind: str
    default_dataset: str
    formats: list[str]
    metrics: list[str]
    metric_docs: NotRequired[list[MeasureDocs]]  # absent from older servers, like the NotRequired fields below
    quality: list[str]
    quality_docs: NotRequired[list[MeasureDocs]]
    presets: list[JsonObject]
    hyperparameters_schema: JsonObject
    sampling_schema: JsonObject
    demo: Demo


class DatasetUse(TypedDict):
    """Counts of the unfinished training jobs and of the models that name a dataset."""

    jobs: int
    models: int


class Dataset(TypedDict):
    """A source of training data. availability: `builtin`, `present`, `downloadable` or `missing`.

    sources: addresses of its files, the largest first; empty when it is never downloaded.
    checksums: of its downloads, by path; of a download without a published one, the first download's.
    image_shape: channels, height, width. version: of an upload; a replacement raises it.
    """

    name: str
    kind: str
    title: str
    source: str
    availability: str
    detail: str | None
    license: str | None
    examples: int | None
    classes: int | None
    vocabulary: int | None
    size: int | None
    sha256: str | None
    created_at: str | None
    description: NotRequired[str | None]
    version: NotRequired[int | None]
    updated_at: NotRequired[str | None]
    used_by: NotRequired[DatasetUse]
    sources: NotRequired[list[str]]
    checksums: NotRequired[dict[str, str]]
    image_shape: NotRequired[list[int] | None]
    class_names: NotRequired[list[str] | None]
    picture: NotRequired[str | None]


class CharacterCount(TypedDict):
    """A character of a text, and how often it occurs."""

    character: str
    count: int


class TextPreview(TypedDict):
    """A passage of a text, and its characters. offset, size: in bytes."""

    size: int
    offset: int
    excerpt: str
    counted: int
    characters: list[CharacterCount]


class ImagePreview(TypedDict):
    """Images of a dataset. pixels: base64 of uint8 [images, channels, height, width]."""

    channels: int
    height: int
    width: int
    indices: list[int]
    labels: list[int]
    pixels: str


class DatasetPreview(TypedDict):
    """A part of a dataset: `text` or `images`."""

    kind: str
    text: TextPreview | None
    images: ImagePreview | None


class WebhookDelivery(TypedDict):
    """One event that is sent to the webhook of a job."""

    id: str
    object: str
    job: str
    event: str
    status: str
    attempts: int
    response_status: int | None
    error: str | None
    created_at: str
    last_attempt_at: str | None
    next_attempt_at: str | None


class Worker(TypedDict):
    """A worker process with its latest heartbeat."""

    id: str
    kind: str
    host: str
    pid: int
    device: str
    labels: NotRequired[list[str]]  # absent from older servers
    is_alive: bool
    job: str | None
    interrupted_jobs: list[str]
    jobs_done: int
    examples_per_s: float | None
    started_at: str
    heartbeat_at: str


class PageOf(TypedDict, Generic[Item]):
    """One page of a list, newest first."""

    data: list[Item]
    has_more: bool


class DiskSpace(TypedDict):
    """Bytes of the server's disk, and of stored files by kind. `free` and `total` are None where no disk is local."""

    free: int | None
    total: int | None
    min_free: int
    used: dict[str, int]


class PrunedJob(TypedDict):
    """A job that was or would be deleted, or that lost files. files: their number; None where the job was deleted."""

    id: str
    status: str
    files: int | None
    size: int


class Pruned(TypedDict):
    """Jobs that were or would be deleted. size: bytes of their files."""

    jobs: list[PrunedJob]
    size: int
    has_more: bool
