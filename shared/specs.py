"""The requests that create jobs, as pydantic models: shape and numeric bounds.

`shared.services.admission` makes the checks that need the database or the registries.
"""

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from shared.control_characters import NoControls
from shared.errors import SpecError
from shared.job_status import Priority
from shared.placement import LABEL, MOST_LABELS, RequestedDevice, checked_label
from shared.spec_errors import nearest, pointer, spec_error
from shared.webhooks import targets

__all__ = [
    "MAX_SEED",
    "Cancellation",
    "GenerationRequest",
    "JobChanges",
    "Login",
    "TrainingRequest",
    "nearest",
    "parse_generation",
    "parse_training",
    "spec_error",
]

MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exact
MAX_TIMEOUT_S = 30 * 86_400

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), *NoControls]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64), *NoControls]
MetadataValue = Annotated[str, StringConstraints(max_length=512), *NoControls]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue], Field(max_length=16, json_schema_extra={"additionalProperties": False})
]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
JobId = Annotated[str, StringConstraints(pattern=r"^(trn|gen)_[0-9a-z]{26}$")]
Label = Annotated[str, AfterValidator(checked_label), Field(json_schema_extra={"pattern": f"^{LABEL}$"})]
Options = Annotated[dict[str, Any], Field(max_length=64)]


def _webhook_url(url: str) -> str:
    targets.parse(url)
    return url


WebhookEvent = Literal["running", "paused", "succeeded", "failed", "cancelled"]
WEBHOOK_EVENTS: tuple[str, ...] = get_args(WebhookEvent)
WebhookUrl = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_webhook_url)]


class Webhook(BaseModel):
    """Where events of the job are sent, signed by the Standard Webhooks specification."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: WebhookUrl = Field(description="An `https` or `http` URL without user, password and fragment.")
    events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WEBHOOK_EVENTS))] = Field(
        ["succeeded", "failed", "cancelled"], description="Which events are sent."
    )


class JobRequest(BaseModel):
    """Fields that every kind of job has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    seed: Seed | None = Field(
        None, description="The same seed gives the same result on the same machine; generated when absent."
    )
    name: Name | None = Field(None, description="A display name, without control characters.")
    metadata: Metadata = Field({}, description="Up to 16 strings, by key; Mimeo does not interpret them.")
    webhook: Webhook | None = Field(None, description="Send events of the job to a URL.")
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts before the loss of a worker fails the job.")


Evaluation = Literal["auto", "full", "quick", "none"]


class TrainingRequest(JobRequest):
    """Request for a training job."""

    model_type: Identifier = Field(description="One of `GET /v1/model-types`.")
    dataset: Identifier | None = Field(
        None, description="One of `GET /v1/datasets`; the model type's default when absent."
    )
    preset: Identifier = Field("fast", description="A named set of hyperparameters.")
    hyperparameters: Options = Field({}, description="Overrides of the preset's values.")
    priority: Priority = Field(Priority.NORMAL, strict=False, description="Order among queued jobs.")
    timeout_s: int = Field(86_400, ge=1, le=MAX_TIMEOUT_S, description="Longest time one attempt may run, in seconds.")
    evaluation: Evaluation = Field(
        "auto",
        description="The final evaluation: `full`; `quick`, the figures that take about a second; `none`; or `auto`, "
        "`full` where the job trains on enough examples for it to take no longer than the training, else `quick`.",
    )
    init_from: Annotated[str, StringConstraints(pattern=r"^(mdl|ckp)_[0-9a-z]{26}$")] | None = Field(
        None, description="A model or checkpoint to continue from, as a new job."
    )
    preemptible: bool = Field(
        False, description="A running job gives way to a job of a higher priority, and continues from its checkpoint."
    )
    device: RequestedDevice = Field(
        "auto",
        description="`cuda`: the job waits for a worker with a GPU. `cpu`: any worker trains it on its cores. `auto`: "
        "any worker trains it on its GPU, or on its cores without one.",
    )
    requires: Annotated[list[Label], Field(max_length=MOST_LABELS)] = Field(
        [], description="Labels that the job's worker must have (`MIMEO_WORKER_LABELS`)."
    )
    dry_run: bool = Field(False, description="Store nothing; answer with the resolved settings and an estimate.")


class GenerationRequest(JobRequest):
    """Request for a generation job."""

    model: Annotated[str, StringConstraints(pattern=r"^(mdl|ckp|trn)_[0-9a-z]{26}$")] = Field(
        description="A model, a checkpoint, or a training job (its model, or its newest checkpoint while it runs)."
    )
    sampling: Options = Field({}, description="Sampling parameters of the model's type.")
    format: Identifier | None = Field(None, description="One of the model type's `formats`; its first when absent.")
    priority: Priority = Field(Priority.NORMAL, strict=False, description="Order among queued generations.")
    timeout_s: int = Field(
        600, ge=1, le=86_400, description="Longest time one attempt may run, in seconds; interruptions do not count."
    )


class JobChanges(BaseModel):
    """Changes of a job that waits. Absent fields keep their values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    priority: Priority = Field(Priority.NORMAL, strict=False, description="Order among queued jobs.")
    name: Name | None = Field(None, description="A display name; null removes it.")
    metadata: Metadata = Field({}, description="Replaces all metadata.")


class Cancellation(BaseModel):
    """Which jobs to cancel at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ids: Annotated[list[JobId], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Only these jobs. Those that do not exist or have ended are left out."
    )
    status: Literal["queued", "paused", "running"] | None = Field(
        None, description="Only jobs of this status: `queued` when absent, or with `ids` all three."
    )
    model_type: Identifier | None = Field(None, description="Only jobs of this model type.")


class Login(BaseModel):
    """The API key with which a browser logs in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr = Field(min_length=1, max_length=200, description="An API key, `mimeo_…`.")


RequestT = TypeVar("RequestT", bound=BaseModel)


def parse_training(body: Any) -> TrainingRequest:
    """The request in a JSON body. Raises SpecError with a pointer to each wrong field."""
    return parse(TrainingRequest, body)


def parse_generation(body: Any) -> GenerationRequest:
    """The request in a JSON body. Raises SpecError with a pointer to each wrong field."""
    return parse(GenerationRequest, body)


def parse(model: type[RequestT], body: Any) -> RequestT:
    """The request of a model in a JSON body. Raises SpecError with a pointer to each wrong field."""
    path = _unstorable(body)
    if path is not None:
        detail = "This text holds a NUL or an unpaired surrogate; send it as valid Unicode without NUL."
        raise SpecError.at(pointer(path), detail, "unstorable_text")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise spec_error(error, model=model) from None


def _unstorable(value: Any, path: tuple[int | str, ...] = ()) -> tuple[int | str, ...] | None:
    """Path of the first text that a database cannot hold (NUL, unpaired surrogates), or None.

    Of an invalid key it is the path of the object.
    """
    if isinstance(value, str):
        return None if is_storable(value) else path
    if isinstance(value, dict):
        for key, item in value.items():
            found = _unstorable(item, (*path, key)) if is_storable(key) else path
            if found is not None:
                return found
    if isinstance(value, list):
        for position, item in enumerate(value):
            if not isinstance(item, float) and (found := _unstorable(item, (*path, position))) is not None:
                return found
    return None


def is_storable(text: Any) -> bool:
    """False for a text that a database cannot hold."""
    if not isinstance(text, str):
        return True
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
