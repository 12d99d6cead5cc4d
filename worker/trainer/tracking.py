"""State of a run across evaluations: the best checkpoint, and the health checks."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy


class Selection:
    """The best value of one evaluation metric so far; of equal ones the earliest.

    rule: metric and direction, from ModelType.selection. A metric `step` or `epoch` with `max` picks the last
    checkpoint.
    """

    def __init__(self, rule: tuple[str, Literal["min", "max"]], state: Mapping[str, Any] | None = None) -> None:
        self._metric, self._direction = rule
        self.step: int | None = state["step"] if state else None
        self._value: float | None = state["value"] if state else None

    def offer(self, evaluation: Mapping[str, float], step: int) -> bool:
        """Add an evaluation. True: it is the best so far, or lacks the metric because the dataset is too small."""
        value = evaluation.get(self._metric)
        if value is None:
            self.step = step
            return True
        if self._value is not None and (value >= self._value if self._direction == "min" else value <= self._value):
            return False
        self.step, self._value = step, value
        return True

    def state(self) -> dict[str, float | int | None] | None:
        """For the manifest."""
        return None if self.step is None else {"step": self.step, "value": self._value}


class HealthMonitor:
    """The health checks of one run. state: from a checkpoint; checks that are missing in it start without memory."""

    def __init__(self, checks: Iterable[HealthCheck], state: Mapping[str, Any] | None = None) -> None:
        self._checks = {check.code: check for check in checks}
        self._raised: set[str] = set()
        for code, kept in (state or {}).items():
            if code in self._checks:
                self._checks[code].memory = dict(kept["memory"])
                if kept["raised"]:
                    self._raised.add(code)

    def check(self, measurements: Measurements) -> list[tuple[str, Unhealthy]]:
        """The new warnings for these measurements: (code, warning)."""
        found = []
        for code, check in self._checks.items():
            verdict = check.check(measurements)
            if isinstance(verdict, Healthy):
                self._raised.discard(code)
            elif isinstance(verdict, Unhealthy) and code not in self._raised:
                self._raised.add(code)
                found.append((code, verdict))
        return found

    def state(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            code: {"raised": code in self._raised, "memory": dict(check.memory)} for code, check in self._checks.items()
        }
