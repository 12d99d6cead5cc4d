"""Reports of a trainer: one JSON object a line on standard output, and the same lines in RUN_DIR/events.jsonl.

Worker → trainer, on standard input (only with --supervised): the line `stop` requests a checkpoint and an end;
end of file means that the worker has ended, and the trainer exits at once.
Trainer exit status: 0 finished, 3 stopped on request with its checkpoint written, 4 failed with a `failed` event,
anything else is a crash.

Worker → fork server, on a socket: a `ForkRequest` with three descriptors, the trainer's standard input, output and
error. It answers each with a `Forked`, and sends `READY` once before. The trainer's first line is then `ACCEPTED`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

EXIT_FINISHED = 0
EXIT_STOPPED = 3
EXIT_FAILED = 4

READY = b"ready"
ACCEPTED = b'{"type":"accepted"}'
MAX_FORK_BYTES = 1 << 14


class ForkRequest(BaseModel):
    """Start a trainer: the arguments of `worker.train`, and the process that will be its parent."""

    spec: str
    run_dir: str
    worker_pid: int


class Forked(BaseModel):
    """The process id of the trainer; 0: the system could not start a process."""

    pid: int


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Started(_Event):
    """The data is loaded, the model is built, and step `step` (0 for a fresh run) has been reached."""

    type: Literal["started"] = "started"
    device: str
    precision: str
    backend: str = "eager"  # or `cuda_graph`: a step is recorded once and launched with one call
    epochs: int
    steps: int  # in the whole run
    step: int  # steps done before: more than 0 after a resume
    epoch: int
    parameters: int
    versions: dict[str, str]


class Progress(_Event):
    """Progress of the run; at most about twice a second. `metrics` holds the latest training figures.

    memory_bytes, memory_total_bytes: of the device, used by this process and in all.
    """

    type: Literal["progress"] = "progress"
    epoch: int  # 1-based epoch in progress
    step: int  # optimizer steps done
    examples_per_s: float
    steps_per_s: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    metrics: dict[str, float] = {}


class Metrics(_Event):
    """Points of the metric curves, final for this step. Names are the model type's metric names."""

    type: Literal["metrics"] = "metrics"
    epoch: int
    step: int
    values: dict[str, float]


class CheckpointWritten(_Event):
    """A checkpoint folder is complete and durable. `path` is relative to RUN_DIR.

    sha256: of model.safetensors, so equal weights give an equal value. is_best: the best so far by the model type's
    selection metric.
    """

    type: Literal["checkpoint"] = "checkpoint"
    epoch: int
    step: int
    path: str
    sha256: str
    size: int
    metrics: dict[str, float] = {}
    is_best: bool = False


class SampleWritten(_Event):
    """A sample file is complete. `path` is relative to RUN_DIR; `meta` describes it (temperature, rows …)."""

    type: Literal["sample"] = "sample"
    epoch: int
    step: int
    path: str
    media_type: str
    meta: dict[str, Any] = {}


class EventFileWritten(_Event):
    """A file for TensorBoard is complete and will not change. `path` is relative to RUN_DIR.

    With the files reported before, it holds every point, sample and warning up to `step`.
    """

    type: Literal["event_file"] = "event_file"
    step: int
    path: str


class Notice(_Event):
    """A notice for the user: a resume, a fallback to an older checkpoint, a failed health check, a suggestion.

    step: of a health warning. A repeated step repeats the warning; the job's history records it once.
    is_warning: the notice is about the resulting model; it joins the `warnings` of the job.
    """

    type: Literal["notice"] = "notice"
    code: str
    message: str
    hint: str | None = None
    step: int | None = None
    is_warning: bool = False
    data: dict[str, Any] = {}


class Finished(_Event):
    """The run is complete. `checkpoint` is the path of the one to publish; `quality` its final evaluation."""

    type: Literal["finished"] = "finished"
    epoch: int
    step: int
    checkpoint: str
    quality: dict[str, float]


class Stopped(_Event):
    """The run stopped on request; its newest checkpoint is at `step`."""

    type: Literal["stopped"] = "stopped"
    epoch: int
    step: int


class Failed(_Event):
    """The run failed. `code` is an ErrorCode. available_bytes: as `OutOfMemory`, where memory ran out."""

    type: Literal["failed"] = "failed"
    code: str
    message: str
    hint: str | None = None
    available_bytes: int | None = None


Event = Annotated[
    Started
    | Progress
    | Metrics
    | CheckpointWritten
    | SampleWritten
    | EventFileWritten
    | Notice
    | Finished
    | Stopped
    | Failed,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
