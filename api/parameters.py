"""Parameters of routes: ids in paths, queries of lists."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema

from shared import exports, model_types
from shared.control_characters import NoControls
from shared.errors import NotFound, SpecError
from shared.job_status import JobStatus
from shared.services.job_search import JobSort
from shared.spec_errors import nearest

AFTER = "Id of the last item of the page before; this page starts after it."
_ULID = "[0-9a-hjkmnp-tv-z]{26}"


def _exists(pattern: str, what: str) -> AfterValidator:
    """Report a malformed id as unknown, without a query of the database."""
    shape = re.compile(pattern)

    def check(value: str) -> str:
        if not shape.fullmatch(value):
            raise NotFound(f"There is no {what} {value[:64]!r}.")
        return value

    return AfterValidator(check)


def documented(pattern: str) -> WithJsonSchema:
    """Documents a string by its pattern, which is checked elsewhere."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


class _OneOf:
    """Documents a string as one of several names, which are read when the schema is created."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def __get_pydantic_json_schema__(self, *_: Any) -> JsonSchemaValue:
        return {"type": "string", "enum": list(self._names())}


TRAINING_JOB = f"^trn_{_ULID}$"
GENERATION_JOB = f"^gen_{_ULID}$"
MODEL = f"^mdl_{_ULID}$"
ARTIFACT = f"^art_{_ULID}$"
NAME = "^[a-z0-9][a-z0-9._-]{0,63}$"


class Documented(BaseModel):
    """Caches the schema of query parameters or headers, which flask-openapi reads at every request."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of pydantic, computed once."""
        return _kept_schema(cls, args, tuple(sorted(kwargs.items())))


