"""The interface of a broker."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from shared.broker.live_messages import LiveMessage
from shared.job_status import JobKind, Priority


class Waiter(Protocol):
    """Waits for the end of one job."""

    def wait(self, timeout: float) -> bool:
        """True when the end of the job is published; False after `timeout` seconds, also when Redis is unavailable."""
        ...


class Broker(Protocol):
    """Notifications for workers and of finished jobs. No method raises when Redis is unavailable."""

    def send(self, kind: JobKind, job_id: str, priority: Priority) -> bool:
        """Notify the workers of a kind. False, within about a second, when Redis is unavailable."""
        ...

    def depth(self, kind: JobKind) -> int | None:
        """Notifications waiting for a worker of a kind; None when Redis does not answer."""
        ...

    def record_dropped(self, kind: JobKind) -> bool:
        """Count a message that a worker of a kind has dropped. False when Redis is unavailable."""
        ...

    def count_dropped(self, kind: JobKind) -> int | None:
        """Messages that workers of a kind have dropped since Redis started; None when Redis does not answer."""
        ...

    def publish_done(self, job_id: str) -> bool:
        """Publish that a job has ended. False when Redis is unavailable."""
        ...

    def wait_done(self, job_id: str) -> AbstractContextManager[Waiter]:
        """Subscribe to the end of a job. Read the job after entering the block, so that no end is missed."""
        ...

    def publish_live(self, message: LiveMessage) -> bool:
        """Publish a message of a running job. False where it was dropped, as while Redis is unavailable."""
        ...

    def receiving(self, deliver: Callable[[LiveMessage], None]) -> AbstractContextManager[None]:
        """Within the block, call `deliver` for each message of running and ended jobs, on another thread."""
        ...

    def problem(self) -> str | None:
        """One sentence if Redis does not answer or accepts no write, else None."""
        ...
