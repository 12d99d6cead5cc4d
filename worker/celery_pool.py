"""The thread pool of a worker, which wakes the consumer as soon as a task has ended."""

from concurrent.futures import Future
from typing import Any

from celery.concurrency.thread import ApplyResult, TaskPool
from kombu.asynchronous import get_event_loop


class PromptFetchPool(TaskPool):  # type: ignore[misc]  # the library has no types
    """Threads that wake the consumer's event loop when a task has ended.

    A busy worker fetches nothing (`worker_disable_prefetch`). Without the wake-up the event loop would fetch the next
    message only in its next cycle, up to a second after the task ended.
    """

    def on_apply(self, *args: Any, **kwargs: Any) -> ApplyResult:
        """Run a task in a thread."""
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(_wake)
        return result


def _wake(_: "Future[Any]") -> None:
    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(_nothing)  # type: ignore[no-untyped-call]


def _nothing() -> None:
    """Do nothing: the call itself starts the loop's next cycle, which fetches again."""
