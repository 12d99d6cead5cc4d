"""The ACGAN's generator as an ONNX graph: latents and classes in, images in [0, 1] out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from worker.models.acgan.pair import AcganPair
from worker.models.base import OnnxGraph
from worker.models.onnx_graph import IMAGES, detached_copy, example


class UnitGenerator(nn.Module):
    """Latents [B, Z] and classes [B] to images [B, C, H, W] in [0, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """See the class."""
        images: Tensor = (self.generator(z_BZ, labels_B) + 1) / 2
        return images


def acgan_graphs(model: AcganPair) -> list[OnnxGraph]:
    """The graph of the generator."""
    size, classes = model.hyperparameters.latent_size, len(model.class_names)

    def examples(axes: Mapping[str, int]) -> tuple[Tensor, ...]:
        return example(axes["batch"], size), torch.arange(axes["batch"]) % classes

    generator = OnnxGraph(
        name="generator",
        network=UnitGenerator(detached_copy(model.sampling_network)).eval(),
        inputs={"z": ("batch", size), "label": ("batch",)},
        outputs=("images",),
        examples=examples,
        about={
            "z": f"float32 [batch, {size}]: {model.recipe.prior_text}",
            "label": f"int64 [batch]: the class of each image, 0 to {classes - 1}, as in `class_names`",
            "images": IMAGES,
        },
        facts={"class_names": model.class_names, "image_shape": list(model.image_shape)},
    )
    return [generator]
