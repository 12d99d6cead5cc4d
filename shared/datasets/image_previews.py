"""Single images of a dataset as bytes, read at their place in a file. Without NumPy and torch, for the API.

Three forms can be read: prepared files (safetensors), the IDX files of MNIST-like datasets, and the builtin digits.
"""

import json
import math
import sys
import zipfile
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Protocol

from shared.datasets.base import DatasetInfo
from shared.datasets.builtin import DIGITS_FILE, DIGITS_TEST_EVERY
from shared.datasets.class_names import DIGITS

PARTS = ("train", "test")
IDX_READERS = frozenset({"MNIST", "FashionMNIST", "KMNIST", "EMNIST"})
_LONGEST_HEADER = 1 << 20
_IDX_IMAGES = 0x803  # three dimensions of bytes
_SMALL, _LARGE, _MARGIN = 8, 28, 2  # sides of a builtin digit, stored and shown
_WHITE = 16  # the largest stored value of a builtin digit


class Unreadable(ValueError):
    """A file of images does not have the expected form."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Sizes of one part of a dataset: images [channels, height, width]."""

    channels: int
    height: int
    width: int
    class_names: Sequence[str]


class ImagePart(Protocol):
    """One part (train or test) of a dataset."""

    facts: ImageFacts
    labels: Sequence[int]

    def image(self, index: int) -> bytes:
        """The bytes [channels, height, width] of an image."""


def counts(part: ImagePart) -> list[int]:
    """Number of images of each class."""
    found = Counter(part.labels)
    return [found[label] for label in range(len(part.facts.class_names))]


def of_class(part: ImagePart, label: int) -> list[int]:
    """Indices of the images of a class, in order."""
    return [index for index, each in enumerate(part.labels) if each == label]


class PreparedPart:
    """One part of a prepared file: U8 `train_images` [N, C, H, W] and I64 `train_labels` [N]."""

    def __init__(self, file: IO[bytes], part: str) -> None:
        """Raises Unreadable."""
        self._file = file
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _LONGEST_HEADER:
            raise Unreadable("the header has an impossible length")
        try:
            header = json.loads(file.read(length))
            images, labels = header[f"{part}_images"], header[f"{part}_labels"]
            names = json.loads(header["__metadata__"]["mimeo"])["class_names"]
            count, channels, height, width = images["shape"]
            is_expected = (images["dtype"], labels["dtype"]) == ("U8", "I64")
        except (KeyError, ValueError, TypeError) as error:
            raise Unreadable(f"the header is not that of a prepared dataset: {error}") from error
        if not is_expected:
            raise Unreadable("the tensors have other types")
        self.facts = ImageFacts(channels=channels, height=height, width=width, class_names=names)
        self._first = 8 + length + images["data_offsets"][0]
        file.seek(8 + length + labels["data_offsets"][0])
        data = file.read(8 * count)
        if len(data) != 8 * count:
            raise Unreadable("the file ends within its labels")
        numbers = array("q", data)
        if sys.byteorder == "big":
            numbers.byteswap()
        self.labels: Sequence[int] = numbers

    def image(self, index: int) -> bytes:
        """The bytes [channels, height, width] of an image."""
        size = self.facts.channels * self.facts.height * self.facts.width
        self._file.seek(self._first + index * size)
        return self._file.read(size)


class IdxPart:
    """One part of the four files of an MNIST-like dataset (IDX: a big-endian header, then bytes)."""

    def __init__(self, info: DatasetInfo, paths: Sequence[Path], part: str) -> None:
        """paths: in the order of the registry. Raises Unreadable."""
        images, labels = paths[:2] if part == "train" else paths[2:]
        with images.open("rb") as file:
            data = file.read(16)
        magic, _, height, width = (int.from_bytes(data[i : i + 4], "big") for i in range(0, 16, 4))
        if magic != _IDX_IMAGES:
            raise Unreadable(f"{images.name} is not an IDX file of images")
        self._images = images
        self._transposed = info.transposed
        self.facts = ImageFacts(channels=1, height=height, width=width, class_names=info.class_names)
        self.labels: Sequence[int] = [label - info.first_label for label in labels.read_bytes()[8:]]

    def image(self, index: int) -> bytes:
        """The bytes [1, height, width] of an image."""
        height, width = self.facts.height, self.facts.width
        with self._images.open("rb") as file:
            file.seek(16 + index * height * width)
            data = file.read(height * width)
        return b"".join(data[column::width] for column in range(width)) if self._transposed else data


class DigitsPart:
    """One part of the builtin digits, which are enlarged as `worker.data.digits` does it."""

    def __init__(self, part: str) -> None:
        images, labels = _stored_digits()
        last = DIGITS_TEST_EVERY - 1
        chosen = [i for i in range(len(labels)) if (i % DIGITS_TEST_EVERY == last) == (part == "test")]
        size = _SMALL * _SMALL
        self._small = [images[i * size : (i + 1) * size] for i in chosen]
        self.facts = ImageFacts(channels=1, height=_LARGE, width=_LARGE, class_names=DIGITS)
        self.labels: Sequence[int] = [labels[i] for i in chosen]

    def image(self, index: int) -> bytes:
        """The bytes [1, 28, 28] of a digit."""
        small = self._small[index]
        rows = [_enlarged(list(small[i : i + _SMALL])) for i in range(0, len(small), _SMALL)]
        columns = [_enlarged([row[x] for row in rows]) for x in range(_LARGE - 2 * _MARGIN)]
        frame = bytearray(_LARGE * _LARGE)
        for x, column in enumerate(columns, _MARGIN):
            for y, value in enumerate(column, _MARGIN):
                frame[y * _LARGE + x] = round(255 * min(1.0, max(0.0, value / _WHITE)))
        return bytes(frame)


def _enlarged(values: Sequence[float]) -> list[float]:
    """Three times as many values, by cubic convolution with a = -0.75 (Keys 1981); the ends are repeated."""
    last = len(values) - 1
    result = []
    for place in range(3 * len(values)):
        x = (place + 0.5) / 3 - 0.5
        left = math.floor(x)
        taps = ((min(last, max(0, left + k)), abs(x - left - k)) for k in (-1, 0, 1, 2))
        result.append(sum(_cubic(distance) * values[i] for i, distance in taps))
    return result


def _cubic(x: float) -> float:
    a = -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@cache
def _stored_digits() -> tuple[bytes, bytes]:
    """Images [1797, 8, 8] and labels [1797]: the data of two npy files, each after its header."""
    with zipfile.ZipFile(DIGITS_FILE) as archive:
        images, labels = (archive.read(f"{name}.npy") for name in ("images", "labels"))
    return _npy_data(images), _npy_data(labels)


def _npy_data(content: bytes) -> bytes:
    return content[10 + int.from_bytes(content[8:10], "little") :]
