"""The weights of another run as the start of this one (`init_from`)."""

from pathlib import Path

from torch import Tensor

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, Checkpoint, DamagedCheckpoint, verify
from worker.models.base import GenerativeModel
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec

_HINT = "Use the model type, the layer sizes and the image size of its run, or leave init_from out."

_FRESH_HINT = "Whatever starts fresh is learned from this job's data alone: give it enough epochs."


def load(model: GenerativeModel, spec: TrainerSpec, path: Path, reporter: Reporter) -> None:
    """Load the weights of the checkpoint in a folder; a warning says which of them start fresh instead.

    Raises JobFailure(INIT_FROM_UNUSABLE) for a damaged checkpoint and for weights of another type or shape.
    """
    source = _source(spec, path)
    adapted = model.adapted(_weights(path), source.manifest.config)
    own = model.state_dict()
    for name in [*own, *sorted(adapted.weights.keys() - own.keys())]:
        here = tuple(own[name].shape) if name in own else "missing"
        there = tuple(adapted.weights[name].shape) if name in adapted.weights else "missing"
        if here != there:
            raise _unusable(f"init_from does not fit: {name} is {there} there and {here} here.", _HINT)
    model.load_state_dict(adapted.weights)
    for change in adapted.changes:
        reporter.warning(change.code, change.message, _FRESH_HINT, step=0, data=change.data)


def _weights(path: Path) -> dict[str, Tensor]:
    """The weights in float32. Imported models may be stored in float16."""
    tensors = local.load_tensors(path / WEIGHTS)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _source(spec: TrainerSpec, path: Path) -> Checkpoint:
    try:
        source = verify(path, weights_only=True)
    except DamagedCheckpoint as error:
        raise _unusable(f"init_from cannot be used: {error.detail}.", "Start from another checkpoint.") from error
    other = source.manifest.model_type
    if other != spec.model_type:
        raise _unusable(f"init_from is a checkpoint of {other}, not of {spec.model_type}.", _HINT)
    return source


def _unusable(message: str, hint: str) -> JobFailure:
    return JobFailure(ErrorCode.INIT_FROM_UNUSABLE, message, hint)
