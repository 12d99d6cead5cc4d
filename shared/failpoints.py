"""Named points between durable writes, at which tests end the process as a power cut would.

`MIMEO_FAILPOINT=NAME` ends the process with status 137 at the first visit of that point, `NAME:3` at the third. Without
the variable a point costs one comparison. tests/engine/test_failpoints.py visits every point of the source.
"""

import os

VARIABLE = "MIMEO_FAILPOINT"  # not in Settings: only tests use it, and trainers read it too
EXIT_STATUS = 137  # a shell's exit status for a process that SIGKILL ended

_armed: str | None = None
_visits_left = 0


def arm(plan: str | None) -> None:
    """End the process at `NAME` or `NAME:VISIT` from now on; None or an empty plan disarms."""
    global _armed, _visits_left
    name, _, visit = (plan or "").partition(":")
    _armed, _visits_left = name or None, int(visit or 1)


def failpoint(name: str) -> None:
    """Mark a point. Returns at once unless the point is armed."""
    if name == _armed:
        _visit()


def _visit() -> None:
    global _visits_left  # noqa: PLW0603 - see `arm`
    _visits_left -= 1
    if _visits_left <= 0:
        os._exit(EXIT_STATUS)  # nothing is flushed, closed or rolled back by this process


arm(os.environ.get(VARIABLE))
