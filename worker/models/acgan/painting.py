"""The compact generator by compiled loops, on a processor.

torch takes twice as long over as few images as a request asks for: its operations are so short that starting them on
several threads is most of their time.
"""

import numpy as np
import torch
from torch import Tensor, nn

from worker.models.acgan import kernels
from worker.models.acgan.kernels import Norm, Weights
from worker.models.acgan.networks import CompactGenerator, ConditionalNorm, Generator
from worker.models.product_kernels import Floats, packed
from worker.models.threads import spread

FEWEST = 8  # images that are worth a thread


def as_drawn(network: nn.Module) -> Generator:
    """What draws a generator's images the fastest where its weights are. It has to stay as it is meanwhile."""
    if isinstance(network, CompactGenerator) and network.dense.weight.device.type == "cpu":
        return Painter(network)
    return network


class Painter:
    """A generator in evaluation mode, its weights laid out for drawing."""

    def __init__(self, network: CompactGenerator) -> None:
        self._network = network
        image_CI33 = network.to_image.weight
        assert network.to_image.bias is not None
        self._weights = Weights(
            norms=(_norm(network.norm0), _norm(network.norm1), _norm(network.norm2)),
            ups=(_by_input(network.up1.weight.permute(0, 2, 3, 1)), _by_input(network.up2.weight.permute(0, 2, 3, 1))),
            image=_by_input(image_CI33.permute(1, 2, 3, 0)),
            image_bias_C=_array(network.to_image.bias),
        )

    def __call__(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1], as the generator's own but for rounding."""
        seeds_BCP = self._network.seeds(z_BZ, labels_B).flatten(2)
        _, height, width = self._network.seed_shape
        images = torch.empty(len(z_BZ), self._network.to_image.out_channels, 4 * height, 4 * width)
        arrays = (_array(seeds_BCP), labels_B.numpy(), images.numpy())
        spread(kernels.draw, len(images), self._weights, *arrays, fewest=FEWEST)
        return images.tanh_()


def _norm(layer: ConditionalNorm) -> Norm:
    """Statistics and affine map of a normalisation in evaluation mode, as one."""
    mean_C, var_C = layer.norm.running_mean, layer.norm.running_var
    assert mean_C is not None
    assert var_C is not None
    scale_KC = layer.scale.weight * torch.rsqrt(var_C + layer.norm.eps)
    return Norm(_array(scale_KC), _array(layer.shift.weight - mean_C * scale_KC))


def _by_input(weight: Tensor) -> Floats:
    """A convolution's weight, inputs first, as a product."""
    return packed(_array(weight.flatten(1)))


def _array(tensor: Tensor) -> Floats:
    return np.ascontiguousarray(tensor.detach().numpy())
