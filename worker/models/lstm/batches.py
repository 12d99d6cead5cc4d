"""The two ways in which the LSTM reads a text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from shared.model_types.lstm import LstmHyperparameters
from shared.model_types.text_steps import stream_count, window_count
from worker.seeding import epoch_batches, generator


@dataclass(frozen=True)
class CharacterBatch:
    """inputs: ids, int64 [T, B]. targets: int64 [T, B], or [B] for the one character after each window.

    fresh: whether the state carried from the step before does not belong to these inputs.
    """

    inputs: Tensor
    targets: Tensor
    fresh: bool


class Streams:
    """B contiguous parts of the text read side by side, T characters a step, again and again.

    Each pass over the text starts at another offset, so that the cuts fall elsewhere. A pass may span epochs: where a
    step reads follows from its number alone.
    """

    def __init__(self, ids_N: Tensor, hyperparameters: LstmHyperparameters, seed: int) -> None:
        self.window = hyperparameters.window
        self.streams = stream_count(hyperparameters, len(ids_N))
        self.length = (len(ids_N) - 1 - self.window) // self.streams  # an offset takes up to one window
        self.steps_per_pass = self.length // self.window
        self.steps_per_epoch = max(
            1, (hyperparameters.examples_per_epoch or len(ids_N)) // (self.streams * self.window)
        )
        self.examples_per_step = self.streams * self.window
        self._ids_N = ids_N
        self._seed = seed
        self._positions_TB = torch.arange(self.window + 1)[:, None] + self.length * torch.arange(self.streams)
        self._positions_TB = self._positions_TB.to(ids_N.device)

    def batches(self, epoch: int, first_step: int) -> Iterator[CharacterBatch]:
        """Batches of an epoch (1-based) from a step (0-based) on."""
        start = (epoch - 1) * self.steps_per_epoch
        for step in range(start + first_step, start + self.steps_per_epoch):
            which_pass, place = divmod(step, self.steps_per_pass)
            offset = int(torch.randint(self.window, (), generator=generator(self._seed, which_pass)))
            characters_TB = self._ids_N[self._positions_TB + (offset + place * self.window)].long()
            yield CharacterBatch(characters_TB[:-1], characters_TB[1:], fresh=place == 0)


class Windows:
    """Windows of T characters from random places, `sample_step` apart, each with the character after it.

    Of an epoch's windows the last `validation_split` are kept out of training.
    """

    def __init__(self, ids_N: Tensor, hyperparameters: LstmHyperparameters, seed: int) -> None:
        self._ids_N = ids_N
        self._seed = seed
        self.window = hyperparameters.window
        self.stride = hyperparameters.sample_step
        self._places = window_count(hyperparameters, len(ids_N))
        drawn = hyperparameters.examples_per_epoch or self._places
        self._drawn = drawn
        self._training = max(1, drawn - int(drawn * hyperparameters.validation_split))
        self._batch_size = min(hyperparameters.batch_size, self._training)
        self.steps_per_epoch = math.ceil(self._training / self._batch_size)
        self.examples_per_step = self._batch_size

    @property
    def has_validation(self) -> bool:
        """Whether training leaves out some of an epoch's windows."""
        return self._training < self._drawn

    def batches(self, epoch: int, first_step: int) -> Iterator[CharacterBatch]:
        """Batches of an epoch (1-based) from a step (0-based) on."""
        start = first_step * self._batch_size
        for starts_B in self._starts(epoch, self._batch_size, start, self._training):
            yield windows_at(self._ids_N, starts_B, self.window)

    def validation_starts(self, epoch: int, size: int) -> Iterator[Tensor]:
        """Where the epoch's windows begin that training leaves out, at most `size` at a time."""
        return self._starts(epoch, size, self._training, self._drawn)

    def _starts(self, epoch: int, size: int, start: int, stop: int) -> Iterator[Tensor]:
        order = epoch_batches(
            self._places,
            self._drawn,
            size,
            seed=self._seed,
            epoch=epoch,
            start=start,
            stop=stop,
            device=self._ids_N.device,
        )
        return (places_B * self.stride for places_B in order)


def windows_at(ids_N: Tensor, starts_B: Tensor, window: int) -> CharacterBatch:
    """The windows that begin at these places."""
    positions_TB = torch.arange(window + 1, device=ids_N.device)[:, None] + starts_B.to(ids_N.device)
    characters_TB = ids_N[positions_TB].long()
    return CharacterBatch(characters_TB[:-1], characters_TB[-1], fresh=True)
