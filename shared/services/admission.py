"""Checks of a request beyond its shape: names must exist, kinds must match, memory must suffice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from shared import cgroup_memory, model_types
from shared.datasets import DatasetShape
from shared.errors import SpecError
from shared.model_types.base import DataWarning, Hyperparameters, ModelType, SamplingWarning
from shared.services import datasets, model_config, models, space_admission, starting_weights
from shared.services.job_warnings import JobWarning
from shared.settings import Settings
from shared.spec_errors import nearest
from shared.specs import GenerationRequest, TrainingRequest, spec_error

_TORCH_BYTES = 1 << 30  # memory of the interpreter and torch before a job starts


@dataclass(frozen=True, kw_only=True)
class AdmittedTraining:
    """A training request with all names resolved. spec, warnings: those of the job row."""

    model_type: ModelType
    hyperparameters: Hyperparameters
    shape: DatasetShape
    memory_bytes: int
    spec: dict[str, Any]
    warnings: list[JobWarning]


@dataclass(frozen=True, kw_only=True)
class AdmittedGeneration:
    """A generation request with all names resolved. spec, is_quick, memory_bytes, warnings: those of the job row."""

    model_type: str
    spec: dict[str, Any]
    is_quick: bool
    memory_bytes: int
    warnings: list[JobWarning]


def admit_training(
    session: Session, request: TrainingRequest, settings: Settings, *, lock: datasets.Lock | None = "share"
) -> AdmittedTraining:
    """The resolved training request. Raises SpecError, StorageFull.

    lock: on an uploaded dataset until the end of the transaction, so that it stays the version of the spec.
    """
    model_type = model_types.get(request.model_type)
    shape = _dataset_shape(session, request, model_type)
    hyperparameters = _hyperparameters(request, model_type)
    model_type.check_training(hyperparameters, shape)
    memory_bytes = model_type.training_bytes(hyperparameters, shape)
    _check_memory(memory_bytes, settings, "/hyperparameters", "train")
    space_admission.check_training(settings, model_type, hyperparameters, shape)
    spec = {
        "dataset": request.dataset or model_type.default_dataset,
        "preset": request.preset,
        "evaluation": request.evaluation,
        "device": request.device,
        "requires": sorted(set(request.requires)),
        "hyperparameters": hyperparameters.model_dump(mode="json", by_alias=True),
        "init_from": starting_weights.admit(
            session, request.init_from, model_type, hyperparameters, shape=shape, settings=settings
        ),
        **_dataset_version(session, request.dataset or model_type.default_dataset, lock),
    }
    return AdmittedTraining(
        model_type=model_type,
        hyperparameters=hyperparameters,
        shape=shape,
        memory_bytes=memory_bytes,
        spec=spec,
        warnings=_job_warnings(model_type.data_warnings(shape) if model_type.data_warnings else []),
    )


def admit_generation(session: Session, request: GenerationRequest, settings: Settings) -> AdmittedGeneration:
    """The resolved spec of a generation job. Raises SpecError, StorageFull."""
    source = models.resolve(session, request.model)
    model_type = model_types.get(source.model_type)
    form = request.format or model_type.formats[0]
    if form not in model_type.formats:
        known = ", ".join(model_type.formats)
        raise SpecError.at("/format", f"A {model_type.name} model generates {known}, not {form}.", "unknown")
    try:
        sampling = model_type.sampling.validate_python(dict(request.sampling))
    except ValidationError as error:
        raise spec_error(error, "/sampling", model=model_type.sampling) from None
    config = model_config.of_checkpoint(session, source.checkpoint, settings)
    if model_type.resolve_sampling is not None:
        sampling = model_type.resolve_sampling(sampling, config)
    shape = datasets.shape(session, source.dataset) or DatasetShape(kind=model_type.data_kind)
    shape = model_config.shape(config, shape)
    hyperparameters = model_type.hyperparameters.model_validate(source.hyperparameters)
    model_type.check_sampling(hyperparameters, sampling, shape)
    if model_type.check_config is not None and config:
        model_type.check_config(sampling, config)
    memory_bytes = model_type.sampling_bytes(hyperparameters, sampling, shape)
    _check_memory(memory_bytes, settings, "/sampling", "generate")
    space_admission.check_generation(settings, model_type, hyperparameters, sampling, shape)
    spec = {
        "model": request.model,
        "model_id": source.model_id,
        "training_job_id": source.checkpoint.job_id,
        "checkpoint_id": source.checkpoint.id,
        "sampling": model_type.sampling.dump_python(sampling, mode="json", by_alias=True),
        "format": form,
    }
    found = model_type.sampling_warnings(sampling, config) if model_type.sampling_warnings and config else []
    return AdmittedGeneration(
        model_type=model_type.name,
        spec=spec,
        is_quick=model_type.is_quick(hyperparameters, sampling, shape),
        memory_bytes=memory_bytes,
        warnings=_job_warnings(found),
    )


def memory_limit(settings: Settings) -> int:
    """Memory limit of a job in bytes: the setting, or the memory of this machine or container, less that of torch."""
    if settings.worker_memory_bytes is not None:
        return settings.worker_memory_bytes
    limit = cgroup_memory.limit()
    total = limit.size if limit else cgroup_memory.physical()
    return max(total - _TORCH_BYTES, total // 2)


def _dataset_shape(session: Session, request: TrainingRequest, model_type: ModelType) -> DatasetShape:
    name = request.dataset or model_type.default_dataset
    shape = datasets.shape(session, name)
    if shape is None:
        fitting = datasets.names(session, model_type.data_kind)
        raise SpecError.at("/dataset", f'There is no dataset "{name}".{nearest(name, fitting)}', "unknown")
    if shape.kind != model_type.data_kind:
        detail = f"A {model_type.name} learns from {model_type.data_kind}; {name} is {shape.kind}."
        fitting = datasets.names(session, model_type.data_kind)
        raise SpecError.at("/dataset", f"{detail} Valid: {', '.join(sorted(fitting))}.", "wrong_kind")
    if model_type.needs_labels and shape.classes is None:
        raise SpecError.at("/dataset", f"A {model_type.name} needs labelled data; {name} has no labels.", "wrong_kind")
    if model_type.needs_labels and shape.classes == 1:
        detail = f"A {model_type.name} needs at least two classes, and {name} has one; train a VAE or a GAN on it."
        raise SpecError.at("/dataset", detail, "one_class")
    return shape


def _job_warnings(found: Sequence[SamplingWarning | DataWarning]) -> list[JobWarning]:
    return [JobWarning(code=each.code, message=each.message, hint=each.hint) for each in found]


def _dataset_version(session: Session, name: str, lock: datasets.Lock | None) -> dict[str, str]:
    """Checksum of an uploaded dataset's current version."""
    row = datasets.find_upload(session, name, lock=lock)
    return {} if row is None else {"dataset_sha256": row.sha256}


def _hyperparameters(request: TrainingRequest, model_type: ModelType) -> Hyperparameters:
    if request.preset not in model_type.presets:
        detail = f'A {model_type.name} has no preset "{request.preset}".{nearest(request.preset, model_type.presets)}'
        raise SpecError.at("/preset", detail, "unknown")
    try:
        return model_type.resolve(request.preset, request.hyperparameters)
    except ValidationError as error:
        raise spec_error(error, "/hyperparameters", model=model_type.hyperparameters) from None


def _check_memory(needed: int, settings: Settings, pointer: str, what: str) -> None:
    limit = memory_limit(settings)
    if needed > limit:
        detail = (
            f"To {what} with these values takes about {_gib(needed)} of memory and a worker has {_gib(limit)}. "
            "Reduce the request, or raise MIMEO_WORKER_MEMORY_BYTES if the workers have more."
        )
        raise SpecError.at(pointer, detail, "too_much_memory")


def _gib(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"
