"""Optimizer steps over a text, read as streams or as windows. hyperparameters: of the LSTM."""

from typing import Any

from shared.datasets import HELD_OUT_FRACTION, DatasetShape
from shared.model_types.training_steps import TrainingSteps, batches


def training_steps(hyperparameters: Any, dataset: DatasetShape) -> TrainingSteps | None:
    """Steps over the training part of the text, of streams or of windows."""
    if dataset.examples is None:
        return None
    characters = dataset.examples - int(dataset.examples * HELD_OUT_FRACTION)
    window, drawn = hyperparameters.window, hyperparameters.examples_per_epoch
    if hyperparameters.batching == "streams":
        examples = window * stream_count(hyperparameters, characters)
        return TrainingSteps(per_epoch=max(1, (drawn or characters) // examples), examples=examples)
    drawn = drawn or window_count(hyperparameters, characters)
    training = max(1, drawn - int(drawn * hyperparameters.validation_split))
    examples = min(hyperparameters.batch_size, training)
    return TrainingSteps(per_epoch=batches(training, examples, drops_last=False), examples=examples)


def stream_count(hyperparameters: Any, characters: int) -> int:
    """Streams side by side in so many characters: the batch, or fewer where they would be shorter than a window."""
    usable = characters - 1 - hyperparameters.window  # an offset takes up to one window
    streams: int = max(1, min(hyperparameters.batch_size, usable // hyperparameters.window))
    return streams


def window_count(hyperparameters: Any, characters: int) -> int:
    """Places of windows in so many characters."""
    windows: int = (characters - hyperparameters.window - 1) // hyperparameters.sample_step + 1
    return windows
