"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

# A hanging test ends after this. A slow machine passes: nothing measures how long a condition took.
PATIENCE_S = 180.0


def wait_until(condition: Callable[[], object], *, because: str = "") -> None:
    """Return as soon as the condition holds. Raises AssertionError, with `because`, after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, because or "the condition never held"
        time.sleep(0.02)
