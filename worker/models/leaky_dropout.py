"""Leaky ReLU followed by dropout: by torch, or by compiled loops, which read and write the memory half as often.

torch draws the dropout of a step of the book's ACGAN, 15 million numbers, on one thread.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout, leaky_relu

from worker.models import leaky_dropout_kernels as kernels
from worker.models.base import Kernel
from worker.models.threads import spread

FEWEST = 16_384  # elements that are worth a thread


def leaky_dropout(x: Tensor, *, slope: float, rate: float, training: bool, kernel: Kernel) -> Tensor:
    """Of the same shape as x. Without training nothing is dropped."""
    if kernel == "compiled" and training and x.device.type == "cpu" and x.dtype == torch.float32:
        return _LeakyDropout.apply(x, slope, rate)  # type: ignore[no-any-return, no-untyped-call]
    return dropout(leaky_relu(x, slope), rate, training)


class _LeakyDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, rate: float) -> Tensor:
        """Seeded by torch's default generator, as torch's own dropout is."""
        seed = int(torch.randint(1 << 32, ()))
        y = torch.empty_like(x)
        spread(kernels.forward, x.numel(), _flat(x), _flat(y), slope, rate, seed, fewest=FEWEST)
        ctx.save_for_backward(y)
        ctx.constants = slope, rate
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        dy = dy.contiguous(memory_format=_order(y))
        dx = torch.empty_like(y)
        spread(kernels.backward, y.numel(), _flat(dy), _flat(y), _flat(dx), *ctx.constants, fewest=FEWEST)
        return dx, None, None


def _order(x: Tensor) -> torch.memory_format:
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def _flat(x: Tensor) -> Any:
    """The elements as they lie in memory, float32 [N]."""
    in_order = x.permute(0, 2, 3, 1) if _order(x) is torch.channels_last else x
    assert in_order.is_contiguous(), "a copy would be written to instead"
    return in_order.detach().view(-1).numpy()
