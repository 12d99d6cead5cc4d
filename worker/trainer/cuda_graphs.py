"""How a run takes a training step: operation by operation, or recorded once and launched as one CUDA graph.

A step of these models is a few hundred operations of microseconds each. A launch takes the processor about five
microseconds, so the GPU waits for most operations. A graph is launched as a whole (Gray 2019, "Getting Started with
CUDA Graphs"). It reads the values that `host_step` writes before each launch. Its random numbers follow the seed set
before each launch, as those of single operations do.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Size, Tensor

from worker.models.base import GenerativeModel, StepMetrics
from worker.trainer.compute import Compute

Step = Callable[[Any], StepMetrics]
"""Takes the step of a batch. Its random numbers come from the seeded default generators."""

_WARM_UPS = 3  # the first calls choose algorithms and allocate memory, which cannot be recorded


class CaptureFailed(RuntimeError):
    """The step contains an operation that a CUDA graph cannot record."""


def stepper(
    model: GenerativeModel, compute: Compute, on_failure: Callable[[CaptureFailed], None] | None = None
) -> Step:
    """Steps of this model, computed this way.

    on_failure: called when a step cannot be recorded. Later operations are launched one by one, which gives the same
    bits. Without on_failure the step raises CaptureFailed.
    """
    if compute.backend == "cuda_graph":
        return _Recorded(model, compute, on_failure)
    return partial(_launched, model, compute)


def _launched(model: GenerativeModel, compute: Compute, batch: Any) -> StepMetrics:
    with compute.autocast():
        return model.training_step(batch)


def step_state(model: GenerativeModel) -> dict[str, Tensor]:
    """All tensors that a step of the model changes, in place: weights, and the tensors of `training_state`."""
    weights, (training, _) = model.state_dict(), model.training_state()
    return {f"weights.{name}": tensor for name, tensor in weights.items()} | {
        f"training.{name}": tensor for name, tensor in training.items()
    }


class _Recorded:
    """Steps as CUDA graphs: one for each shape of batch, recorded at the first batch of that shape.

    Recording restores model, optimizer and random numbers, so a resumed run, which records again, gives the same
    results.
    """

    def __init__(
        self, model: GenerativeModel, compute: Compute, on_failure: Callable[[CaptureFailed], None] | None
    ) -> None:
        self._model, self._compute, self._on_failure = model, compute, on_failure
        self._has_failed = False
        self._graphs: dict[tuple[Size, ...], _Graph] = {}

    def __call__(self, batch: Any) -> StepMetrics:
        tensors = self._model.step_tensors(batch)
        figures = self._model.host_step(batch)
        return {**self._launch(tensors), **figures}

    def _launch(self, tensors: tuple[Tensor, ...]) -> StepMetrics:
        """The device's part of the step, as a graph where it can be recorded."""
        shapes = tuple(tensor.shape for tensor in tensors)
        try:
            if shapes not in self._graphs and not self._has_failed:
                self._graphs[shapes] = self._recorded(tensors)
        except CaptureFailed as error:
            if self._on_failure is None:
                raise
            self._has_failed = True
            self._graphs.clear()
            self._on_failure(error)
        return self._device_step(*tensors) if self._has_failed else self._graphs[shapes].launch(tensors)

    def _recorded(self, tensors: tuple[Tensor, ...]) -> "_Graph":
        """Raises CaptureFailed."""
        random = torch.cuda.get_rng_state(self._compute.device)
        before = {name: tensor.clone() for name, tensor in step_state(self._model).items()}
        try:
            return _Graph(self._device_step, tensors, self._compute.device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _end_capture(self._compute.device)
            raise CaptureFailed(f"a step cannot be recorded as a CUDA graph: {error}") from error
        finally:
            for name, tensor in step_state(self._model).items():
                if name in before:
                    tensor.copy_(before[name])
                else:  # moments of an optimizer before its first step
                    tensor.zero_()
            torch.cuda.set_rng_state(random, self._compute.device)

    def _device_step(self, *tensors: Tensor) -> StepMetrics:
        with self._compute.autocast():
            return self._model.device_step(*tensors)


def _end_capture(device: torch.device) -> None:
    """Give the default generator a new state: after a failed recording it stays in recording mode."""
    torch.cuda.default_generators[device.index or 0].graphsafe_set_state(torch.Generator(device).graphsafe_get_state())


class _Graph:
    """One recorded step. `step` is called a few times before it is recorded."""

    def __init__(self, step: Callable[..., StepMetrics], tensors: tuple[Tensor, ...], device: torch.device) -> None:
        self._inputs = tuple(tensor.clone() for tensor in tensors)
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                step(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            figures = step(*self._inputs)
            self._row = torch.stack([figure.float() for figure in figures.values()])
        self._names = tuple(figures)

    def launch(self, tensors: tuple[Tensor, ...]) -> StepMetrics:
        """Take the step with these tensors."""
        for place, tensor in zip(self._inputs, tensors, strict=True):
            place.copy_(tensor)
        self._graph.replay()
        return dict(zip(self._names, self._row.clone().unbind(), strict=True))
