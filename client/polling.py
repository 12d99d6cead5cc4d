"""The changes of a job, from its stream or by polling with its ETag; outages of the server are tolerated."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from client.errors import ApiError, ServerUnreachable
from client.event_stream import StreamEvent, StreamRefused
from client.schema import Job

StreamOpener = Callable[[str | None], AbstractContextManager[Iterator[StreamEvent]]]
"""Opens the stream of a job after the event with this id."""

RECONNECT_S = 0.5


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Change:
    """A job and the ETag of its state."""

    job: Job
    etag: str | None


def changes(
    fetch: Callable[[str | None], Change | None],
    *,
    poll_s: float = 0.5,
    patience_s: float = 60.0,
    timeout_s: float | None = None,
    on_silence: Callable[[], None] = _nothing,
) -> Iterator[Job]:
    """The job now and at each change, until it is terminal.

    fetch: returns the job, or None when it is unchanged since the ETag. on_silence: called when it is unchanged.
    Raises TimeoutError after `timeout_s`, and ServerUnreachable after an outage of `patience_s`, or at once before the
    first response.
    """
    started = last_answer = time.monotonic()
    etag: str | None = None
    answered = False
    while True:
        try:
            change = fetch(etag)
        except ServerUnreachable:
            if not answered or time.monotonic() - last_answer > patience_s:
                raise
        else:
            answered, last_answer = True, time.monotonic()
            if change is not None:
                etag = change.etag
                yield change.job
                if change.job["is_terminal"]:
                    return
            else:
                on_silence()
        if timeout_s is not None and time.monotonic() - started > timeout_s:
            raise TimeoutError(f"the job has not ended after {timeout_s:.0f} s")
        time.sleep(poll_s)


def streamed(
    open_stream: StreamOpener, *, patience_s: float = 60.0, on_silence: Callable[[], None] = _nothing
) -> Iterator[Job]:
    """The job now and at each change, until it is terminal, from its stream.

    on_silence: called at each comment of the stream.
    Raises StreamRefused, and ServerUnreachable after an outage of `patience_s`, or at once before the first response.
    """
    position: str | None = None
    answered, last_answer = False, time.monotonic()
    while True:
        try:
            with open_stream(position) as events:
                for event in _of_a_job(events, on_silence):
                    answered, last_answer = True, time.monotonic()
                    position = _position_after(event, position)
                    if event.name == "job":
                        yield event.data
                        if event.data["is_terminal"]:
                            return
        except ApiError as error:
            raise StreamRefused from error
        except ServerUnreachable:
            if not answered or time.monotonic() - last_answer > patience_s:
                raise
        if time.monotonic() - last_answer > patience_s:
            raise StreamRefused  # connections that end without an event
        time.sleep(RECONNECT_S)


def _position_after(event: StreamEvent, before: str | None) -> str | None:
    """Where the next connection goes on. After `resync` it begins with the present state."""
    return None if event.name == "resync" else event.id or before


def _of_a_job(events: Iterator[StreamEvent], on_silence: Callable[[], None]) -> Iterator[StreamEvent]:
    for event in events:
        if event.name == "comment":
            on_silence()
        elif event.name in {"deleted", "end"}:
            raise StreamRefused
        yield event
