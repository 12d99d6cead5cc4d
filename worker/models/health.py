"""Health checks: warnings about a failing training whose metrics are all still finite.

A check depends only on the sequence of metrics, not on time or random numbers. Its memory is JSON in the checkpoint, so
a resumed run gives the same warnings at the same steps as an uninterrupted one. docs/reference/health-checks.md gives
the sources of the thresholds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar, Literal

Stage = Literal["training", "evaluation", "quality"]


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Metrics of a run at a step.

    stage: `training` is a point of the training curves (at most about 500 in a run), `evaluation` the evaluation at an
    epoch's end, `quality` the final evaluation of the published weights.
    """

    stage: Stage
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Unhealthy:
    """The training fails. message: one sentence with the metrics. hint: advice. data: the metrics, as JSON."""

    message: str
    hint: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Healthy:
    """The training is healthy, or healthy again."""


class HealthCheck(ABC):
    """A test for one kind of failure. memory: JSON; the whole state of the check."""

    code: ClassVar[str]

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {}

    @abstractmethod
    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check the metrics. None: no change of the previous result."""


LEVEL_POINTS = 5  # a level is the median of these points, so that one bad batch has no effect
BEYOND_START = 0.5  # of the first loss
LEAST_GAIN = 0.2  # of the first loss: least gain for a relapse
RELAPSE, RECOVERED = 0.5, 0.25  # of the gain


class LossExploding(HealthCheck):
    """The training loss is far above its first value, or has lost more than half of its gain.

    relapses: whether a lost gain counts. It is False for adversarial losses, which rise when the other network learns.
    """

    code = "loss_exploding"

    def __init__(self, name: str = "loss", *, relapses: bool = True) -> None:
        super().__init__()
        self._name, self._relapses = name, relapses

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check a point of the training curves."""
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
                f"{self._name} is at {level:.4g}, far above its first value {first:.4g}", measurements, level
            )
        if self._relapses and gained > LEAST_GAIN * abs(first) and level - lowest > RELAPSE * gained:
            return self._unhealthy(f"{self._name} is back at {level:.4g} after {lowest:.4g}", measurements, level)
        return Healthy() if level <= max(first, lowest) and level - lowest < RECOVERED * max(gained, 0) else None

    def _unhealthy(self, finding: str, measurements: Measurements, level: float) -> Unhealthy:
        return Unhealthy(
            message=f"{finding[0].upper()}{finding[1:]} at step {measurements.step:,}: the loss explodes.",
            hint="Use a smaller learning_rate (a third is a good first try) or more warm-up, or continue an earlier"
            " checkpoint with init_from.",
            data={self._name: level, "first": self.memory["first"], "lowest": self.memory["lowest"]},
        )


class NothingLearned(HealthCheck):
    """The final evaluation is no better than that of a trivial model, such as one that knows the frequencies only.

    name: the metric, where lower is better. trivial: the figure of the trivial model, computed when it is needed.
    trivial_name: that model in words.
    """

    code = "nothing_learned"

    def __init__(self, name: str, trivial: Callable[[], float], trivial_name: str) -> None:
        super().__init__()
        self._name, self._trivial, self._trivial_name = name, trivial, trivial_name

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check the quality."""
        value = measurements.values.get(self._name)
        if measurements.stage != "quality" or value is None:
            return None
        trivial = self._trivial()
        if value < trivial:
            return Healthy()
        return Unhealthy(
            message=f"The final {self._name} is {value:.4g}, and {self._trivial_name} reaches {trivial:.4g}: the model"
            " has learned nothing of use.",
            hint="Use another learning_rate (a tenth, or ten times as much) or more epochs.",
            data={self._name: value, "trivial": trivial},
        )
