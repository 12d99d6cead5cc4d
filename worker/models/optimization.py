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


def generator(*parts: int) -> torch.Generator:
    """A generator of its own for a position such as (seed, epoch), so that the order of data needs no saved state."""
    state = 0x9E3779B97F4A7C15
    for part in parts:  # SplitMix64's finaliser (Steele, Lea & Flood 2014), so that neighbours share nothing
        state = (state ^ (part & 0xFFFFFFFFFFFFFFFF)) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return torch.Generator().manual_seed(state)


def epoch_order(examples: int, drawn: int | None, *, seed: int, epoch: int) -> Tensor:
    """Indices of the examples of an epoch, int64 [drawn]: whole shuffles one after another, the last one cut short.

    drawn: None for all of them once.
    """
    drawn = drawn or examples
    order = generator(seed, epoch)
    shuffles = [torch.randperm(examples, generator=order) for _ in range(math.ceil(drawn / examples))]
    return torch.cat(shuffles)[:drawn]
