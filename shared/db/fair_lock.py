"""A lock that threads get in order of arrival. SQLite's own wait for its write lock has no order."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout


class FairLock:
    """Mutual exclusion in the order of the calls. Not reentrant."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_held = False

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock for the duration of the block. Raises SQLAlchemy's TimeoutError, which is transient."""
        self._acquire(timeout_s)
        try:
            yield
        finally:
            with self._guard:
                self._pass_on()

    def _acquire(self, timeout_s: float) -> None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout_s):
            return
        with self._guard:
            if turn.is_set():  # its turn came just now
                self._pass_on()
            else:
                self._waiting.remove(turn)
        raise PoolTimeout(f"the write lock was not free within {timeout_s:.0f} s")

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._is_held = False
