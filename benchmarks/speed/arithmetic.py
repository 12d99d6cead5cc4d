"""The least number of floating-point operations of a case: its matrix products and convolutions.

A multiplication and an addition are two operations. The gradient of a layer's weights takes as many as its forward
pass, and the gradient of its inputs as many again; the data needs no gradient. A one-hot input selects a column of the
weights, so no product is counted for it, although some implementations compute one. Activations, normalisation, losses
and optimizers are left out; they are a few per cent. Products with zeros of the padding are not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.speed.cases import Case


@dataclass(frozen=True)
class Product:
    """One layer: multiplications of its forward pass for one example, and whether its inputs need a gradient."""

    macs: int
    inputs_learn: bool = True

    @property
    def forward(self) -> int:
        """FLOPs."""
        return 2 * self.macs

    @property
    def training(self) -> int:
        """FLOPs of the forward pass and of both gradients."""
        return 2 * self.macs * (3 if self.inputs_learn else 2)

    @property
    def passing(self) -> int:
        """FLOPs where the weights stay fixed and the layer only propagates the gradient."""
        return 2 * self.macs * 2


def flops(case: Case, vocabulary: int) -> int:
    """Of one step, or of one sampled character or image."""
    return _BY_CASE[case.model_type, case.kind](case, vocabulary)


# --- LSTM ---------------------------------------------------------------------------------------------------------


def _lstm(case: Case) -> list[Product]:
    """Of one character: four gates from the state and from the layer below; the first layer is a table lookup."""
    units = case.layers
    between = [4 * here * below for below, here in pairwise(units)]
    return [Product(4 * here * here) for here in units] + [Product(macs) for macs in between]


def _lstm_training(case: Case, vocabulary: int) -> int:
    characters = case.batch * case.window
    predicted = characters if case.every_character else case.batch
    head = Product(case.layers[-1] * vocabulary)
    return characters * sum(product.training for product in _lstm(case)) + predicted * head.training


def _lstm_sampling(case: Case, vocabulary: int) -> int:
    return sum(product.forward for product in _lstm(case)) + 2 * case.layers[-1] * vocabulary


# --- VAE ----------------------------------------------------------------------------------------------------------


def _vae_training(case: Case, _vocabulary: int) -> int:
    encoder = [Product(784 * 512, inputs_learn=False), Product(512 * 4)]
    return case.batch * sum(product.training for product in encoder + _decoder())


def _vae_sampling(_case: Case, _vocabulary: int) -> int:
    return sum(product.forward for product in _decoder())


def _decoder() -> list[Product]:
    return [Product(2 * 512), Product(512 * 784)]


# --- ACGAN --------------------------------------------------------------------------------------------------------


def taps(small: int, large: int, kernel: int, stride: int, padding: int) -> int:
    """Pairs of a position in the smaller map and one in the larger that a kernel connects, in one dimension.

    A convolution reads the larger and writes the smaller; a transposed convolution does the opposite.
    """
    return sum(0 <= place * stride - padding + tap < large for place in range(small) for tap in range(kernel))


def _generator() -> list[Product]:
    return [
        Product(100 * 3 * 3 * 384),
        Product(taps(3, 7, 5, 1, 0) ** 2 * 384 * 192),
        Product(taps(7, 14, 5, 2, 2) ** 2 * 192 * 96),
        Product(taps(14, 28, 5, 2, 2) ** 2 * 96),
    ]


def _discriminator() -> list[Product]:
    return [
        Product(taps(14, 28, 3, 2, 1) ** 2 * 32, inputs_learn=False),
        Product(taps(14, 14, 3, 1, 1) ** 2 * 32 * 64),
        Product(taps(7, 14, 3, 2, 1) ** 2 * 64 * 128),
        Product(taps(7, 7, 3, 1, 1) ** 2 * 128 * 256),
        Product(7 * 7 * 256 * 11),
    ]


def _acgan_training(case: Case, _vocabulary: int) -> int:
    """The discriminator trains on a batch and as many generated images; the generator on two batches of its own.

    In the generator's step the discriminator only propagates the gradient, to the images as well.
    """
    generating = case.batch * sum(product.forward for product in _generator())
    discriminating = 2 * case.batch * sum(product.training for product in _discriminator())
    learning = sum(product.training for product in _generator()) + sum(p.passing for p in _discriminator())
    return generating + discriminating + 2 * case.batch * learning


def _acgan_sampling(_case: Case, _vocabulary: int) -> int:
    return sum(product.forward for product in _generator())


_BY_CASE: dict[tuple[str, str], Callable[[Case, int], int]] = {
    ("lstm", "training"): _lstm_training,
    ("lstm", "sampling"): _lstm_sampling,
    ("vae", "training"): _vae_training,
    ("vae", "sampling"): _vae_sampling,
    ("acgan", "training"): _acgan_training,
    ("acgan", "sampling"): _acgan_sampling,
}
