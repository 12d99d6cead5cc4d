"""The interface of models to the training loop and the generation worker. A model owns its optimizers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shared.errors import JobFailure, SpecError
from shared.job_status import ErrorCode
from shared.model_types.base import DataWarning, Hyperparameters, TrainingCheck
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset
from worker.models.health import HealthCheck, LossExploding

StepMetrics = Mapping[str, Tensor]
"""Training metrics of one step: detached 0-d tensors, so that the loop chooses when to wait for them."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One text or image that a model generates at the end of an epoch.

    name: file stem, unique within the epoch (`grid`, `t0.25`). content: text, or an image uint8 [H, W] or [H, W, 3].
    meta: description (temperature, prompt, rows, columns, labels …), JSON-serialisable.
    """

    name: str
    content: str | np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The result of one generation request: texts, images or arrays.

    images: float32 [N, C, H, W] in [0, 1], shown in rows × columns. arrays: named float32 arrays (latents of `encode`).
    meta: description, JSON-serialisable; becomes the job's `output`.
    """

    texts: list[str] | None = None
    images: np.ndarray | None = None
    rows: int = 0
    columns: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """One difference between the weights of another run and those that this one starts from. data: JSON."""

    code: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """Weights of another run in the shapes of this model, and what was changed for that."""

    weights: dict[str, Tensor]
    changes: list[WeightChange] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """One of the graphs that a model is exported as.

    name: as in the contract's `onnx_parts`. network: a module with only the layers of the graph, in evaluation mode;
    takes the inputs in order. inputs: axes by input name (`{"z": ("batch", 2)}`: a named axis varies, a number does
    not). examples: inputs for given sizes of the axes that vary. about: meaning of each input and output, by name.
    facts: further information for users, such as the character set; values other than strings become JSON.
    """

    name: str
    network: nn.Module
    inputs: Mapping[str, tuple[str | int, ...]]
    outputs: tuple[str, ...]
    examples: Callable[[Mapping[str, int]], tuple[Tensor, ...]]
    about: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Network(nn.Module):
    """A module with its device and the precision of its products.

    autocast_dtype: of the products in training; None leaves it to the surrounding code.
    """

    autocast_dtype: torch.dtype | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision for the networks' products: `autocast_dtype`, else the precision of the surrounding code.

        Casts of weights are not cached: a context that spans an optimizer step would use the old weights.
        """
        kind, dtype = self.device.type, self.autocast_dtype
        if dtype is None and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        return torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False)


class GenerativeModel(Network, ABC):
    """A generative model that Mimeo can train, resume bit-exactly and sample.

    All random numbers of `training_step` come from torch's default generators, which the loop seeds from
    (seed, epoch, step) before each step. The order of data comes from (seed, epoch). The position is therefore enough
    to continue, and no generator state is saved.
    """

    hyperparameters: Hyperparameters
    batch_parts: int = 1  # set by the trainer: more than 1 only where the contract's `batch_can_be_split` allows it
    cache_dir: Path | None = None  # set by the trainer: cache folder of evaluation classifiers

    @classmethod
    @abstractmethod
    def for_data(cls, hyperparameters: Any, dataset: Dataset) -> "GenerativeModel":
        """A freshly initialised model that fits the dataset. Weights come from torch's default generator (seeded)."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> "GenerativeModel":
        """A model of the right shape from `config()`, for loading weights into. Needs no dataset."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """JSON that rebuilds the model: hyperparameters, character set, image shape, classes."""

    def adapted(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Adapted:  # noqa: ARG002
        """Weights of another run of this model type, on the CPU, as this fresh model loads them.

        config: of that run. Here they stay as they are; subclasses fit parts that depend on the data, such as the rows
        of characters. Tensors of other sizes are left to the caller, which compares all of them.
        """
        return Adapted(weights=dict(weights))

    # --- training -----------------------------------------------------------------------------------------------

    @abstractmethod
    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Make optimizers and schedules and put the data on the device. Called once, after .to(device).

        Raises JobFailure(INVALID_DATA) for a dataset the model cannot be trained on.
        """

    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch, the same every epoch."""

    @abstractmethod
    def batches(self, epoch: int, first_step: int) -> Iterator[Any]:
        """Batches of an epoch (1-based) from step `first_step` (0-based within the epoch) to its end."""

    def training_step(self, batch: Any) -> StepMetrics:
        """One optimizer step (or one of each, for adversarial models)."""
        figures = self.host_step(batch)
        return {**self.device_step(*self.step_tensors(batch)), **figures}

    def step_tensors(self, batch: Any) -> tuple[Tensor, ...]:
        """The batch as `device_step` takes it."""
        return batch if isinstance(batch, tuple) else (batch,)

    @abstractmethod
    def host_step(self, batch: Any) -> StepMetrics:
        """Update the values of a step that the host computes: counters, learning rate, reset states.

        `device_step` reads them from tensors on the device, always the same ones.
        """

    @abstractmethod
    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """The arithmetic of a step: never waits for the device; the same operations for every batch of these shapes.

        A CUDA graph can therefore record it. It changes only tensors of `state_dict()` and `training_state()`, in
        place. A step of several `batch_parts` adds the gradients of the parts, one after another.
        """

    @abstractmethod
    def examples_per_step(self) -> int:
        """Examples (images, or predicted characters) of one step; the unit of `examples_per_s`."""

    @abstractmethod
    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All state of the next step except the weights: tensors, and JSON values."""

    @abstractmethod
    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the result of `training_state` exactly."""

    def data_warnings(self) -> list[DataWarning]:
        """Warnings about the dataset, after `start_training`."""
        return []

    def health_checks(self) -> list[HealthCheck]:
        """New health checks for a training of this model."""
        return [LossExploding()]

    # --- evaluation and sampling --------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Cheap metrics on held-out data, for every checkpoint; includes the selection metric."""

    @abstractmethod
    def final_quality(self) -> dict[str, float]:
        """Full evaluation of the current weights: the quality metrics of the contract."""

    def quick_quality(self) -> dict[str, float]:
        """The quality metrics that cost little: those of `evaluate` without an override."""
        return self.evaluate()

    def quality_cost(self) -> int:
        """Examples whose training takes about as long as `final_quality`; it does not depend on the machine's speed.

        0: so little that `final_quality` is always computed.
        """
        return 0

    @abstractmethod
    def epoch_samples(self, epoch: int) -> list[Sample]:
        """Samples at the end of an epoch, from one fixed seed, so that epochs compare."""

    @abstractmethod
    def generate(
        self,
        sampling: Any,
        *,
        seed: int,
        dataset: Dataset | None = None,
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        """Sample. `dataset` is given where the sampling reads real examples (`reconstruct`, `encode`).

        between_blocks: to be called at least every few tenths of a second; the result must not depend on it.
        """

    def onnx_graphs(self) -> list[OnnxGraph]:
        """The graphs of an export: the `onnx_parts` of the contract, in their order, on the CPU."""
        return []


def require_fit(check: TrainingCheck, hyperparameters: Hyperparameters, dataset: Dataset) -> None:
    """Raises JobFailure(INVALID_DATA) for a dataset that these hyperparameters cannot train on."""
    try:
        check(hyperparameters, dataset.shape)
    except SpecError as error:
        fields = ", ".join(f"`{field.pointer}`" for field in error.errors)
        raise JobFailure(ErrorCode.INVALID_DATA, error.detail, f"Change {fields}.") from error


@torch.no_grad()
def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
