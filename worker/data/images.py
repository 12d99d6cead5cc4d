"""Images and labels as uint8 tensors in memory."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from shared.datasets import DatasetShape


@dataclass(frozen=True)
class ImageDataset:
    """Labelled images for training and testing: uint8 [N, C, H, W] and int64 [N]."""

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    known_sha256: str | None = None  # of a prepared dataset; saves its computation

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """Checksum of all images and labels."""
        if self.known_sha256 is not None:
            return self.known_sha256
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def shape(self) -> DatasetShape:
        """Sizes of the dataset, for memory estimates and bounds."""
        channels, height, width = self.image_shape
        examples = len(self.train_images) + len(self.test_images)
        classes = len(self.class_names)
        return DatasetShape(
            kind="images",
            examples=examples,
            training_examples=len(self.train_images),
            height=height,
            width=width,
            channels=channels,
            classes=classes,
        )
