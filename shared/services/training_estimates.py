"""What a training would take: steps, memory, place in the queue, and time by speeds that workers measured here.

The time is that of the optimizer steps. Speeds are taken from the newest running and succeeded jobs of the model type
on the device of the live workers. Among them, the job whose step has the nearest work is the reference: its speed times
its work for one example, divided by the work for one example of the request.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import datasets as registry
from shared.datasets import DatasetShape
from shared.db.owned_rows import ALL_OWNERS, owner_of
from shared.db.tables import TrainingJob, Worker
from shared.job_status import JobKind, JobStatus
from shared.model_types.base import ModelType
from shared.model_types.training_steps import TrainingSteps
from shared.placement import canonical
from shared.services import datasets, fair_share, placements, queue_stats, workers
from shared.services.admission import AdmittedTraining, admit_training
from shared.services.job_warnings import JobWarning
from shared.settings import Settings
from shared.specs import TrainingRequest

_REFERENCES = 20  # jobs of each status whose speeds are considered
_MEASURED = (JobStatus.RUNNING, JobStatus.SUCCEEDED)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Examples per second that a request is expected to reach, and the origin of the number as a sentence."""

    examples_per_s: float | None
    basis: str


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """An admitted request and its costs. steps: of the whole run. seconds: of its steps; None without a measurement."""

    admitted: AdmittedTraining
    steps: int | None
    examples_per_step: int | None
    seconds: float | None
    basis: str
    queue_position: int
    warnings: list[JobWarning]


@dataclass(frozen=True, kw_only=True)
class _Measured:
    job: str
    examples_per_s: float
    examples: int
    example_work: int


def estimate(session: Session, request: TrainingRequest, settings: Settings) -> TrainingEstimate:
    """The costs of a request. Nothing is stored. Raises SpecError, StorageFull."""
    admitted = admit_training(session, request, settings, lock=None)
    steps = admitted.model_type.training_steps(admitted.hyperparameters, admitted.shape)
    alive = [worker for worker in workers.list_alive(session, settings) if worker.kind is JobKind.TRAINING]
    total = steps.per_epoch * admitted.hyperparameters.epochs if steps else None
    if steps is None or total is None:
        speed = Speed(examples_per_s=None, basis="The number of steps depends on the dataset, whose size is not known.")
    else:
        speed = _speed(session, admitted, steps, {worker.device for worker in alive})
    seconds = None
    if steps and total and speed.examples_per_s:
        seconds = total * steps.examples / speed.examples_per_s
    return TrainingEstimate(
        admitted=admitted,
        steps=total,
        examples_per_step=steps.examples if steps else None,
        seconds=seconds,
        basis=speed.basis,
        queue_position=queue_stats.next_position(
            session,
            JobKind.TRAINING,
            request.priority,
            running_limit=fair_share.running_limit(settings, JobKind.TRAINING),
        ),
        warnings=[
            *_without_worker(request, alive),
            *_dataset_warnings(admitted.spec["dataset"], settings),
            *admitted.warnings,
        ],
    )


def _speed(session: Session, admitted: AdmittedTraining, steps: TrainingSteps, devices: set[str]) -> Speed:
    """The speed of the nearest measured job, converted to the work of this request."""
    kind = admitted.model_type
    work = _example_work(kind, admitted.hyperparameters, admitted.shape)
    found = [
        each for each in _measured(session, kind, devices) if kind.example_work or _is_equal(each, work, steps.examples)
    ]
    if not found:
        return Speed(
            examples_per_s=None,
            basis=f"No worker has measured the speed of {kind.name} models on this machine yet; the first job does.",
        )
    nearest = min(found, key=lambda each: abs(math.log(each.examples * each.example_work / (steps.examples * work))))
    factor = work / nearest.example_work
    measured = f"{nearest.job} trained {nearest.examples_per_s:,.0f} examples a second"
    basis = (
        f"{measured} on this machine."
        if _is_equal(nearest, work, steps.examples)
        else f"{measured} on this machine; an example of this one takes {factor:.3g} times the work."
    )
    return Speed(examples_per_s=nearest.examples_per_s / factor, basis=basis)


def _is_equal(measured: _Measured, work: int, examples: int) -> bool:
    return measured.example_work == work and measured.examples == examples


def _example_work(kind: ModelType, hyperparameters: Any, shape: DatasetShape) -> int:
    return max(1, kind.example_work(hyperparameters, shape)) if kind.example_work else 1


def _measured(session: Session, kind: ModelType, devices: set[str]) -> Iterator[_Measured]:
    """Newest jobs of a model type with a measured speed. devices: of the live workers; any when empty."""
    columns = (TrainingJob.id, TrainingJob.owner, TrainingJob.spec, TrainingJob.progress, TrainingJob.device)
    for status in _MEASURED:
        query = select(*columns).where(TrainingJob.model_type == kind.name, TrainingJob.status == status)
        newest = query.order_by(TrainingJob.id.desc()).limit(_REFERENCES)
        for job_id, owner, spec, progress, device in session.execute(newest, execution_options=ALL_OWNERS):
            is_visible = owner in {None, owner_of(session)}
            if not is_visible and spec["dataset"] not in registry.REGISTRY:
                continue
            shape, speed = datasets.shape(session, spec["dataset"]), progress.get("examples_per_s")
            if not speed or shape is None or (devices and device not in devices):
                continue
            try:
                hyperparameters = kind.hyperparameters.model_validate(spec["hyperparameters"])
            except ValidationError:
                continue  # of an earlier version
            steps = kind.training_steps(hyperparameters, shape)
            if steps is not None:
                work = _example_work(kind, hyperparameters, shape)
                name = job_id if is_visible else "A job of another owner"
                yield _Measured(job=name, examples_per_s=speed, examples=steps.examples, example_work=work)


def _without_worker(request: TrainingRequest, alive: Sequence[Worker]) -> list[JobWarning]:
    if not alive:
        return [JobWarning(code="no_worker", message="No training worker is running.", hint="Start one: mimeo up")]
    placement = canonical(request.device, request.requires)
    if any(placements.ability_of(worker).meets(placement) for worker in alive):
        return []
    message = "No running worker has the device and the labels that the job asks for; it would wait for one."
    return [JobWarning(code="no_able_worker", message=message, hint="mimeo workers shows what each one has.")]


def _dataset_warnings(name: str, settings: Settings) -> list[JobWarning]:
    info = registry.REGISTRY.get(name)
    if info is None:
        return []
    folders = (settings.datasets_dir, settings.downloads_path)
    match registry.availability(info, *folders, offline=settings.offline):
        case "downloadable":
            message = f"{name} is not on this machine; a worker downloads it first."
            return [JobWarning(code="download", message=message)]
        case "missing":
            hint = f"Put {', '.join(info.files)} under MIMEO_DATASETS_DIR."
            return [JobWarning(code="dataset_missing", message=f"{name} is not on this machine.", hint=hint)]
    return []
