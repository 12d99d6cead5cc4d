"""Training metrics without a wait in each step: steps add tensors, which are read rarely and all at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from worker.models.base import StepMetrics

_MOST_POINTS = 500


@dataclass(frozen=True)
class Point:
    """Averages over the steps of one interval that ends at `step`."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Reading:
    """Metrics since the last reading: finished points, plain averages to show, and the first non-finite value."""

    points: list[Point] = field(default_factory=list)
    recent: dict[str, float] = field(default_factory=dict)
    first_nonfinite: tuple[str, float, int] | None = None  # name, value, step


class _Average:
    """Averages by name, summed in order, so that the result does not depend on the times of readings."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._sums: dict[str, tuple[float, int]] = {name: (s, n) for name, (s, n) in (state or {}).items()}

    def add(self, name: str, value: float) -> None:
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + value, count + 1)

    def values(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._sums.items()}

    def state(self) -> dict[str, list[float | int]]:
        return {name: [total, count] for name, (total, count) in self._sums.items()}


class Meter:
    """Averages of training metrics over intervals that depend on the step alone.

    A point is due every `interval` steps and at the last step: at most about 500 in a run. A resumed run therefore
    gives the points of an uninterrupted one, whatever the times of its checkpoints. Metrics stay tensors until `read`,
    which waits for the device once for all of them.
    """

    def __init__(self, steps: int, state: Mapping[str, Any] | None = None) -> None:
        self._steps = steps
        self.interval = math.ceil(steps / _MOST_POINTS)
        self._average = _Average(state)
        self._pending: list[tuple[int, StepMetrics]] = []

    def add(self, step: int, metrics: StepMetrics) -> None:
        """Add the metrics of a step (1-based count of steps done). Never waits for the device."""
        self._pending.append((step, metrics))

    def read(self) -> Reading:
        """Wait for the metrics added so far and average them."""
        if not self._pending:
            return Reading()
        pending, self._pending = self._pending, []
        numbers = iter(_numbers([value for _, metrics in pending for value in metrics.values()]))
        points: list[Point] = []
        recent, first_nonfinite = _Average(), None
        for step, metrics in pending:
            for name in metrics:
                number = next(numbers)
                if first_nonfinite is None and not math.isfinite(number):
                    first_nonfinite = (name, number, step)
                recent.add(name, number)
                self._average.add(name, number)
            if step % self.interval == 0 or step == self._steps:
                points.append(Point(step, self._average.values()))
                self._average = _Average()
        return Reading(points, recent.values(), first_nonfinite)

    def state(self) -> dict[str, list[float | int]]:
        """Partial sums, for a checkpoint. Read first."""
        assert not self._pending, "read() before state(), or metrics are lost"
        return self._average.state()


def _numbers(tensors: list[Tensor]) -> list[float]:
    """The values of 0-d tensors, fetched with one copy from each device."""
    places: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        places.setdefault(tensor.device, []).append(index)
    numbers = [0.0] * len(tensors)
    for indices in places.values():
        fetched = torch.stack([tensors[index].detach() for index in indices]).tolist()
        for index, number in zip(indices, fetched, strict=True):
            numbers[index] = number
    return numbers
