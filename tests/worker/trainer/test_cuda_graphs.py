"""The execution of a step: as a graph only on a GPU, with the same bits as single operations.

`benchmarks.gpu_check` compares and resumes the recorded steps of every model; these tests cover the rest.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.trainer.toy import Toy, ToyHyperparameters
from worker.data import load
from worker.models.base import StepMetrics
from worker.seeding import Seeder, Stream
from worker.trainer.backend_choice import backend_on
from worker.trainer.compute import Compute
from worker.trainer.cuda_graphs import CaptureFailed, Step, stepper

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="recorded steps need a GPU; torch sees none here")


class Waiting(Toy):
    """It synchronises with the device during a step, which a recording does not allow."""

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        figures = super().device_step(*tensors)
        return {"loss": torch.full((), float(figures["loss"]), device=self.device)}


class Unprepared(Toy):
    """Its optimizer counts steps on the processor, and so cannot be recorded."""


@pytest.mark.parametrize(
    ("where", "backend", "expected"),
    [("cpu", "cuda_graph", "eager"), ("cuda", "cuda_graph", "cuda_graph"), ("cuda", "eager", "eager")],
)
def test_run_that_continues_on_a_cpu_uses_no_graphs(where: str, backend: Any, expected: str) -> None:
    assert backend_on(where, backend) == expected


@ON_GPU
@pytest.mark.parametrize("kind", [Waiting, Unprepared])
def test_failed_recording_is_reported_and_the_process_continues(kind: type[Toy]) -> None:
    recording, plain = training(kind), training(Toy)
    compute = Compute(device=recording.device, precision="float32", threads=1, backend="cuda_graph")
    with pytest.raises(CaptureFailed, match="cannot be recorded as a CUDA graph"):
        stepper(recording, compute)(next(recording.batches(1, 0)))

    assert losses(recording) == losses(plain)


@ON_GPU
def test_run_after_a_failed_recording_uses_single_operations_and_reports_it_once() -> None:
    failing, plain = training(Waiting), training(Toy)
    compute = Compute(device=failing.device, precision="float32", threads=1, backend="cuda_graph")
    failures: list[CaptureFailed] = []

    found = losses(failing, stepper(failing, compute, failures.append))

    assert found == losses(plain)
    assert len(failures) == 1


def training(kind: type[Toy]) -> Toy:
    dataset = load("digits", datasets_dir=None, home=Path("unused"), offline=True)
    torch.manual_seed(0)
    model = kind.for_data(ToyHyperparameters(), dataset).to("cuda").train()
    model.start_training(dataset, seed=0)
    return model


def losses(model: Toy, take_step: Step | None = None) -> list[float]:
    compute = Compute(device=model.device, precision="float32", threads=1)
    take_step, seeder, found = take_step or stepper(model, compute), Seeder(0, model.device), []
    for number, batch in enumerate(model.batches(1, 0)):
        seeder.set(Stream.STEP, 1, number)
        found.append(float(take_step(batch)["loss"]))
    return found
