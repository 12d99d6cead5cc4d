"""One case of the comparison of estimates with peaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.datasets import DatasetShape


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training, or where `sampling` is given one generation from a fresh model of these hyperparameters.

    dataset: a registry name, or None for a made-up text of the `text` shape. precision: of a training. steps: of a
    training whose epoch would take too long.
    """

    model_type: str
    name: str
    preset: str = "fast"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    text: DatasetShape | None = None
    precision: str = "auto"
    sampling: Mapping[str, Any] | None = None
    format: str | None = None
    steps: int | None = None

    @property
    def stage(self) -> str:
        """`training`, or the mode of the sampling."""
        return "training" if self.sampling is None else str(self.sampling.get("mode", "sampling"))


def text(characters: int, vocabulary: int) -> DatasetShape:
    """The shape of a made-up text."""
    return DatasetShape(kind="text", examples=characters, vocabulary=vocabulary)
