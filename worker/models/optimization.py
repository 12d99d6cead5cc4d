"""What every model's training needs beside its mathematics: learning rates, and optimizer states as named tensors."""

import math
from collections.abc import Mapping
from typing import Any, Literal

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


def device_rate(rate: float, device: torch.device) -> float | Tensor:
    """A learning rate as an optimizer on this device should have it: on a GPU where recorded steps can read it."""
    return torch.tensor(rate, device=device) if device.type == "cuda" else rate


def adam_settings(rate: float, device: torch.device) -> dict[str, Any]:
    """How torch's Adam and AdamW are to compute on this device: in one operation, and so that it can be recorded."""
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
    """Undo `optimizer_tensors`. Tensors of other names are left alone."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        owner, _, rest = key.partition(".")
        if owner == name:
            index, _, slot = rest.partition(".")
            state.setdefault(int(index), {})[slot] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
