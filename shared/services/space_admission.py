"""Refuses work for which the disks have too little space. The running jobs and other programs need space as well."""

from typing import Any

from shared import disk_space
from shared.datasets import DatasetShape
from shared.errors import FieldError, StorageFull
from shared.model_types.base import Hyperparameters, ModelType
from shared.settings import Settings

# The newest two, the best, the published one and one that is being written.
_CHECKPOINTS = 5
_SAMPLES_BYTES = 16 << 20


def check_training(
    settings: Settings, model_type: ModelType, hyperparameters: Hyperparameters, dataset: DatasetShape
) -> None:
    """Check that checkpoints and samples of a training fit on the disk. Raises StorageFull."""
    needed = _CHECKPOINTS * model_type.stored_bytes(hyperparameters, dataset) + _SAMPLES_BYTES
    _check(settings, needed, "/hyperparameters", "Train a smaller model, or free space")


def check_generation(
    settings: Settings, model_type: ModelType, hyperparameters: Any, sampling: Any, dataset: DatasetShape
) -> None:
    """Check that the output of a generation fits on the disk; it is no larger than its memory. Raises StorageFull."""
    needed = model_type.sampling_bytes(hyperparameters, sampling, dataset)
    _check(settings, needed, "/sampling", "Generate less, or free space")


def check_upload(settings: Settings, count: int) -> None:
    """Check that an upload of so many bytes fits on the disk. Raises StorageFull."""
    _check(settings, count, "/file", "Upload a smaller file, or free space")


def _check(settings: Settings, needed: int, pointer: str, remedy: str) -> None:
    if problem := disk_space.shortage(settings, needed):
        detail = f"{problem} {remedy}: `mimeo prune` removes ended jobs."
        raise StorageFull(detail, [FieldError(pointer=pointer, detail=detail, code=StorageFull.code)])
