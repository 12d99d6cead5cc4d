"""A broker in memory, for tests and for a stack without Redis."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.broker.live_messages import LiveMessage
from shared.job_status import JobKind, Priority


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One notification that was sent."""

    kind: JobKind
    job_id: str
    priority: Priority


class NullBroker:
    """Keeps notifications in a list, and ends of jobs in a set. is_up: False behaves as if Redis were unavailable."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[Notification] = []
        self.done: set[str] = set()
        self._waiting: list[Notification] = []
        self._dropped: Counter[JobKind] = Counter()
        self._changed = threading.Condition()
        self._receivers: list[Callable[[LiveMessage], None]] = []

    def send(self, kind: JobKind, job_id: str, priority: Priority) -> bool:
        """Record a notification."""
        if not self.is_up:
            return False
        notification = Notification(kind=kind, job_id=job_id, priority=priority)
        with self._changed:
            self.sent.append(notification)
            self._waiting.append(notification)
        return True

    def take(self, kind: JobKind) -> Notification | None:
        """The notification that a worker would receive next: by priority, then first come, first served."""
        with self._changed:
            of_kind = [notification for notification in self._waiting if notification.kind == kind]
            if not of_kind:
                return None
            first = min(of_kind, key=lambda notification: notification.priority.rank)
            self._waiting.remove(first)
            return first

    def flush(self) -> None:
        """Drop every waiting notification, as a restart of Redis does."""
        with self._changed:
            self._waiting.clear()

    def depth(self, kind: JobKind) -> int | None:
        """Number of waiting notifications."""
        with self._changed:
            return sum(notification.kind == kind for notification in self._waiting) if self.is_up else None

    def record_dropped(self, kind: JobKind) -> bool:
        """Count a dropped message."""
        with self._changed:
            self._dropped[kind] += self.is_up
            return self.is_up

    def count_dropped(self, kind: JobKind) -> int | None:
        """Number of dropped messages."""
        with self._changed:
            return self._dropped[kind] if self.is_up else None

    def publish_done(self, job_id: str) -> bool:
        """Record that a job has ended and end the waits for it."""
        with self._changed:
            if self.is_up:
                self.done.add(job_id)
                self._changed.notify_all()
        return self.publish_live(LiveMessage(job_id=job_id))

    def publish_live(self, message: LiveMessage) -> bool:
        """Deliver a message to the receivers."""
        if not self.is_up:
            return False
        for deliver in list(self._receivers):
            deliver(message)
        return True

    @property
    def has_receivers(self) -> bool:
        """Whether a message would be received."""
        return bool(self._receivers)

    @contextmanager
    def receiving(self, deliver: Callable[[LiveMessage], None]) -> Iterator[None]:
        """Within the block, call `deliver` for each message, on the publisher's thread."""
        self._receivers.append(deliver)
        try:
            yield
        finally:
            self._receivers.remove(deliver)

    @contextmanager
    def wait_done(self, job_id: str) -> Iterator["NullWaiter"]:
        """Subscribe to the end of a job."""
        yield NullWaiter(self.done, self._changed, job_id)

    def problem(self) -> str | None:
        """None while `is_up`."""
        return None if self.is_up else "Redis does not answer."


class NullWaiter:
    """Waits on the condition of its broker."""

    def __init__(self, done: set[str], changed: threading.Condition, job_id: str) -> None:
        self._done, self._changed, self._job_id = done, changed, job_id

    def wait(self, timeout: float) -> bool:
        """True when the job has ended; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._job_id in self._done, timeout)
