"""Training and generation jobs in responses."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, JsonObject, Measurements, Sha256, Time, Url
from shared.job_status import ErrorCode, JobStatus, Priority
from shared.outputs import MAX_CHARACTERS, MAX_CHARACTERS_OF_ALL, MAX_LISTED
from shared.placement import RequestedDevice
from shared.services.placements import WaitingFor
from shared.services.queue_stats import COUNTED_POSITIONS
from shared.specs import Evaluation, WebhookEvent


class Progress(Answer):
    """Progress of a training run. Numbers are null until the run has reported them."""

    epoch: int = Field(description="Epoch in progress, from 1; 0 before the first.")
    epochs: int | None
    step: int = Field(description="Optimizer steps done.")
    steps: int | None = Field(description="Optimizer steps of the whole run.")
    fraction: float = Field(ge=0, le=1)
    eta_s: float | None = Field(description="Estimated seconds to the end.")
    examples_per_s: float | None


class JobError(Answer):
    """The error of a failed job."""

    code: ErrorCode
    message: str
    hint: str | None = Field(description="A suggested remedy.")


class JobWarning(Answer):
    """A warning about the model: it is usable, but a check has failed or the request was adapted."""

    code: str = Field(description="For programs; a job has at most one warning of each code.")
    message: str
    hint: str | None = Field(description="A suggested remedy.")
    step: int | None = Field(description="Optimizer step, where the warning is about one.")


class Webhook(Answer):
    """Where events of a job are sent."""

    url: str
    events: list[WebhookEvent]


class TrainingJobUrls(Answer):
    """Links of a training job."""

    self: Url
    cancel: Url
    pause: Url
    resume: Url
    retry: Url
    metrics: Url
    events: Url
    checkpoints: Url
    samples: Url
    artifacts: Url


class Job(Answer):
    """Fields of every kind of job."""

    id: str
    status: JobStatus
    is_terminal: bool = Field(description="True for an ended job; only a retry changes its status.")
    model_type: str
    name: str | None
    priority: Priority
    metadata: dict[str, str]
    seed: int
    device: str | None = Field(description="Where its latest attempt computes: `cpu` or `cuda`; null before.")
    attempt: int = Field(description="Attempts since the submission or the last retry.")
    max_attempts: int
    queue_position: int | None = Field(description=f"1 is next; counted to {COUNTED_POSITIONS:,}. Null unless queued.")
    queue_position_is_exact: bool = Field(
        description="False: the job is further back than `queue_position`, the limit of the count."
    )
    waiting_for: WaitingFor | None = Field(
        description="Why a queued job waits: `running_quota`, its owner has as many running jobs as it may have; "
        "`able_worker`, no live worker has what it asks for; `worker`, those that can run it are busy or their "
        "devices have no room. Null in a back-off and unless queued."
    )
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration_s: float | None = Field(description="From first start to finish; null until finished.")
    error: JobError | None
    webhook: Webhook | None


class TrainingJob(Job):
    """A training job."""

    object: Literal["training_job"] = "training_job"
    dataset: str
    preset: str
    hyperparameters: JsonObject = Field(description="Every hyperparameter, including those of the preset.")
    init_from: str | None = Field(description="Model or checkpoint with the initial weights.")
    evaluation: Evaluation = Field(description="The final evaluation that was requested.")
    requested_device: RequestedDevice = Field(description="The device that was requested; `device` is the one it has.")
    requires: list[str] = Field(description="Labels that its worker must have.")
    timeout_s: int
    preemptible: bool = Field(description="The job gives way to jobs of a higher priority while it runs.")
    progress: Progress
    metrics: Measurements = Field(description="Latest value of each metric.")
    estimated_finish_at: Time | None
    model: str | None = Field(description="The published model (`mdl_…`).")
    warnings: list[JobWarning] = Field(description="Warnings about the model; a succeeded job may have some.")
    urls: TrainingJobUrls


class TrainingEstimate(Answer):
    """The answer to a training request with `dry_run`: its resolved settings and its costs. Nothing is stored."""

    object: Literal["training_estimate"] = "training_estimate"
    model_type: str
    dataset: str
    preset: str
    hyperparameters: JsonObject = Field(description="Every hyperparameter, including those of the preset.")
    init_from: str | None = Field(description="Model or checkpoint with the initial weights.")
    evaluation: Evaluation = Field(description="The final evaluation.")
    requested_device: RequestedDevice
    requires: list[str] = Field(description="Labels that its worker must have.")
    steps: int | None = Field(
        description="Optimizer steps of the whole run; null where the unknown size of the dataset decides."
    )
    examples_per_step: int | None
    seconds: float | None = Field(
        description="Expected seconds of these steps, by the speed of the most similar job on this machine. The start, "
        "samples and the final evaluation are extra. Null before any job of the type has run."
    )
    basis: str = Field(description="Origin of `seconds`, or the reason of its absence.")
    memory_bytes: int = Field(description="Upper estimate of the memory that the job needs.")
    queue_position: int = Field(
        description=f"Position of the job if it were submitted now, up to {COUNTED_POSITIONS:,}."
    )
    queue_position_is_exact: bool = Field(description="False: it would be further back.")
    warnings: list[JobWarning] = Field(
        description="Obstacles of the start: no able worker, or a dataset that is not here."
    )


ArtifactKind = Literal["sample", "output", "tensorboard"]


class ArtifactUrls(Answer):
    """Links of an artifact."""

    self: Url
    content: Url
    job: Url


class Artifact(Answer):
    """A file for download: a sample or an event file of a training, or the output of a generation."""

    id: str
    object: Literal["artifact"] = "artifact"
    job: str
    kind: ArtifactKind = Field(description="`tensorboard`: event files, to be read in the order of their names.")
    name: str
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: Sha256
    epoch: int | None
    step: int | None
    details: JsonObject = Field(description="Properties: width, height, rows, columns, temperature …")
    created_at: Time
    urls: ArtifactUrls


class GenerationJobUrls(Answer):
    """Links of a generation job."""

    self: Url
    cancel: Url
    events: Url


class ListedGenerationJob(Job):
    """A generation job in a list, without its output."""

    object: Literal["generation_job"] = "generation_job"
    model: str = Field(description="The sampled model (`mdl_…`) or checkpoint (`ckp_…`).")
    checkpoint: str
    sampling: JsonObject = Field(
        description=f"The sampling parameters, including defaults, except those of more than {MAX_LISTED:,} characters."
    )
    format: str
    artifacts: list[Artifact]
    warnings: list[JobWarning] = Field(description="Reasons why the result may not be what is expected.")
    urls: GenerationJobUrls


class GenerationJob(ListedGenerationJob):
    """A generation job."""

    sampling: JsonObject = Field(description="Every sampling parameter, including defaults.")
    output: JsonObject | None = Field(
        description=f"Of texts their number `n`, the first as `text`, and `texts`: up to {MAX_CHARACTERS:,} characters "
        f"of each and {MAX_CHARACTERS_OF_ALL:,} of all. `truncated` is true where that is not all; the artifact has "
        "all of it. Of images `width`, `height`, `rows`, `columns`."
    )


class CancelledJobs(Answer):
    """The result of a cancellation of several jobs."""

    object: Literal["cancelled_jobs"] = "cancelled_jobs"
    count: int = Field(description="Jobs that are cancelled now; running ones end with their workers' next check.")


class MetricPoint(Answer):
    """One point of one curve."""

    step: int
    epoch: int
    value: float | None
    at: Time


class MetricSeries(Answer):
    """One curve, thinned to the lowest and highest points of ranges of steps; the last point is always kept."""

    name: str
    points: list[MetricPoint]


class MetricsOfJob(Answer):
    """The curves of a training job."""

    data: list[MetricSeries]


class Event(Answer):
    """One event of a job's history."""

    id: int
    type: str
    attempt: int
    message: str
    data: JsonObject
    at: Time


class Checkpoint(Answer):
    """A durable state of a run, for sampling or further training by its id."""

    id: str
    object: Literal["checkpoint"] = "checkpoint"
    job: str
    epoch: int
    step: int
    sha256: Sha256 = Field(description="Of the weights: equal weights, equal value.")
    size: int = Field(description="Bytes of the weights.")
    is_best: bool
    metrics: Measurements
    created_at: Time
