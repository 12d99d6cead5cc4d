"""Polls a job with its ETag, and tolerates outages of the server."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from client.errors import ServerUnreachable
from client.schema import Job


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
) -> Iterator[Job]:
    """The job now and at each change, until it is terminal.

    fetch: returns the job, or None when it is unchanged since the ETag.
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
        if timeout_s is not None and time.monotonic() - started > timeout_s:
            raise TimeoutError(f"the job has not ended after {timeout_s:.0f} s")
        time.sleep(poll_s)
