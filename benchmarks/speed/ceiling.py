"""How fast this machine multiplies matrices: what no side can beat."""

import time
from collections.abc import Callable
from functools import partial

import torch

SIZE = 2048
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def products(size: int = SIZE) -> dict[str, Callable[[int], float]]:
    """By precision: makes so many products of two square matrices and gives the FLOP/s."""
    found = {}
    for name, dtype in DTYPES.items():
        draws = torch.Generator().manual_seed(0)
        factors = [torch.randn(size, size, generator=draws).to(dtype) for _ in range(2)]
        found[name] = partial(_multiply, *factors, torch.empty(size, size, dtype=dtype))
    return found


def _multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        torch.mm(left, right, out=out)
    return 2 * len(left) ** 3 * count / (time.perf_counter() - began)
