"""Text as character ids."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.datasets import HELD_OUT_FRACTION, DatasetShape, builtin
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from shared.text_normalization import normalize


@dataclass(frozen=True)
class TextCorpus:
    """A text of N characters: the first part for training, the contiguous last tenth held out.

    vocabulary: its distinct characters, sorted; a character's id is its position there.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        if len(self.vocabulary) < 2:
            message = f"The text `{self.name}` has fewer than two different characters, so it cannot be trained on."
            raise JobFailure(ErrorCode.INVALID_DATA, message, "Use a longer text.")

    @cached_property
    def vocabulary(self) -> list[str]:
        """Distinct characters, sorted by code point."""
        return sorted(set(self.text))

    @cached_property
    def ids(self) -> Tensor:
        """[N], uint8 for up to 256 distinct characters, else int32."""
        codes = np.frombuffer(self.text.encode("utf-32-le"), dtype=np.uint32)
        table = np.array([ord(character) for character in self.vocabulary], dtype=np.uint32)
        dtype = np.uint8 if len(table) <= 256 else np.int32
        return torch.from_numpy(np.searchsorted(table, codes).astype(dtype))

    @property
    def split(self) -> int:
        """Number of training characters; the rest is held out."""
        return len(self.text) - int(len(self.text) * HELD_OUT_FRACTION)

    @property
    def training_ids(self) -> Tensor:
        """[split], for training."""
        return self.ids[: self.split]

    @property
    def held_out_ids(self) -> Tensor:
        """[N - split], not used in training."""
        return self.ids[self.split :]

    @cached_property
    def sha256(self) -> str:
        """Checksum of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def shape(self) -> DatasetShape:
        """Sizes of the dataset, for memory estimates and bounds."""
        return DatasetShape(kind="text", examples=len(self.text), vocabulary=len(self.vocabulary))


def read_text(name: str, path: Path) -> TextCorpus:
    """A UTF-8 file as a corpus, normalised. Raises JobFailure(INVALID_DATA) naming the first wrong byte."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}."
        raise JobFailure(ErrorCode.INVALID_DATA, message, "Save the file as UTF-8 and try again.") from error
    return TextCorpus(name, normalize(text))


def python_source() -> TextCorpus:
    """The builtin text."""
    return TextCorpus("python-source", builtin.python_source())
