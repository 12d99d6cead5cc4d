"""The VAE's networks (Kingma & Welling 2013, arXiv:1312.6114): dense encoder and decoder.

Shapes: B images, D pixels of an image (channels × height × width), Z latent dimensions.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from shared.model_types.vae import VaeHyperparameters
from worker.models.base import Network

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


def kl_to_standard_normal(mean_BZ: Tensor, log_var_BZ: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) summed over the dimensions, [B]; in nats."""
    return 0.5 * (mean_BZ.square() + log_var_BZ.exp() - 1 - log_var_BZ).sum(dim=1)


def dense(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them.

    The initial weights are torch's defaults: their biases spread the hidden units' kinks over the latent plane. Zero
    biases and Glorot weights, Keras's default, are worse by 3.5 nats after one epoch of Fashion-MNIST.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class VaeNetwork(Network):
    """Encoder D → hidden → mean and log variance; decoder Z → hidden reversed → D pixels."""

    hyperparameters: VaeHyperparameters
    image_shape: tuple[int, int, int]

    def __init__(self, hyperparameters: VaeHyperparameters, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.image_shape = image_shape
        channels, height, width = image_shape
        self.pixels = channels * height * width
        hidden, latent = hyperparameters.hidden, hyperparameters.latent_size
        self.encoder = dense((self.pixels, *hidden, 2 * latent), hyperparameters.activation)
        self.decoder = dense((latent, *reversed(hidden), self.pixels), hyperparameters.activation)
        with torch.no_grad():  # finer structure over the latent space from the start
            for parameter in self.decoder[0].parameters():
                parameter.mul_(hyperparameters.latent_spread)

    def encode(self, images_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, [B, Z] each, from pixels in [0, 1]."""
        mean_BZ, log_var_BZ = self.encoder(images_BD).float().chunk(2, dim=1)
        return mean_BZ, log_var_BZ

    def decode(self, z_BZ: Tensor) -> Tensor:
        """Pixels in [0, 1], [B, D]."""
        return torch.sigmoid(self.decoder(z_BZ).float())

    def forward(self, images_BD: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error summed over the pixels (D × the mean squared error) and KL in nats, both averaged over B."""
        mean_BZ, log_var_BZ = self.encode(images_BD)
        pixels_BD = self.decode(mean_BZ + torch.exp(log_var_BZ / 2) * noise_BZ)
        reconstruction = (pixels_BD - images_BD).square().sum(dim=1).mean()
        return reconstruction, kl_to_standard_normal(mean_BZ, log_var_BZ).mean()
