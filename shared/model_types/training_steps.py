"""Optimizer steps of a training, computed from its hyperparameters and its dataset's numbers before it runs."""

from dataclasses import dataclass
from typing import Any, Protocol

from shared.datasets import DatasetShape


@dataclass(frozen=True, kw_only=True)
class TrainingSteps:
    """per_epoch: optimizer steps of one epoch. examples: examples of one step."""

    per_epoch: int
    examples: int


class StepsEstimate(Protocol):
    """The steps that the trainer will take. None where they follow from a number of the dataset that is not known."""

    def __call__(self, hyperparameters: Any, dataset: DatasetShape) -> TrainingSteps | None:
        """See the class."""
        ...


class ExampleWorkEstimate(Protocol):
    """Multiply-adds of the networks for one example, to a constant factor.

    Speeds of trainings with other hyperparameters are compared by it.
    """

    def __call__(self, hyperparameters: Any, dataset: DatasetShape) -> int:
        """See the class."""
        ...


def batches(drawn: int, batch_size: int, *, drops_last: bool) -> int:
    """Batches of an epoch that draws so many examples. drops_last: whole ones only, but at least one."""
    return max(1, drawn // batch_size if drops_last else -(-drawn // batch_size))


def of_images(hyperparameters: Any, dataset: DatasetShape, *, drops_last: bool) -> TrainingSteps | None:
    """Steps of a model that draws batches of images."""
    drawn = hyperparameters.examples_per_epoch or dataset.training_examples
    if drawn is None:
        return None
    per_epoch = batches(drawn, hyperparameters.batch_size, drops_last=drops_last)
    return TrainingSteps(per_epoch=per_epoch, examples=min(hyperparameters.batch_size, drawn))
