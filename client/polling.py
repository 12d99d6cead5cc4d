"""Watching a job by polling: cheap while nothing changes (ETag), patient while the server is away."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from client.errors import ServerUnreachable
from client.schema import Job


@dataclass(frozen=True, kw_only=True)
class Change:
    """A job as it is now, and the tag of this state."""

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

    fetch: gives the job, or None when it is as it was at the tag.
    Raises TimeoutError after `timeout_s`, and ServerUnreachable once the server has been away for `patience_s`; before
    its first answer the server gets no patience.
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
