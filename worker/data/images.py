"""Images and labels as uint8 tensors in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.datasets.mnist import read_image_file, read_label_file

from shared.datasets import DIGIT_NAMES
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from shared.model_types.base import DatasetShape


@dataclass(frozen=True)
class ImageDataset:
    """Labelled images: uint8 [N, C, H, W] and int64 [N], to train on and to test with."""

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """Checksum of all images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def shape(self) -> DatasetShape:
        """Its numbers, for memory estimates and bounds."""
        channels, height, width = self.image_shape
        examples = len(self.train_images) + len(self.test_images)
        classes = len(self.class_names)
        return DatasetShape(
            kind="images", examples=examples, height=height, width=width, channels=channels, classes=classes
        )


def read_idx(name: str, paths: Sequence[Path], class_names: tuple[str, ...]) -> ImageDataset:
    """The four IDX files of an MNIST-like dataset: training images and labels, test images and labels.

    Raises JobFailure(INVALID_DATA) naming the file that is damaged.
    """
    train_images, train_labels, test_images, test_labels = (
        _read(path, images=position % 2 == 0) for position, path in enumerate(paths)
    )
    for images, labels, path in ((train_images, train_labels, paths[1]), (test_images, test_labels, paths[3])):
        if len(images) != len(labels) or int(labels.max()) >= len(class_names):
            raise _damaged(path, "its labels do not belong to the images beside it")
    return ImageDataset(name, train_images[:, None], train_labels, test_images[:, None], test_labels, class_names)


def _read(path: Path, *, images: bool) -> Tensor:
    try:
        tensor: Tensor = read_image_file(str(path)) if images else read_label_file(str(path))
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, str(error) or "not an IDX file") from error
    return tensor


def _damaged(path: Path, reason: str) -> JobFailure:
    hint = "Delete the file so that it is downloaded again, or put a good copy there."
    return JobFailure(ErrorCode.INVALID_DATA, f"{path} is damaged: {reason}.", hint)


def builtin_digits() -> ImageDataset:
    """scikit-learn's 1,797 digits, every fifth of them for testing.

    They are 8×8 with values 0 to 16. Each is enlarged three times by bicubic interpolation and framed by 2 black
    pixels, so that it is 28×28 with a margin like MNIST's and every model runs on it.
    """
    digits = load_digits()
    small = torch.from_numpy(digits.images.astype(np.float32))[:, None] / 16
    large = pad(interpolate(small, scale_factor=3, mode="bicubic", align_corners=False), (2, 2, 2, 2))
    images = (large.clamp(0, 1) * 255).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    test = torch.arange(len(labels)) % 5 == 4
    return ImageDataset("digits", images[~test], labels[~test], images[test], labels[test], DIGIT_NAMES)
