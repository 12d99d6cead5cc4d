"""Optimizers of a training run: learning rates by schedule, and optimizer state as named tensors."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

FINAL_RATE = 0.02  # of the peak, where the cosine ends


def learning_rate(
    peak: float, step: int, total_steps: int, *, warmup_steps: int, schedule: Literal["cosine", "constant"]
) -> float:
    """The rate of step `step` (0-based): a linear rise, then constant or a cosine down to FINAL_RATE of the peak."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


class Schedule(Protocol):
    """The hyperparameters that a learning rate follows."""

    @property
    def learning_rate(self) -> float:
        """Peak."""
        ...

    @property
    def epochs(self) -> int:
        """Epochs of the run."""
        ...

    @property
    def schedule(self) -> Literal["cosine", "constant"]:
        """Course after the warm-up."""
        ...


class ScheduledOptimizer:
    """One or several optimizers by name whose learning rate follows one schedule.

    steps_per_epoch: optimizer steps; with the schedule's epochs they give the length of the cosine. `next_rate` writes
    the rate of the next step into the optimizers, outside of a recorded CUDA graph.
    """

    def __init__(
        self,
        optimizers: Mapping[str, Optimizer],
        schedule: Schedule,
        *,
        steps_per_epoch: int,
        warmup_steps: int = 0,
    ) -> None:
        self._optimizers = dict(optimizers)
        self._schedule, self._warmup_steps = schedule, warmup_steps
        self._total_steps = schedule.epochs * steps_per_epoch
        self.step = 0

    def __getitem__(self, name: str) -> Optimizer:
        return self._optimizers[name]

    def next_rate(self) -> Tensor:
        """Begin a step: set its learning rate and count it. Returns the rate, a 0-d tensor."""
        rate = learning_rate(
            self._schedule.learning_rate,
            self.step,
            self._total_steps,
            warmup_steps=self._warmup_steps,
            schedule=self._schedule.schedule,
        )
        for optimizer in self._optimizers.values():
            set_learning_rate(optimizer, rate)
        self.step += 1
        return torch.tensor(rate)

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of an optimizer down the gradient of a loss."""
        optimizer = self._optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """State of all optimizers as tensors, and the step as a JSON value."""
        tensors: dict[str, Tensor] = {}
        for name, optimizer in self._optimizers.items():
            tensors |= optimizer_tensors(name, optimizer)
        return tensors, {"step": self.step}

    def load(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the result of `state`. Tensors of other names are ignored."""
        for name, optimizer in self._optimizers.items():
            load_optimizer_tensors(name, optimizer, tensors)
        self.step = values["step"]


def device_rate(rate: float, device: torch.device) -> float | Tensor:
    """A learning rate as an optimizer on this device needs it: on a GPU a tensor, which recorded steps can read."""
    return torch.tensor(rate, device=device) if device.type == "cuda" else rate


def adam_settings(rate: float, device: torch.device) -> dict[str, Any]:
    """Arguments of torch's Adam and AdamW on this device: fused, and on a GPU capturable in a CUDA graph."""
    return {"lr": device_rate(rate, device), "fused": True, "capturable": device.type == "cuda"}


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Use this rate from the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def optimizer_tensors(name: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimizer's state, each tensor named `NAME.PARAMETER.MOMENT`; empty before its first step."""
    state: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{name}.{index}.{key}": tensor for index, slots in state.items() for key, tensor in slots.items()}


def load_optimizer_tensors(name: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the result of `optimizer_tensors`. Tensors of other names are ignored."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        owner, _, rest = key.partition(".")
        if owner == name:
            index, _, slot = rest.partition(".")
            state.setdefault(int(index), {})[slot] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
