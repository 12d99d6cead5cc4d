"""Prepares a run: data, device, precision and model, from the start or from a checkpoint."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shared.errors import SpecError
from shared.settings import Settings
from worker import data, device
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, Checkpoint
from worker.data import Dataset
from worker.data.progress import Progress
from worker.models import implementation
from worker.models.base import GenerativeModel
from worker.seeding import Seeder, Stream
from worker.trainer import backend_choice, initial_weights
from worker.trainer.backend_choice import Hardware, Requested
from worker.trainer.compute import Compute, checked_backend, checked_precision, set_up
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec

_PROGRESS_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run ready to continue from `start` (None: from the beginning)."""

    spec: TrainerSpec
    folder: Path
    model: GenerativeModel
    compute: Compute
    seeder: Seeder
    start: Checkpoint | None
    versions: Mapping[str, str]


def prepare(spec: TrainerSpec, folder: Path, settings: Settings, reporter: Reporter) -> Run:
    """Prepare a run. Raises SpecError for a specification that cannot run, and JobFailure for unusable data."""
    local.sweep(folder)
    start = _resumable(spec, folder, reporter)
    compute = _compute(spec, start, reporter)
    set_up(compute)
    dataset = data.load(
        spec.dataset_name,
        datasets_dir=settings.datasets_dir,
        home=settings.home_path,
        offline=settings.offline,
        path=spec.dataset_path,
        kind=spec.contract.data_kind,
        on_progress=_DatasetProgress(reporter).report,
    )
    spec.contract.check_training(spec.resolved_hyperparameters(), dataset.shape)
    seeder = Seeder(spec.seed, compute.device)
    model = build(spec, dataset, compute, seeder, reporter)
    model.cache_dir = settings.home_path / "classifiers" if settings.home_path.is_dir() else None
    if start is not None:
        model.load_state_dict(local.load_tensors(start.path / WEIGHTS))
        model.load_training_state(local.load_training(start), start.manifest.training_values)
    return Run(
        spec=spec,
        folder=folder,
        model=model,
        compute=compute,
        seeder=seeder,
        start=start,
        versions=device.versions(compute.device),
    )


def build(spec: TrainerSpec, dataset: Dataset, compute: Compute, seeder: Seeder, reporter: Reporter) -> GenerativeModel:
    """A model on its device, ready for its first step, with the weights of `init_from` where the spec names one."""
    seeder.set(Stream.WEIGHTS)
    model = implementation(spec.contract).for_data(spec.resolved_hyperparameters(), dataset).to(compute.device)
    model.batch_parts = compute.batch_parts
    if spec.init_from is not None:
        initial_weights.load(model, spec, spec.init_from, reporter)
    seeder.set(Stream.TRAINING)
    model.start_training(dataset, seed=spec.seed)
    for warning in model.data_warnings():
        reporter.warning(warning.code, warning.message, warning.hint, step=0, data=warning.data)
    return model


class _DatasetProgress:
    """Reports each stage of obtaining a dataset, and the progress of a download every five seconds."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._stage = ("", "")
        self._reported_at = -math.inf

    def report(self, progress: Progress) -> None:
        """Called for each block of a download, and at the start of every other stage."""
        is_new = (progress.stage, progress.name) != self._stage
        if is_new or time.monotonic() >= self._reported_at + _PROGRESS_S:
            self._stage = (progress.stage, progress.name)
            self._reported_at = time.monotonic()
            self._reporter.notice(progress.stage, str(progress))


def _resumable(spec: TrainerSpec, folder: Path, reporter: Reporter) -> Checkpoint | None:
    """The checkpoint to continue from, or None. Reports it, and the newer ones that are damaged."""
    search = local.newest_valid(folder)
    found = search.found
    if search.damaged:
        used = f"continuing from step {found.manifest.step}" if found else "starting over"
        reporter.notice(
            "checkpoint_fallback",
            f"Checkpoint {search.damaged[0][1]}; {used}.",
            damaged=[name for name, _ in search.damaged],
            step=found.manifest.step if found else 0,
        )
    if found is None:
        return None
    _check_same_run(spec, found, folder)
    step = found.manifest.step
    reporter.notice("resumed", f"Continuing from the checkpoint at step {step}.", step=step)
    return found


def _check_same_run(spec: TrainerSpec, found: Checkpoint, folder: Path) -> None:
    requested = _identity(spec.model_type, spec.dataset_name, spec.seed, spec.hyperparameters)
    manifest = found.manifest
    stored = _identity(manifest.model_type, manifest.dataset, manifest.seed, manifest.hyperparameters)
    for name, value in requested.items():
        if stored.get(name) != value:
            pointer = f"/hyperparameters/{name}" if name in spec.hyperparameters else f"/{name}"
            raise SpecError.at(
                pointer,
                f"{folder} holds a run with {name} {stored.get(name)!r}, not {value!r}; use another folder, and"
                " `init_from` to start from these weights",
                "conflict",
            )


def _identity(model_type: str, dataset: str, seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The fields that identify a run."""
    return {"model_type": model_type, "dataset": dataset, "seed": seed, **hyperparameters}


def _compute(spec: TrainerSpec, start: Checkpoint | None, reporter: Reporter) -> Compute:
    """How to compute: as recorded in the checkpoint, so that a resumed run gives the same weights; else by the rule."""
    if start is None:
        where = device.choose_device(spec.device)
        hardware = Hardware.detect("cuda" if where.type == "cuda" else "cpu")
        requested = Requested(backend=spec.backend, precision=spec.precision)
        choice = backend_choice.choose(spec.contract, hardware, requested)
        return Compute(
            device=where,
            precision=choice.precision,
            backend=choice.backend,
            threads=device.choose_threads(spec.threads),
            batch_parts=spec.batch_parts,
        )
    manifest = start.manifest
    before = torch.device(manifest.device).type
    here = device.choose_device(before if spec.device == "auto" and before == "cpu" else spec.device)
    if here.type != before:
        message = f"The run began on {before} and continues on {here.type}: the last digits may differ."
        reporter.notice("device_changed", message)
    elif manifest.versions != device.versions(here):
        message = "Library versions, or the GPU, differ from the checkpoint's: the last digits may differ."
        reporter.notice("versions_changed", message)
    return Compute(
        device=here,
        precision=checked_precision(manifest.precision),
        backend=backend_choice.backend_on(here.type, checked_backend(manifest.backend)),
        threads=manifest.threads,
        batch_parts=max(spec.batch_parts, manifest.batch_parts),
    )
