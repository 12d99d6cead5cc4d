"""The threads of requests, and the number of requests that are processed at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

IDLE_S = 10.0  # an idle thread ends after this time
log = structlog.get_logger(__name__)


class Task(Protocol):
    """A connection with a complete request."""

    def service(self) -> None:
        """Process the request and write its response."""
        ...


class RequestSlots:
    """Task dispatcher of waitress: a fixed number of slots, and a thread for each request in progress.

    A request holds a slot until its response begins; requests queue for slots in order of arrival. A request that
    waits for an event yields its slot, so it occupies a thread, which is cheap, and no slot. The event loop itself runs
    urgent requests, which must not block.
    """

    def __init__(
        self,
        slots: int,
        *,
        most_threads: int,
        is_urgent: Callable[[Task], bool],
        run_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._free = slots
        self._most_threads = most_threads
        self._is_urgent = is_urgent
        self._run_soon = run_soon
        self._lock = threading.Lock()
        self._queue: deque[Task | threading.Event] = deque()
        self._idle: list[SimpleQueue[Task]] = []
        self._threads = 0
        self._local = threading.local()

    @property
    def is_busy(self) -> bool:
        """Whether a request is in progress or queued."""
        with self._lock:
            return bool(self._queue) or self._threads > len(self._idle)

    @property
    def current_task(self) -> Task | None:
        """The task of the current thread; None in other threads."""
        return getattr(self._local, "task", None)

    def add_task(self, task: Task) -> None:
        """Start the request, or queue it while all slots are taken."""
        if self.current_task is None and self._is_urgent(task):
            self._run_soon(lambda: self._run(task, has_slot=False))  # the connection is locked now
            return
        with self._lock:
            self._queue.append(task)
            self._hand_out()

    def release(self) -> None:
        """Give up the slot of the current thread, if it has one."""
        if getattr(self._local, "has_slot", False):
            self._local.has_slot = False
            with self._lock:
                self._free += 1
                self._hand_out()

    @contextmanager
    def yielded(self) -> Iterator[None]:
        """Give up the slot of the current thread for the duration of the block."""
        had_slot = getattr(self._local, "has_slot", False)
        self.release()
        try:
            yield
        finally:
            if had_slot:
                self._take()

    def _take(self) -> None:
        granted = threading.Event()
        with self._lock:
            self._queue.append(granted)
            self._hand_out()
        granted.wait()
        self._local.has_slot = True

    def _hand_out(self) -> None:
        """Give free slots to the queue. The lock is held."""
        while self._free and self._queue:
            first = self._queue[0]
            if isinstance(first, threading.Event):
                first.set()
            elif not self._start(first):
                return
            self._queue.popleft()
            self._free -= 1

    def _start(self, task: Task) -> bool:
        """Run a task on an idle thread or a new one. False if there can be no further thread. The lock is held."""
        if self._idle:
            self._idle.pop().put(task)
            return True
        if self._threads >= self._most_threads:
            return False
        thread = threading.Thread(target=self._work, args=(task,), name="request", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("no thread for a request; it waits for one that ends", threads=self._threads, reason=str(error))
            return False
        self._threads += 1
        return True

    def _work(self, task: Task) -> None:
        """Run tasks until none arrives for `IDLE_S`."""
        inbox: SimpleQueue[Task] = SimpleQueue()
        while True:
            self._run(task, has_slot=True)
            with self._lock:
                self._idle.append(inbox)
                self._hand_out()
            try:
                task = inbox.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        self._threads -= 1
                        return
                task = inbox.get()

    def _run(self, task: Task, *, has_slot: bool) -> None:
        self._local.task, self._local.has_slot = task, has_slot
        try:
            task.service()
        except Exception:  # the thread serves further requests
            log.exception("unexpected_error")
        finally:
            self._local.task = None
            self.release()
