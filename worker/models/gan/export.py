"""The GAN's generator as an ONNX graph: latents in, images in [0, 1] out."""

import torch
from torch import Tensor, nn

from worker.models.acgan.export import UnitGenerator
from worker.models.acgan.pair import AcganPair
from worker.models.base import OnnxGraph
from worker.models.onnx_graph import IMAGES, detached_copy, example


class UnlabelledGenerator(nn.Module):
    """Latents [B, Z] to images [B, C, H, W] in [0, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = UnitGenerator(generator)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """See the class."""
        images: Tensor = self.generator(z_BZ, torch.zeros_like(z_BZ[:, 0], dtype=torch.int64))
        return images


def gan_graphs(model: AcganPair) -> list[OnnxGraph]:
    """The graph of the generator."""
    size = model.hyperparameters.latent_size
    generator = OnnxGraph(
        name="generator",
        network=UnlabelledGenerator(detached_copy(model.sampling_network)).eval(),
        inputs={"z": ("batch", size)},
        outputs=("images",),
        examples=lambda axes: (example(axes["batch"], size),),
        about={"z": f"float32 [batch, {size}]: {model.recipe.prior_text}", "images": IMAGES},
        facts={"image_shape": list(model.image_shape)},
    )
    return [generator]
