"""The event loop: sockets, their readiness, and an orderly stop."""

import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from waitress import wasyncore

TICK_S = 1.0


class EventLoop:
    """Runs waitress' sockets on epoll or kqueue.

    Waitress' own loop asks every connection before each poll, which takes milliseconds with thousands of them. This
    one evaluates a connection after an event of its own or after its thread has called `wake`.
    """

    def __init__(self) -> None:
        self.map: dict[int, Any] = {}
        self._selector = selectors.DefaultSelector()
        self._registered: dict[int, int] = {}
        self._changed: deque[Any] = deque()
        self._soon: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._pull: Callable[[], None] = lambda: None

    def start(self, pull: Callable[[], None]) -> None:
        """Watch every socket of the map. pull: makes one of them readable, from any thread."""
        self._pull = pull
        self._changed.extend(self.map.values())

    def wake(self, changed: Any = None) -> None:
        """Evaluate a connection again. Safe in every thread and in signal handlers."""
        self._changed.append(changed)
        if not self._is_woken:
            self._is_woken = True
            self._pull()

    def add(self, opened: Any) -> None:
        """Watch a new socket of the map."""
        self._changed.append(opened)

    def run_soon(self, call: Callable[[], None]) -> None:
        """Call a function in this thread after the events of the current round. Only for this thread."""
        self._soon.append(call)

    def forget(self, closed: Any) -> None:
        """Stop watching a socket that is being closed."""
        if self._registered.pop(closed._fileno, 0):  # noqa: SLF001  waitress' dispatcher has no public name for it
            self._selector.unregister(closed._fileno)  # noqa: SLF001

    def run_until(self, is_over: Callable[[float], bool]) -> None:
        """Process events. is_over: called with the time after each round, at least every second."""
        while not is_over(time.time()):
            self._watch_changed()
            events = self._selector.select(TICK_S)
            self._is_woken = False
            for key, mask in events:
                self._process(key.fd, key.data, mask)
            while self._soon:
                self._soon.popleft()()

    def _process(self, descriptor: int, ready: Any, mask: int) -> None:
        if mask & selectors.EVENT_READ and self.map.get(descriptor) is ready:
            wasyncore.read(ready)
        if mask & selectors.EVENT_WRITE and self.map.get(descriptor) is ready:
            wasyncore.write(ready)
        self._changed.append(ready)

    def _watch_changed(self) -> None:
        while self._changed:
            changed = self._changed.popleft()
            descriptor = getattr(changed, "_fileno", None)
            if descriptor is not None and self.map.get(descriptor) is changed:
                self._watch(descriptor, changed)

    def _watch(self, descriptor: int, changed: Any) -> None:
        wanted = selectors.EVENT_READ if changed.readable() else 0
        if not changed.accepting and changed.writable():
            wanted |= selectors.EVENT_WRITE
        known = self._registered.get(descriptor, 0)
        if wanted == known:
            return
        if not known:
            self._selector.register(descriptor, wanted, changed)
        elif wanted:
            self._selector.modify(descriptor, wanted, changed)
        else:
            self._selector.unregister(descriptor)
        self._registered[descriptor] = wanted