@cache
def _kept_schema(
    model: type[Documented], arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    return super(Documented, model).model_json_schema(*arguments, **dict(options))


class _Path(BaseModel):
    model_config = ConfigDict(frozen=True)


class TrainingJobPath(_Path):
    """Path of a training job."""

    id: Annotated[str, _exists(TRAINING_JOB, "training job"), documented(TRAINING_JOB)]


class GenerationJobPath(_Path):
    """Path of a generation job."""

    id: Annotated[str, _exists(GENERATION_JOB, "generation job"), documented(GENERATION_JOB)]


class ModelPath(_Path):
    """Path of a model."""

    id: Annotated[str, _exists(MODEL, "model"), documented(MODEL)]


class ArtifactPath(_Path):
    """Path of an artifact."""

    id: Annotated[str, _exists(ARTIFACT, "artifact"), documented(ARTIFACT)]


class DatasetPath(_Path):
    """Path of a dataset."""

    name: Annotated[str, _exists(NAME, "dataset"), documented(NAME)]


class ModelTypePath(_Path):
    """Path of a model type."""

    name: Annotated[str, _exists(NAME, "model type"), documented(NAME)]


class Query(Documented):
    """Base of the query parameters of a route. `api.query_check` refuses others."""


def _known_model_type(name: str) -> str:
    if name not in model_types.REGISTRY:
        detail = f"There is no model type `{name[:64]}`.{nearest(name, model_types.REGISTRY)}"
        raise SpecError.at("?model_type", detail, "unknown")
    return name


# `shared.services.paging` checks the form of `after`.
# A query string has no null, so the schema of an optional parameter has none.
Absent = SkipJsonSchema[None]
ModelTypeName = Annotated[str, AfterValidator(_known_model_type), _OneOf(lambda: model_types.REGISTRY)]


class PageQuery(Query):
    """Parameters of a list."""

    limit: int = Field(20, ge=1, le=100, description="Items in the page.")


class PruneQuery(Query):
    """Parameters of the removal of ended jobs, or of their files."""

    kind: Literal["jobs", "checkpoints", "samples", "event_files"] = Field(
        "jobs", description="`jobs`: whole jobs. Otherwise files of this kind, of jobs that stay."
    )
    status: list[JobStatus] = Field([], description="Only ended jobs of this status; repeated: of one of these.")
    keep_last: int = Field(1, ge=0, le=10_000, description="Newest files that each job keeps, for kinds of files.")
    older_than_days: float = Field(30, ge=0, le=36_500, description="Only jobs that ended so many days ago or earlier.")
    models: bool = Field(False, description="Also jobs that published a model, with the model.")
    dry_run: bool = Field(False, description="Delete nothing.")


class _JobsQuery(PageQuery):
    status: list[JobStatus] = Field([], description="Only jobs of this status; repeated: of one of these.")
    model_type: ModelTypeName | Absent = Field(None, description="Only jobs of this model type.")
    q: Annotated[str, StringConstraints(max_length=200), *NoControls] | Absent = Field(
        None,
        description="Only jobs with each of these words in the name, the id, the model type, the dataset or model, or "
        "the metadata; in any case.",
    )
    sort: Annotated[JobSort, WithJsonSchema({"type": "string", "enum": list(JobSort)})] = Field(
        JobSort.NEWEST,
        description="`name`: by the id where a job has none. `status`: in work, waiting, ended; each newest first.",
    )


class TrainingJobsQuery(_JobsQuery):
    """Parameters of the list of training jobs."""

    after: Annotated[str, documented(TRAINING_JOB)] | Absent = Field(None, description=AFTER)


class DatasetsQuery(Query):
    """Parameters of the list of datasets."""

    limit: int = Field(100, ge=1, le=1000, description="Items in the page.")
    after: str | Absent = Field(
        None, description="Name of the last item of the page before; this page starts after it."
    )


class PreviewQuery(Query):
    """Parameters of a dataset's preview."""

    part: Literal["train", "test"] = Field("train", description="Part of the images.")
    label: int | Absent = Field(
        None, ge=0, le=10_000, description="Only images of this class; absent: of every class in order."
    )
    limit: int = Field(10, ge=1, le=200, description="Images of each class; fewer where they would exceed 2 MiB.")
    offset: int = Field(
        0, ge=0, le=2**53, description="First byte of the passage; for images, the place within their class."
    )
    seed: int | Absent = Field(
        None, ge=0, le=2**53, description="A random passage in place of `offset`; for images, a random order."
    )
    length: int = Field(400, ge=1, le=10_000, description="Characters of the passage.")


class GenerationJobsQuery(_JobsQuery):
    """Parameters of the list of generation jobs."""

    after: Annotated[str, documented(GENERATION_JOB)] | Absent = Field(None, description=AFTER)


class ModelsQuery(PageQuery):
    """Parameters of the list of models."""

    model_type: ModelTypeName | Absent = Field(None, description="Only models of this type.")
    after: Annotated[str, documented(MODEL)] | Absent = Field(None, description=AFTER)


def _known_format(name: str) -> str:
    if name not in exports.FORMATS:
        known = " and ".join(exports.FORMATS)
        raise SpecError.at("?format", f"There is no export format `{name[:64]}`; there are {known}.", "unknown")
    return name


def _parts() -> list[str]:
    return sorted({part for model_type in model_types.REGISTRY.values() for part in model_type.onnx_parts})


class ExportQuery(Query):
    """Parameters of an export."""

    format: Annotated[str, AfterValidator(_known_format), _OneOf(lambda: exports.FORMATS)] = Field(
        exports.SAFETENSORS, description="`safetensors`: the weights. `onnx`: a graph that computes without Mimeo."
    )
    part: Annotated[str, _OneOf(_parts)] | Absent = Field(
        None, description="One of the model type's graphs (`onnx` only); the first when absent."
    )


class ArtifactsQuery(Query):
    """Parameters of a list of artifacts."""

    limit: int = Field(100, ge=1, le=1000, description="Items in the page.")
    after: Annotated[str, documented(ARTIFACT)] | Absent = Field(None, description=AFTER)


class FilesQuery(ArtifactsQuery):
    """Parameters of the list of files."""

    kind: Literal["sample", "output", "tensorboard"] | Absent = Field(None, description="Only files of this kind.")


class EventsQuery(Query):
    """Parameters of a list of events."""

    limit: int = Field(100, ge=1, le=1000, description="Items in the page.")
    after: int = Field(0, ge=0, le=2**53, description="Id of the last event of the page before.")


class MetricsQuery(Query):
    """Parameters of the curves."""

    name: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")] | Absent = Field(
        None, description="Only this metric."
    )
    max_points: int = Field(1000, ge=2, le=10_000, description="Most points of one curve, and at most one more.")
    from_step: int | Absent = Field(None, ge=0, le=2**53, description="Only points of this step and later ones.")
    to_step: int | Absent = Field(None, ge=0, le=2**53, description="Only points of this step and earlier ones.")


class StreamQuery(Query):
    """Parameters of a stream."""

    after: Annotated[str, StringConstraints(max_length=64)] | Absent = Field(
        None, description="Id of the last received event, for clients that cannot send `Last-Event-ID`."
    )
