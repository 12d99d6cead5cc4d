"""A finished run of the trainer, read back from its folder."""

from dataclasses import dataclass
from pathlib import Path

from shared import trainer_protocol
from shared.errors import MimeoError, SpecError
from worker.checkpoints import local
from worker.checkpoints.local import Manifest
from worker.checkpoints.manifest import WEIGHTS, verify
from worker.models import GenerativeModel, implementation
from worker.trainer import finish
from worker.trainer import spec as specs
from worker.trainer.spec import TrainerSpec

SPEC = "spec.json"  # as the trainer keeps it, completed


class UnshowableRun(MimeoError):
    """The run cannot be shown."""

    code = "unshowable_run"


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that has ended, and its published model on the processor, ready to sample."""

    folder: Path
    spec: TrainerSpec
    finished: trainer_protocol.Finished
    manifest: Manifest
    model: GenerativeModel


def read(folder: Path) -> FinishedRun:
    """The run in a folder. Raises UnshowableRun, which says what to do about it."""
    spec = _specification(folder)
    finished = finish.result_of(folder)
    if finished is None:
        message = f"{folder}: the run is not finished, or its published checkpoint is damaged"
        raise UnshowableRun(f"{message}; `python -m worker.train {folder / SPEC} {folder}` goes on with it.")
    checkpoint = verify(folder / finished.checkpoint)
    model = implementation(spec.contract).from_config(checkpoint.manifest.config)
    model.load_state_dict(local.load_tensors(checkpoint.path / WEIGHTS))
    return FinishedRun(folder=folder, spec=spec, finished=finished, manifest=checkpoint.manifest, model=model.eval())


def _specification(folder: Path) -> TrainerSpec:
    """What the run was asked for. Raises UnshowableRun where a visitor of the page could not ask for the same."""
    if not (folder / SPEC).is_file():
        example = "python -m benchmarks.quality --model-type vae --run-dir runs/vae"
        raise UnshowableRun(f"{folder} holds no run of the trainer; `{example}` makes one.")
    try:
        spec = specs.read(folder / SPEC)
    except SpecError as error:
        raise UnshowableRun(f"{folder / SPEC}: {error.detail}") from error
    for name in ("dataset_path", "init_from"):
        if getattr(spec, name) is not None:
            message = f"{folder}: a run with `{name}` starts from a file that visitors of the page do not have"
            raise UnshowableRun(f"{message}; show one without it.")
    return spec
