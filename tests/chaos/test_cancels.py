"""Cancels in each state of a job."""

import random
import time

from shared.errors import Conflict
from shared.job_status import JobStatus
from shared.services import transitions
from tests.chaos.rig import STEPS, TRAINER, Rig
from tests.waiting import wait_until


def test_cancel_while_queued(rig: Rig, chance: random.Random) -> None:
    # Given: jobs whose notifications are sent before and after they are cancelled
    ids = [rig.submit(3, notifies=chance.random() < 0.5) for _ in range(4)]
    cancelled = chance.sample(ids, 2)

    assert [rig.apply(transitions.cancel, job_id) for job_id in cancelled] == [JobStatus.CANCELLED] * 2
    for job_id in ids:
        rig.notify(job_id)
    rig.worker()
    rig.end()

    ran = {job_id for job_id in ids if rig.read_job(job_id).fencing_token}
    assert ran == set(ids) - set(cancelled)


def test_cancel_while_running(rig: Rig, chance: random.Random) -> None:
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))

    assert rig.apply(transitions.cancel, job_id) is JobStatus.CANCELLING
    rig.becomes(job_id, JobStatus.CANCELLED)

    wait_until(lambda: worker.trainer() is None)
    rig.end(rig.submit(2))
    assert worker.is_alive


def test_cancel_of_a_job_whose_worker_was_killed(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(1, 20))

    worker.kill()
    rig.apply(transitions.cancel, job_id)
    rig.end()

    assert rig.status(job_id) is JobStatus.CANCELLED


def test_cancel_concurrent_with_the_finish(rig: Rig, chance: random.Random) -> None:
    rig.worker()
    # An undisturbed job shows how long a job takes on this machine.
    rig.end(rig.submit(STEPS // 3))
    seen = set()
    for _ in range(4):
        job_id = rig.submit(STEPS // 3)
        rig.reaches(job_id, STEPS // 3 - 1)
        time.sleep(chance.uniform(0, 2) * TRAINER["step_s"])
        try:
            rig.apply(transitions.cancel, job_id)
            answer = {JobStatus.CANCELLED}
        except Conflict:
            answer = {JobStatus.SUCCEEDED}
        rig.end(job_id)
        # An accepted cancel ends as cancelled; a refused one ends as succeeded, with a model.
        assert rig.status(job_id) in answer
        seen |= answer
    assert seen
