"""The cadence of a run's samples."""

from dataclasses import dataclass
from typing import cast

from worker.trainer.cadence import SampleCadence, Stopwatch


@dataclass
class Clock:
    """Seconds of training, set by the test."""

    trained_s: float = 0.0


def epochs_shown(costs_s: list[float], *, epoch_s: float) -> list[int]:
    """The epochs that show samples. costs_s: seconds that generating takes, by epoch."""
    clock = Clock()
    cadence = SampleCadence(len(costs_s), cast(Stopwatch, clock))
    shown = []
    for epoch, cost_s in enumerate(costs_s, start=1):
        clock.trained_s += epoch_s
        if cadence.is_due(epoch):
            shown.append(epoch)
            cadence.sampled(cost_s)
    return shown


def test_slow_sampling_takes_at_most_a_tenth_of_the_time() -> None:
    assert epochs_shown([3.0] * 12, epoch_s=10.0) == [1, 4, 7, 10, 12]


def test_short_epochs_show_samples_every_two_seconds() -> None:
    assert epochs_shown([0.01] * 9, epoch_s=0.75) == [1, 4, 7, 9]
