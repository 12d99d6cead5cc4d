"""The reasons for which a server does no work, for commands that wait for a job."""

import time
from typing import Protocol

CHECK_EVERY_S = 10.0


class _Checked(Protocol):
    def failed_checks(self) -> list[str]: ...


class ReadinessNotices:
    """The failing checks of a server's readiness, each given once until it passes again."""

    def __init__(self, server: _Checked, *, every_s: float = CHECK_EVERY_S) -> None:
        self._server = server
        self._every_s = every_s
        self._due = time.monotonic() + every_s
        self._given: set[str] = set()

    def new(self) -> list[str]:
        """The checks that began to fail, read at most every `every_s` seconds. Raises ServerUnreachable."""
        if time.monotonic() < self._due:
            return []
        self._due = time.monotonic() + self._every_s
        failing = self._server.failed_checks()
        found = [name for name in failing if name not in self._given]
        self._given = set(failing)
        return found
