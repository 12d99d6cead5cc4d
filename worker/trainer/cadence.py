"""When a run evaluates, samples and saves its model.

Evaluations, which decide results, depend on the step alone. Samples and safety checkpoints also depend on time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_EVALUATIONS = 500
_MOST_SAMPLES = 200
_SAMPLE_GAP_S = 2.0
_SAMPLE_SHARE = 0.1
_CHECKPOINT_GAP_S = 2.0
_SPEED_WINDOW_S = 5.0


def is_spread(epoch: int, epochs: int, most: int) -> bool:
    """Whether epoch (1-based) is one of at most about `most`, evenly spread, the first and the last among them."""
    if epoch in {1, epochs}:
        return True
    return epoch * most // epochs > (epoch - 1) * most // epochs


def evaluates(epoch: int, epochs: int) -> bool:
    """Whether an epoch ends with an evaluation: every one, or 500 of thousands. Independent of time."""
    return is_spread(epoch, epochs, _MOST_EVALUATIONS)


class Stopwatch:
    """Training time and speed, without evaluation and writing."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._paused_s = 0.0
        self._marks: list[tuple[float, int]] = [(0.0, 0)]

    @property
    def trained_s(self) -> float:
        """Seconds spent on steps."""
        return time.monotonic() - self._started - self._paused_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of the block from the training time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._paused_s += time.monotonic() - began

    def speed(self, examples: int) -> float:
        """Examples per second over the last few seconds, given all examples so far."""
        now = self.trained_s
        self._marks.append((now, examples))
        while len(self._marks) > 2 and self._marks[1][0] < now - _SPEED_WINDOW_S:
            self._marks.pop(0)
        then, before = self._marks[0]
        return (examples - before) / max(now - then, 1e-9)


class SampleCadence:
    """Which epochs show samples: the first, the last, and between them at most 200.

    They are at least two seconds of training apart, and sampling takes at most a tenth of the time.
    """

    def __init__(self, epochs: int, stopwatch: Stopwatch) -> None:
        self._epochs = epochs
        self._stopwatch = stopwatch
        self._next_s = 0.0

    def is_due(self, epoch: int) -> bool:
        """Whether this epoch should show samples."""
        if epoch in {1, self._epochs}:
            return True
        return is_spread(epoch, self._epochs, _MOST_SAMPLES) and self._stopwatch.trained_s >= self._next_s

    def sampled(self, cost_s: float) -> None:
        """Record that samples were generated in this time, in seconds."""
        self._next_s = self._stopwatch.trained_s + max(_SAMPLE_GAP_S, cost_s / _SAMPLE_SHARE)


class CheckpointCadence:
    """When a safety checkpoint is due: every `every_s` seconds, independent of evaluations."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._written = time.monotonic()

    def is_due(self, now: float) -> bool:
        """Whether the last checkpoint is `every_s` seconds old."""
        return now >= self._written + self._every_s

    def is_due_at_epoch(self, now: float) -> bool:
        """Whether an epoch's end gets a checkpoint that is not the best: at most one every two seconds."""
        return now >= self._written + min(_CHECKPOINT_GAP_S, self._every_s)

    def written(self) -> None:
        """A checkpoint was written."""
        self._written = time.monotonic()
