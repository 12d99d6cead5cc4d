"""How a step is taken: by graphs only where there is a GPU, and there with the bits of single operations.

`benchmarks.gpu_check` compares and resumes every model's recorded steps; here is what it cannot ask for.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.errors import SpecError
from tests.worker.trainer.harness import run, toy_spec
from tests.worker.trainer.toy import Toy, ToyHyperparameters
from worker import device
from worker.data import load
from worker.device import Compute
from worker.models.base import StepMetrics
from worker.seeding import Seeder, Stream
from worker.trainer.cuda_graphs import CaptureFailed, stepper

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="recorded steps need a GPU; torch sees none here")


class Waiting(Toy):
    """Waits for the device in the middle of a step, which a recording does not allow."""

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        figures = super().device_step(*tensors)
        return {"loss": torch.full((), float(figures["loss"]), device=self.device)}


class Unprepared(Toy):
    """Its optimizer counts steps on the processor, and refuses to be recorded."""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_graphs_without_a_gpu_are_refused_with_what_to_ask_for(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="would compute on cpu, which has no kernel `graph`; use `auto`") as refused:
        run(tmp_path / "run", toy_spec(kernel="graph"))

    assert [field.pointer for field in refused.value.errors] == ["/kernel"]


@pytest.mark.parametrize(
    ("where", "kernel", "expected"),
    [
        ("cpu", "graph", "library"),
        ("cuda", "compiled", "library"),
        ("cuda", "graph", "graph"),
        ("cpu", "compiled", "compiled"),
        ("cuda", "library", "library"),
    ],
)
def test_a_run_that_continues_on_another_kind_of_device_goes_on_with_torchs_kernel(
    where: str, kernel: Any, expected: str
) -> None:
    assert device.kernel_on(torch.device(where), kernel) == expected


@ON_GPU
@pytest.mark.parametrize("kind", [Waiting, Unprepared])
def test_a_step_that_cannot_be_recorded_says_so_and_the_process_can_go_on(kind: type[Toy]) -> None:
    recording, plain = training(kind), training(Toy)
    compute = Compute(device=recording.device, precision="float32", threads=1, kernel="graph")
    with pytest.raises(CaptureFailed, match="cannot be recorded as a CUDA graph"):
        stepper(recording, compute)(next(recording.batches(1, 0)))

    assert losses(recording) == losses(plain)


def training(kind: type[Toy]) -> Toy:
    dataset = load("digits", datasets_dir=None, home=Path("unused"), offline=True)
    torch.manual_seed(0)
    model = kind.for_data(ToyHyperparameters(), dataset).to("cuda").train()
    model.start_training(dataset, seed=0)
    return model


def losses(model: Toy) -> list[float]:
    compute = Compute(device=model.device, precision="float32", threads=1)
    take_step, seeder, found = stepper(model, compute), Seeder(0, model.device), []
    for number, batch in enumerate(model.batches(1, 0)):
        seeder.set(Stream.STEP, 1, number)
        found.append(float(take_step(batch)["loss"]))
    return found
