"""The data handling that models of images share."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from shared.model_types.training_steps import batches
from worker.blocks import BetweenBlocks
from worker.data import ImageDataset
from worker.models.base import GenerativeModel
from worker.seeding import epoch_batches

CHUNK = 500  # images per forward pass when no gradients are kept


class ImageModel(GenerativeModel):
    """A model of images that trains on batches of a dataset in a seeded order.

    image_shape: channels, height, width. drops_last: an epoch has whole batches only.
    """

    image_shape: tuple[int, int, int]
    drops_last = False

    def use_images(self, dataset: ImageDataset, *tensors: Tensor, seed: int) -> None:
        """Keep a dataset, and put the tensors that batches are cut from on the device, [N, …] each."""
        self._dataset = dataset
        self._seed = seed
        self._tensors = tuple(tensor.to(self.device) for tensor in tensors)
        self._drawn = self.hyperparameters.examples_per_epoch or len(tensors[0])

    def config(self) -> dict[str, Any]:
        """Hyperparameters and image shape."""
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "image_shape": list(self.image_shape),
        }

    def steps_per_epoch(self) -> int:
        """Steps in one epoch."""
        return batches(self._drawn, self.hyperparameters.batch_size, drops_last=self.drops_last)

    def examples_per_step(self) -> int:
        """Images in one step."""
        return min(self.hyperparameters.batch_size, self._drawn)

    def batches(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, ...]]:
        """The chosen rows of each tensor, [B, …]."""
        size = self.hyperparameters.batch_size
        order = epoch_batches(
            len(self._tensors[0]),
            self._drawn,
            size,
            seed=self._seed,
            epoch=epoch,
            start=first_step * size,
            device=self.device,
        )
        for chosen_B in islice(order, self.steps_per_epoch() - first_step):
            yield tuple(tensor[chosen_B] for tensor in self._tensors)


def blocks(rows: Tensor, between_blocks: BetweenBlocks) -> Iterator[Tensor]:
    """The rows in parts of `CHUNK`, with a call between two parts."""
    for number, part in enumerate(rows.split(CHUNK)):
        if number:
            between_blocks()
        yield part


def unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.float() / 255


def joined(parts: list[Tensor]) -> Tensor:
    """The parts one after another along the first axis; a single part is not copied, which torch.cat does."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def near_square(count: int) -> tuple[int, int]:
    """Rows and columns of a grid that holds `count` images and is nearly square."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns
