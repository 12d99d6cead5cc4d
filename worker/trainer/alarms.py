"""A run's health checks at work: each raised once, and again only after it has recovered in between."""

from collections.abc import Iterable, Mapping
from typing import Any

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy


class HealthMonitor:
    """The checks of one run. state: as a checkpoint kept it; checks that it does not know begin anew."""

    def __init__(self, checks: Iterable[HealthCheck], state: Mapping[str, Any] | None = None) -> None:
        self._checks = {check.code: check for check in checks}
        self._raised: set[str] = set()
        for code, kept in (state or {}).items():
            if code in self._checks:
                self._checks[code].memory = dict(kept["memory"])
                if kept["raised"]:
                    self._raised.add(code)

    def check(self, measurements: Measurements) -> list[tuple[str, Unhealthy]]:
        """The alarms that these figures raise: (code, what is wrong)."""
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
