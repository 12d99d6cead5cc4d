"""Which checkpoint is the best one."""

from collections.abc import Mapping
from typing import Any, Literal


class Selection:
    """The best value of one evaluation figure so far; of equal ones the earliest.

    metric, direction: as ModelType.selection says. A metric `step` or `epoch` with `max` picks the last checkpoint.
    """

    def __init__(self, rule: tuple[str, Literal["min", "max"]], state: Mapping[str, Any] | None = None) -> None:
        self._metric, self._direction = rule
        self.step: int | None = state["step"] if state else None
        self._value: float | None = state["value"] if state else None

    def offer(self, evaluation: Mapping[str, float], step: int) -> bool:
        """Take note of an evaluation. True: it is the best so far."""
        value = evaluation[self._metric]
        if self._value is not None and (value >= self._value if self._direction == "min" else value <= self._value):
            return False
        self.step, self._value = step, value
        return True

    def state(self) -> dict[str, float | int | None] | None:
        """For the manifest."""
        return None if self.step is None else {"step": self.step, "value": self._value}
