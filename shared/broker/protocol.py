"""What a broker can do."""

from contextlib import AbstractContextManager
from typing import Protocol

from shared.job_status import JobKind, Priority


class Waiter(Protocol):
    """Waits for the end of one job."""

    def wait(self, timeout: float) -> bool:
        """True as soon as the job's end was published; False after `timeout` seconds, also when Redis is away."""
        ...


class Broker(Protocol):
    """Notifications for workers and of finished jobs. No method raises when Redis is unavailable."""

    def send(self, kind: JobKind, job_id: str, priority: Priority) -> bool:
        """Notify the workers of a kind. False, within about a second, where Redis does not take it."""
        ...

    def depth(self, kind: JobKind) -> int | None:
        """Notifications waiting for a worker of a kind; None where Redis does not answer."""
        ...

    def publish_done(self, job_id: str) -> bool:
        """Publish that a job has ended. False where Redis does not take it."""
        ...

    def wait_done(self, job_id: str) -> AbstractContextManager[Waiter]:
        """Listen for a job's end from here on. Look at the job after entering, so that no end is missed."""
        ...

    def ping(self) -> bool:
        """Whether Redis answers."""
        ...
