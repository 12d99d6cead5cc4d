"""The VAE as two ONNX graphs: from latents to images in [0, 1], and the reverse."""

import torch
from torch import Tensor, nn

from worker.models.base import OnnxGraph
from worker.models.onnx_graph import IMAGES, detached_copy, example
from worker.models.vae.network import VaeNetwork


class Decoder(nn.Module):
    """Latents [B, Z] to images [B, C, H, W] in [0, 1]."""

    def __init__(self, layers: nn.Module, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers = layers
        self.image_shape = image_shape

    def forward(self, z_BZ: Tensor) -> Tensor:
        """See the class."""
        pixels_BD: Tensor = torch.sigmoid(self.layers(z_BZ))
        return pixels_BD.view(-1, *self.image_shape)


class Encoder(nn.Module):
    """Images [B, C, H, W] in [0, 1] to mean and log variance of their latents, [B, Z] each."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        mean_BZ, log_var_BZ = self.layers(images.flatten(1)).chunk(2, dim=1)
        return mean_BZ, log_var_BZ


def vae_graphs(model: VaeNetwork) -> list[OnnxGraph]:
    """Decoder and encoder."""
    size, shape = model.hyperparameters.latent_size, model.image_shape
    z = f"float32 [batch, {size}]: latents; standard normal random numbers give images like the training data"
    decoder = OnnxGraph(
        name="decoder",
        network=Decoder(detached_copy(model.decoder), shape).eval(),
        inputs={"z": ("batch", size)},
        outputs=("images",),
        examples=lambda axes: (example(axes["batch"], size),),
        about={"z": z, "images": IMAGES},
        facts={"image_shape": list(shape)},
    )
    encoder = OnnxGraph(
        name="encoder",
        network=Encoder(detached_copy(model.encoder)).eval(),
        inputs={"images": ("batch", *shape)},
        outputs=("mean", "log_var"),
        examples=lambda axes: (example(axes["batch"], *shape).abs(),),
        about={
            "images": IMAGES,
            "mean": f"float32 [batch, {size}]: the latent that the image is decoded from best",
            "log_var": f"float32 [batch, {size}]: logarithm of the variance around it",
        },
        facts={"image_shape": list(shape)},
    )
    return [decoder, encoder]
