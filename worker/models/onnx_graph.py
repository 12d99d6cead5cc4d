"""Common parts of the models' ONNX graphs."""

from copy import deepcopy

import torch
from torch import Tensor, nn

IMAGES = "float32 [batch, channels, height, width], from 0 (black) to 1 (white)"


def detached_copy(network: nn.Module) -> nn.Module:
    """A copy on the CPU in row-major memory, in evaluation mode."""
    copy = deepcopy(network).cpu()
    copy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # missing in its annotations
    return copy.eval()


def example(*shape: int) -> Tensor:
    """Deterministic numbers in [-1, 1) without a simple order."""
    count = torch.Size(shape).numel()
    return (torch.arange(count) * 0.754877666 % 1 * 2 - 1).view(shape)
