"""Warnings about a training that goes wrong while all its figures are still finite numbers.

A check is a function of the figures in the order in which they come, and of nothing else: no clock, no random number.
What it has to remember is JSON that a checkpoint keeps, so a resumed run finds what an uninterrupted one found, at the
same step. Where the thresholds come from is told in docs/reference/health-checks.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar, Literal

Stage = Literal["training", "evaluation", "quality"]


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What a run has measured at a step.

    stage: `training` is a point of the training curves (at most about 500 in a run), `evaluation` what an epoch's end
    gives, `quality` the final evaluation of the published weights.
    """

    stage: Stage
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Unhealthy:
    """Something is wrong. message: one sentence with the figures. hint: what to change. data: the figures, as JSON."""

    message: str
    hint: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Healthy:
    """Nothing is wrong, or not any more."""


class HealthCheck(ABC):
    """One thing that can go wrong. memory: JSON; all that a later `look` depends on."""

    code: ClassVar[str]

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {}

    @abstractmethod
    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Judge the figures; None where they neither accuse nor acquit."""


LEVEL_POINTS = 5  # a level is their median: one bad batch is no trend
BEYOND_START = 0.5  # of the first loss
LEAST_GAIN = 0.2  # of the first loss: less is too little to speak of a relapse
RELAPSE, RECOVERED = 0.5, 0.25  # of what had been gained


class LossExploding(HealthCheck):
    """The training loss has left the ground: far above where it began, or most of what was learnt is lost again.

    relapses: whether losing what was gained counts. Not for adversaries, whose losses rise when the other one learns.
    """

    code = "loss_exploding"

    def __init__(self, name: str = "loss", *, relapses: bool = True) -> None:
        super().__init__()
        self._name, self._relapses = name, relapses

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """See the class."""
        if measurements.stage != "training" or self._name not in measurements.values:
            return None
        value = measurements.values[self._name]
        first: float = self.memory.setdefault("first", value)
        recent = self.memory["recent"] = [*self.memory.get("recent", []), value][-LEVEL_POINTS:]
        if len(recent) < LEVEL_POINTS:
            return None
        level = median(recent)
        lowest = self.memory["lowest"] = min(level, self.memory.get("lowest", level))
        gained = first - lowest
        if level > first + BEYOND_START * abs(first):
            return self._unhealthy(
                f"{self._name} is at {level:.4g}, far above the {first:.4g} it began with", measurements, level
            )
        if self._relapses and gained > LEAST_GAIN * abs(first) and level - lowest > RELAPSE * gained:
            return self._unhealthy(f"{self._name} is back at {level:.4g} after {lowest:.4g}", measurements, level)
        return Healthy() if level <= max(first, lowest) and level - lowest < RECOVERED * max(gained, 0) else None

    def _unhealthy(self, what: str, measurements: Measurements, level: float) -> Unhealthy:
        return Unhealthy(
            message=f"{what[0].upper()}{what[1:]} at step {measurements.step:,}: the training is running away.",
            hint="Use a smaller learning_rate (a third is a good first try) or more warm-up, or continue an earlier"
            " checkpoint with init_from.",
            data={self._name: level, "first": self.memory["first"], "lowest": self.memory["lowest"]},
        )
