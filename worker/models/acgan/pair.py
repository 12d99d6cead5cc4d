"""The pair of networks that an ACGAN trains and samples."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from shared.model_types.adversarial import AdversarialHyperparameters
from worker.models.acgan.recipe import RECIPES, Recipe
from worker.models.base import Network


class AcganPair(Network):
    """A generator, a discriminator, and optionally the generator's moving average, which then generates.

    image_shape: channels, height, width. class_names: one for each class, in order of the labels.
    """

    hyperparameters: Any
    image_shape: tuple[int, int, int]

    def __init__(
        self, hyperparameters: AdversarialHyperparameters, image_shape: tuple[int, int, int], class_names: list[str]
    ) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.image_shape = image_shape
        self.class_names = class_names
        self.generator = self.recipe.generator(hyperparameters, image_shape, len(class_names))
        self.discriminator = self.recipe.discriminator(hyperparameters, image_shape, len(class_names))
        self.average = deepcopy(self.generator).requires_grad_(False) if hyperparameters.ema else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in its annotations

    @property
    def recipe(self) -> Recipe:
        """How these networks are trained."""
        return RECIPES[self.hyperparameters.network]

    @property
    def sampling_network(self) -> nn.Module:
        """The network that generates images: the moving average where there is one."""
        return self.average or self.generator
