"""The image models as ONNX graphs: latents (and classes) in, images in [0, 1] out."""

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from worker.models.base import OnnxGraph

if TYPE_CHECKING:
    from worker.models.acgan.model import Acgan
    from worker.models.vae.model import Vae

IMAGES = "float32 [batch, channels, height, width], from 0 (black) to 1 (white)"


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


class UnitGenerator(nn.Module):
    """Latents [B, Z] and classes [B] to images [B, C, H, W] in [0, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """See the class."""
        images: Tensor = (self.generator(z_BZ, labels_B) + 1) / 2
        return images


def vae_graphs(model: "Vae") -> list[OnnxGraph]:
    """Decoder and encoder."""
    size, shape = model.hyperparameters.latent_size, model.image_shape
    z = f"float32 [batch, {size}]: latents; standard normal draws give images like the training data"
    decoder = OnnxGraph(
        name="decoder",
        network=Decoder(_alone(model.decoder), shape).eval(),
        inputs={"z": ("batch", size)},
        outputs=("images",),
        examples=lambda axes: (_spread(axes["batch"], size),),
        about={"z": z, "images": IMAGES},
        facts={"image_shape": list(shape)},
    )
    encoder = OnnxGraph(
        name="encoder",
        network=Encoder(_alone(model.encoder)).eval(),
        inputs={"images": ("batch", *shape)},
        outputs=("mean", "log_var"),
        examples=lambda axes: (_spread(axes["batch"], *shape).abs(),),
        about={
            "images": IMAGES,
            "mean": f"float32 [batch, {size}]: the latent that the image is decoded from best",
            "log_var": f"float32 [batch, {size}]: logarithm of the variance around it",
        },
        facts={"image_shape": list(shape)},
    )
    return [decoder, encoder]


def acgan_graphs(model: "Acgan") -> list[OnnxGraph]:
    """The generator that draws: the moving average where there is one."""
    size, classes = model.hyperparameters.latent_size, len(model.class_names)
    law = "uniform draws from -1 to 1" if model.hyperparameters.network == "book" else "standard normal draws"

    def examples(axes: Mapping[str, int]) -> tuple[Tensor, ...]:
        return _spread(axes["batch"], size), torch.arange(axes["batch"]) % classes

    generator = OnnxGraph(
        name="generator",
        network=UnitGenerator(_alone(model.average or model.generator)).eval(),
        inputs={"z": ("batch", size), "label": ("batch",)},
        outputs=("images",),
        examples=examples,
        about={
            "z": f"float32 [batch, {size}]: {law}",
            "label": f"int64 [batch]: the class of each image, 0 to {classes - 1}, as in `class_names`",
            "images": IMAGES,
        },
        facts={"class_names": model.class_names, "image_shape": list(model.image_shape)},
    )
    return [generator]


def _alone(network: nn.Module) -> nn.Module:
    """A copy on the CPU, laid out in memory as usual."""
    copy = deepcopy(network).cpu()
    copy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # missing in its annotations
    return copy.eval()


def _spread(*shape: int) -> Tensor:
    """Numbers from -1 to 1 in no simple order, the same every time."""
    count = torch.Size(shape).numel()
    return (torch.arange(count) * 0.754877666 % 1 * 2 - 1).view(shape)
