"""How a pair of ACGAN networks is trained: one frozen recipe for each value of the hyperparameter `network`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from worker.models.acgan.networks import BookDiscriminator, BookGenerator, CompactDiscriminator, CompactGenerator

RealnessLoss = Callable[[Tensor, Tensor, float], Tensor]
"""Loss of the discriminator from the realness of real and of generated images, [B] each, and the soft label."""

FoolingLoss = Callable[[Tensor, float], Tensor]
"""Loss of the generator from the realness of its images, [B], and the soft label."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Networks, prior and losses that belong together.

    prior: distribution of the latents. generator_batches: images of a generator step, in batches of the discriminator.
    generates_with_running_statistics: whether the generator's batch norms use running statistics in a discriminator
    step. classifies_generated: whether the classifier learns from generated images as well. generator_class_weight:
    share of `class_weight` in the generator's loss.
    """

    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    prior: Literal["uniform", "normal"]
    generator_batches: int
    generates_with_running_statistics: bool
    classifies_generated: bool
    generator_class_weight: float
    realness_loss: RealnessLoss
    fooling_loss: FoolingLoss

    @property
    def prior_text(self) -> str:
        """The prior in words."""
        return {"uniform": "uniform random numbers from -1 to 1", "normal": "standard normal random numbers"}[
            self.prior
        ]

    def latents(
        self, shape: tuple[int, int], *, device: torch.device | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples from the prior, [B, Z]: uniform in [-1, 1), or standard normal."""
        if self.prior == "uniform":
            return torch.rand(shape, device=device, generator=generator) * 2 - 1
        return torch.randn(shape, device=device, generator=generator)


def _bce_with_label(realness_B: Tensor, label: float) -> Tensor:
    """Binary cross-entropy of the realness against one label for all."""
    return binary_cross_entropy_with_logits(realness_B, torch.full_like(realness_B, label))


def _soft_label_loss(real_B: Tensor, generated_B: Tensor, soft_label: float) -> Tensor:
    """Binary cross-entropy with a softened label for real images (Salimans et al. 2016, arXiv:1606.03498)."""
    return (_bce_with_label(real_B, soft_label) + _bce_with_label(generated_B, 0.0)) / 2


def _hinge_loss(real_B: Tensor, generated_B: Tensor, soft_label: float) -> Tensor:  # noqa: ARG001 - of the other recipe
    """The hinge (Lim & Ye 2017, arXiv:1705.02894)."""
    return torch.relu(1 - real_B).mean() + torch.relu(1 + generated_B).mean()


def _mean_realness_loss(realness_B: Tensor, soft_label: float) -> Tensor:  # noqa: ARG001 - of the other recipe
    """Minus the realness, the generator's side of the hinge."""
    return -realness_B.mean()


RECIPES: dict[str, Recipe] = {
    # The published networks and their training.
    "book": Recipe(
        generator=BookGenerator,
        discriminator=BookDiscriminator,
        prior="uniform",
        generator_batches=2,
        generates_with_running_statistics=True,
        classifies_generated=True,
        generator_class_weight=1.0,
        realness_loss=_soft_label_loss,
        fooling_loss=_bce_with_label,
    ),
    # The label enters this discriminator by projection. A classifier that learns from real images alone does not adapt
    # to the generator's errors.
    "compact": Recipe(
        generator=CompactGenerator,
        discriminator=CompactDiscriminator,
        prior="normal",
        generator_batches=1,
        generates_with_running_statistics=False,
        classifies_generated=False,
        generator_class_weight=0.1,
        realness_loss=_hinge_loss,
        fooling_loss=_mean_realness_loss,
    ),
}
