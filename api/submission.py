"""After a job is committed: wake a worker, and wait for the end where the client prefers to."""

import time
from typing import cast

from api.runtime import Runtime
from shared.broker import Kind
from shared.crash_points import reach
from shared.db.models import Job
from shared.job_status import Priority

FIRST_LOOK_S = 0.05
SLOWEST_LOOK_S = 0.5
PRIORITIES = {priority.rank: priority for priority in Priority}


def announce(runtime: Runtime, job: Job) -> None:
    """Send the wake-up of a committed job. One that does not go out loses nothing: the reconciler sends it again."""
    reach("submit.committed")
    runtime.broker.send(cast("Kind", job.kind), job.id, PRIORITIES[job.priority])
    reach("submit.hinted")


def announce_and_wait(runtime: Runtime, job: Job, seconds: float) -> None:
    """Send the wake-up and wait until the job has ended, `seconds` at most.

    The subscription is there before the wake-up goes out, so the end cannot be missed; the row is looked at as well,
    ever more rarely, for when Redis is away. No transaction is open while waiting.
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_LOOK_S
    with runtime.broker.wait_done(job.id) as done:
        announce(runtime, job)
        while (left := deadline - time.monotonic()) > 0:
            done.wait(min(pause, left))
            with runtime.reading() as session:
                if session.get_one(Job, job.id).status.is_terminal:
                    return
            pause = min(2 * pause, SLOWEST_LOOK_S)
