"""One training or one generation in a process of its own: `python -m benchmarks.memory.child REQUEST.json FOLDER`.

Prints the peak of the resident set beyond the resident set of the idle process, in bytes.
"""

import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.settings import Settings
from worker import openmp

if TYPE_CHECKING:
    from worker.models import GenerativeModel

_STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    """Bytes of the resident set of this process: `VmRSS` now, or its peak, `VmHWM`."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


def train(request: dict[str, Any], folder: Path, settings: Settings) -> int:
    """The rise of a whole training, from the data to the final evaluation."""
    from worker.models.evaluation import accuracy_score, classifier  # noqa: PLC0415
    from worker.trainer.report import JsonLines, Reporter  # noqa: PLC0415
    from worker.trainer.run import train as run  # noqa: PLC0415
    from worker.trainer.spec import TrainerSpec  # noqa: PLC0415
    from worker.trainer.stop_signal import StopSignal  # noqa: PLC0415

    # Fewer steps of the classifiers. The memory of a step does not depend on their number.
    classifier.TRAINING_IMAGES = 2_000
    accuracy_score.SEEN_IMAGES = accuracy_score.FEWEST_SEEN = 2_000
    steps = request.pop("steps", None)
    spec = TrainerSpec.model_validate({**request, "evaluation": "full"}).completed()
    model = _import(spec.model_type)
    if steps is not None:
        _shorten(model, steps)
    _first_step()
    before = resident("VmRSS")
    with Path(os.devnull).open("w") as nowhere:
        reporter = Reporter(folder, JsonLines(nowhere))
        if not run(spec, folder, settings, StopSignal(), reporter):
            raise RuntimeError("the run was stopped")
    return resident("VmHWM") - before


def generate(request: dict[str, Any], folder: Path, settings: Settings) -> int:
    """The rise of a fresh engine's first generation, which loads the model."""
    from worker.checkpoints.manifest import CheckpointRef  # noqa: PLC0415
    from worker.generation.engine import GenerationEngine  # noqa: PLC0415

    checkpoint = CheckpointRef(**request["checkpoint"])
    _import(checkpoint.model_type)
    engine = GenerationEngine(settings)
    before = resident("VmRSS")
    engine.generate(checkpoint, request["sampling"], 7, request["format"], folder)
    return resident("VmHWM") - before


def _shorten(model: "type[GenerativeModel]", steps: int) -> None:
    """End the epochs of a model after so many steps. Their order is drawn as before."""
    batches = model.batches

    def first_batches(self: "GenerativeModel", epoch: int, first_step: int) -> Iterator[Any]:
        return islice(batches(self, epoch, first_step), steps - first_step)

    model.steps_per_epoch = lambda _: steps  # type: ignore[method-assign]
    model.batches = first_batches  # type: ignore[method-assign]


def _first_step() -> None:
    """The modules and threads that torch adds with the first step of an optimizer."""
    import torch  # noqa: PLC0415

    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()


def _import(model_type: str) -> "type[GenerativeModel]":
    """The class of the model. A process imports its modules with its first job."""
    from shared import model_types  # noqa: PLC0415
    from worker.models import implementation  # noqa: PLC0415

    return implementation(model_types.get(model_type))


def main() -> None:
    """Run the program."""
    os.environ |= openmp.wait_policy(os.environ, is_alone=False)
    request = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    measured = generate if "checkpoint" in request else train
    print(measured(request, folder, Settings()))


if __name__ == "__main__":
    main()
