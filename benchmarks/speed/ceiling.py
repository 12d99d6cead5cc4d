"""The machine's rate of matrix products: an upper bound for every implementation."""

import time
from collections.abc import Callable
from functools import partial

import torch

from worker.models.lstm.recurrence import onednn_has_bfloat16

SIZE = 2048
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EMULATED = 128  # size of products in a precision that the processor emulates: a large one would take minutes


def products(size: int = SIZE) -> dict[str, Callable[[int], float]]:
    """By precision: a function that computes n products of two square matrices and returns the FLOP/s."""
    found = {}
    for name, dtype in DTYPES.items():
        random = torch.Generator().manual_seed(0)
        side = size if dtype is not torch.bfloat16 or onednn_has_bfloat16() else min(size, EMULATED)
        factors = [torch.randn(side, side, generator=random).to(dtype) for _ in range(2)]
        found[name] = partial(_multiply, *factors, torch.empty(side, side, dtype=dtype))
    return found


def _multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        torch.mm(left, right, out=out)
    return 2 * len(left) ** 3 * count / (time.perf_counter() - began)
