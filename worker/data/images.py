"""Images and labels as uint8 tensors in memory."""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from shared.datasets import DIGIT_NAMES
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from shared.model_types.base import DatasetShape

_UNSIGNED_BYTES = 8


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
    """uint8 [N, H, W] of a file of images, int64 [N] of a file of labels.

    IDX (LeCun, Cortes & Burges 1998): two zero bytes, 8 for unsigned bytes, the number of dimensions; each dimension
    in four bytes, the highest first; then the values.
    """
    contents = path.read_bytes()
    dimensions = 3 if images else 1
    start = 4 + 4 * dimensions
    if contents[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)) or len(contents) < start:
        raise _damaged(path, f"not an IDX file of {'images' if images else 'labels'}")
    shape = struct.unpack_from(f">{dimensions}I", contents, 4)
    if len(contents) - start != math.prod(shape):
        said = f"{' × '.join(map(str, shape))} values"
        raise _damaged(path, f"it says that it holds {said}, and holds {len(contents) - start}")
    values = torch.from_numpy(np.frombuffer(contents, np.uint8, offset=start).reshape(shape).copy())
    return values if images else values.long()


def _damaged(path: Path, reason: str) -> JobFailure:
    hint = "Delete the file so that it is downloaded again, or put a good copy there."
    return JobFailure(ErrorCode.INVALID_DATA, f"{path} is damaged: {reason}.", hint)


def builtin_digits() -> ImageDataset:
    """1,797 digits that come with Mimeo, every fifth of them for testing.

    `digits.npz` has them as 8×8 with values 0 to 16: the test part of "Optical Recognition of Handwritten Digits"
    (Alpaydin & Kaynak 1998, doi:10.24432/C50P49, CC BY 4.0), in scikit-learn's order. Each is enlarged three times by
    bicubic interpolation and framed by 2 black pixels, so that it is 28×28 with a margin like MNIST's and every model
    runs on it.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        small = torch.from_numpy(file["images"].astype(np.float32))[:, None] / 16
        labels = torch.from_numpy(file["labels"].astype(np.int64))
    large = pad(interpolate(small, scale_factor=3, mode="bicubic", align_corners=False), (2, 2, 2, 2))
    images = (large.clamp(0, 1) * 255).round().to(torch.uint8)
    test = torch.arange(len(labels)) % 5 == 4
    return ImageDataset("digits", images[~test], labels[~test], images[test], labels[test], DIGIT_NAMES)
