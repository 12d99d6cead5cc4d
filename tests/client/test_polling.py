from typing import cast

import pytest

from client.errors import ServerUnreachable
from client.polling import Change, changes
from client.schema import Job
from tests.client.server import training_job

RUNNING = Change(job=cast("Job", training_job()), etag="1")
DONE = Change(job=cast("Job", training_job(status="succeeded", is_terminal=True)), etag="2")
AWAY = ServerUnreachable("http://x", "refused")


def watched(*script: Change | ServerUnreachable | None, patience_s: float = 60.0) -> list[str]:
    remaining = list(script)

    def fetch(_etag: str | None) -> Change | None:
        step = remaining.pop(0)
        if isinstance(step, ServerUnreachable):
            raise step
        return step

    return [job["status"] for job in changes(fetch, poll_s=0.001, patience_s=patience_s)]


def test_only_changes_are_shown_and_the_last_is_terminal() -> None:
    assert watched(RUNNING, None, None, DONE) == ["running", "succeeded"]


def test_polling_continues_while_the_server_restarts() -> None:
    assert watched(RUNNING, AWAY, AWAY, DONE) == ["running", "succeeded"]


def test_polling_ends_when_the_server_stays_unavailable() -> None:
    with pytest.raises(ServerUnreachable):
        watched(RUNNING, AWAY, AWAY, patience_s=0.0)


def test_polling_of_an_unreachable_server_ends_at_once() -> None:
    with pytest.raises(ServerUnreachable):
        watched(AWAY, DONE)
