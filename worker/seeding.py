"""Random numbers by position: every step has its own seed, so a position in the run is enough to continue it."""

from enum import IntEnum

import torch

_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a seed is for; two streams never share numbers."""

    STEP = 0
    WEIGHTS = 1
    TRAINING = 2
    LOOK = 3  # evaluation and samples


def mix(*parts: int) -> int:
    """One 64-bit number from several: SplitMix64's finaliser folded over the parts (Steele, Lea & Flood 2014).

    Each round is a bijection of its state, so (seed, epoch, step) triples that differ in one part never collide.
    """
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


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
