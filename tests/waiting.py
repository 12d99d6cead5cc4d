"""Waiting for a condition that another thread or process brings about."""

import time
from collections.abc import Callable

# A hanging test ends after this time. Tests do not measure how long a condition took, so slow machines pass.
PATIENCE_S = 180.0


def wait_until(condition: Callable[[], object], *, because: str = "") -> None:
    """Return as soon as the condition holds. Raises AssertionError, with `because`, after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, because or "the condition never held"
        time.sleep(0.02)
