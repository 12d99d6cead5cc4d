"""Building a model for a run, from nothing or from another run's weights."""

from pathlib import Path

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, DamagedCheckpoint, verify
from worker.data import Dataset
from worker.device import Compute
from worker.models import implementation
from worker.models.base import GenerativeModel
from worker.seeding import Seeder, Stream
from worker.trainer.spec import TrainerSpec


def build(spec: TrainerSpec, dataset: Dataset, compute: Compute, seeder: Seeder) -> GenerativeModel:
    """A model on its device, ready for its first step, with the weights of `init_from` where the spec names one."""
    seeder.set(Stream.WEIGHTS)
    model = implementation(spec.contract).for_data(spec.resolved_hyperparameters(), dataset).to(compute.device)
    if spec.init_from is not None:
        _load_weights(model, spec, spec.init_from)
    seeder.set(Stream.TRAINING)
    model.start_training(dataset, seed=spec.seed)
    return model


def _load_weights(model: GenerativeModel, spec: TrainerSpec, path: Path) -> None:
    """Start from the weights of another run. Raises JobFailure where they do not fit this one."""
    try:
        source = verify(path)
    except DamagedCheckpoint as error:
        raise JobFailure(ErrorCode.INVALID_DATA, f"init_from cannot be used: {error.detail}.") from error
    if source.manifest.model_type != spec.model_type:
        other = source.manifest.model_type
        raise JobFailure(ErrorCode.INVALID_DATA, f"init_from is a checkpoint of {other}, not of {spec.model_type}.")
    hint = "Use the dataset and the layer sizes of the run it comes from."
    here, there = model.config(), source.manifest.config
    for name in here.keys() - {"hyperparameters"}:
        if here[name] != there.get(name):
            raise JobFailure(ErrorCode.INVALID_DATA, f"init_from does not fit: its {name} differs.", hint)
    weights = local.load_tensors(path / WEIGHTS)
    for name, tensor in model.state_dict().items():
        if name not in weights or weights[name].shape != tensor.shape:
            found = tuple(weights[name].shape) if name in weights else "missing"
            message = f"init_from does not fit: {name} is {found} there and {tuple(tensor.shape)} here."
            raise JobFailure(ErrorCode.INVALID_DATA, message, hint)
    model.load_state_dict(weights)
