"""Random numbers by position: every step has its own seed, so a position is enough to continue a run."""

from collections.abc import Iterator
from enum import IntEnum

import torch
from torch import Tensor

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a seed is for; two streams never share numbers."""

    STEP = 0
    WEIGHTS = 1
    TRAINING = 2
    LOOK = 3  # evaluation and samples


def mix(*parts: int) -> int:
    """One 64-bit number from several, for the random state of a position.

    Each round is a bijection of its state, so (seed, epoch, step) triples that differ in one part never collide.
    """
    state = 0
    for part in parts:
        state = _finalize(state + (part & _MASK) + _GOLDEN_GAMMA & _MASK)
    return state


def generator(*parts: int) -> torch.Generator:
    """A CPU generator for a position such as (seed, epoch), so that the order of data needs no saved state."""
    state = _GOLDEN_GAMMA
    for part in parts:
        state = _finalize((state ^ (part & _MASK)) + _GOLDEN_GAMMA & _MASK)
    return torch.Generator().manual_seed(state)


def _finalize(state: int) -> int:
    """SplitMix64's finalizer (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
    return state ^ state >> 31


def epoch_batches(
    examples: int,
    drawn: int,
    size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | None = None,
) -> Iterator[Tensor]:
    """Indices of the examples of an epoch in batches, int64 [size] each, the last one shorter.

    The order is whole shuffles of the `examples` one after another, the last one cut short at `drawn`. Memory holds a
    few shuffles at most, however many an epoch has. start, stop: the part of the order to give, by default all of it.
    """
    order = generator(seed, epoch)
    stop = drawn if stop is None else min(stop, drawn)
    rest = torch.empty(0, dtype=torch.int64, device=device)
    for first in range(0, stop, examples):
        shuffle = torch.randperm(examples, generator=order)  # also before `start`: the next one depends on it
        if first + examples <= start:
            continue
        shuffle = shuffle[max(0, start - first) : stop - first].to(device)
        rest = torch.cat([rest, shuffle]) if len(rest) else shuffle
        del shuffle
        whole = len(rest) // size * size
        for place in range(0, whole, size):  # split() would make all views at once, each of several hundred bytes
            yield rest[place : place + size]
        rest = rest[whole:].clone()
    if len(rest):
        yield rest


class Seeder:
    """Sets torch's default generators of the CPU and of the training device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            torch.cuda.init()
            self._generators.append(torch.cuda.default_generators[device.index or 0])

    def set(self, stream: Stream, epoch: int = 0, step: int = 0) -> None:
        """Start the numbers of one position. epoch is 1-based, step 0-based within it."""
        value = mix(self._seed, stream, epoch, step)
        for generator in self._generators:
            generator.manual_seed(value)
