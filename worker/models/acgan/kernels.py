"""The compact generator's inner loops as machine code (Numba): one image after another, each within the cache.

Shapes: N images, K classes, C channels of a layer, h × w pixels of it. A layer's pixels lie together, channels last.
"""

from typing import Any, NamedTuple

import numpy as np

from worker.models.compiling import compiled
from worker.models.product_kernels import Floats, add_products

_F = np.float32


class Norm(NamedTuple):
    """What a conditional normalisation multiplies with and adds, by class, [K, C]."""

    scale_KC: Floats
    shift_KC: Floats


class Weights(NamedTuple):
    """A generator after its dense layer. Convolutions are `packed` products from a pixel to what it adds around it.

    norms: of the seed and of both layers. ups: [C, 4·4·C'] of the transposed convolutions. image: [C, 3·3·channels],
    and what is added to each channel.
    """

    norms: tuple[Norm, Norm, Norm]
    ups: tuple[Floats, Floats]
    image: Floats
    image_bias_C: Floats


@compiled
def draw(weights: Weights, seeds_NCP: Floats, labels_N: Any, images_NCHW: Floats, first: int, last: int) -> None:
    """Images before the last tanh, from the first to before the last, of seeds [N, C, h·w]."""
    channels, height, width = images_NCHW.shape[1:]
    h, w = height // 4, width // 4
    seed_PC = np.empty((h * w, seeds_NCP.shape[1]), np.float32)
    small = np.empty((2 * h, 2 * w, weights.norms[1].scale_KC.shape[1]), np.float32)
    large = np.empty((height, width, weights.norms[2].scale_KC.shape[1]), np.float32)
    parts = np.empty((height * width, 9 * channels), np.float32)
    for n in range(first, last):
        label = labels_N[n]
        seed_PC[:] = seeds_NCP[n].T
        _activate(seed_PC, weights.norms[0], label)
        _double(seed_PC.reshape((h, w, -1)), weights.ups[0], small)
        _activate(small.reshape((-1, small.shape[2])), weights.norms[1], label)
        _double(small, weights.ups[1], large)
        _activate(large.reshape((-1, large.shape[2])), weights.norms[2], label)
        parts[:] = 0
        add_products(large.reshape((-1, large.shape[2])), weights.image, parts)
        for channel in range(channels):
            images_NCHW[n, channel] = weights.image_bias_C[channel]
        _gather(parts.reshape((height, width, 3, 3, channels)), images_NCHW[n])


@compiled
def _activate(x_PC: Floats, norm: Norm, label: int) -> None:
    """Normalise for a class, then ReLU."""
    scale_C, shift_C = norm.scale_KC[label], norm.shift_KC[label]
    for x_C in x_PC:
        for c in range(len(x_C)):
            x_C[c] = max(x_C[c] * scale_C[c] + shift_C[c], _F(0))


@compiled
def _double(x_hwC: Floats, up: Floats, out: Floats) -> None:
    """A transposed convolution of 4 × 4 with stride 2 and padding 1, [h, w, C] to [2h, 2w, C']."""
    height, width, inputs = x_hwC.shape
    channels = out.shape[2]
    parts = np.zeros((height * width, 16 * channels), np.float32)
    add_products(x_hwC.reshape((-1, inputs)), up, parts)
    parts_hwIJC = parts.reshape((height, width, 4, 4, channels))
    out[:] = 0
    for y in range(height):
        for x in range(width):
            for i in range(max(0, 1 - 2 * y), min(4, 2 * (height - y) + 1)):
                for j in range(max(0, 1 - 2 * x), min(4, 2 * (width - x) + 1)):
                    part_C, sum_C = parts_hwIJC[y, x, i, j], out[2 * y + i - 1, 2 * x + j - 1]
                    for c in range(channels):
                        sum_C[c] += part_C[c]


@compiled
def _gather(parts_HWIJC: Floats, image_CHW: Floats) -> None:
    """Add up a convolution of 3 × 3 with padding 1 from the products of its parts."""
    channels, height, width = image_CHW.shape
    for channel in range(channels):
        for y in range(height):
            row = image_CHW[channel, y]
            for i in range(max(0, 1 - y), min(3, height + 1 - y)):
                for j in range(3):
                    part = parts_HWIJC[y + i - 1, :, i, j, channel]
                    for x in range(max(0, 1 - j), min(width, width + 1 - j)):
                        row[x] += part[x + j - 1]
