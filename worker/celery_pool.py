"""The thread pool of a worker, which tells the consumer at once when it is free again."""

from concurrent.futures import Future
from typing import Any

from celery.concurrency.thread import ApplyResult, TaskPool
from kombu.asynchronous import get_event_loop


class PromptFetchPool(TaskPool):  # type: ignore[misc]  # the library has no types
    """Threads that wake the consumer's event loop when a task has ended.

    A worker that fetches nothing while it is busy (`worker_disable_prefetch`) otherwise asks Redis for the next message
    only when its loop next turns by itself, up to a second after the task ended.
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
    """Being called is the point: the loop turns, and looks whether it may fetch again."""
