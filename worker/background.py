"""A periodic call in a separate thread."""

import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class PeriodicThread:
    """Calls a function repeatedly within a `with` block.

    call: returns the seconds until its next call, or None to end the thread. shortest_s: least time between two calls,
    also after `wake`. The end of the block waits up to `join_s` seconds for a call in progress.
    """

    def __init__(
        self, name: str, call: Callable[[], float | None], *, shortest_s: float = 0.0, join_s: float = 5.0
    ) -> None:
        self._call, self._shortest_s, self._join_s = call, shortest_s, join_s
        self._ending, self._woken = threading.Event(), threading.Event()
        # Its log lines name the same job as those of the thread that starts it.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._woken.set()
        self._thread.join(timeout=self._join_s)

    def wake(self) -> None:
        """Make the next call as soon as `shortest_s` allows."""
        self._woken.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.clear()
            wait_s = self._call()
            if wait_s is None or self._ending.wait(min(self._shortest_s, wait_s)):
                return
            self._woken.wait(max(0.0, wait_s - self._shortest_s))
