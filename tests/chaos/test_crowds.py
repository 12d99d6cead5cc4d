"""Several processes where one is expected."""

import random
import threading

from shared.db.session import transaction
from shared.job_status import JobKind, JobStatus
from shared.services import job_queue
from tests.chaos.rig import Rig


def test_two_reconcilers(rig: Rig, chance: random.Random) -> None:
    rig.reconciler()
    rig.reconciler()
    rig.worker(step_s=0.05)
    rig.worker(step_s=0.05)
    ids = [rig.submit(60)] + [rig.submit(10, notifies=chance.random() < 0.5) for _ in range(5)]
    rig.reaches(ids[0], chance.randint(1, 20))

    rig.holder(ids[0]).kill()
    rig.end()

    reaped = sum(rig.events(job_id).count("reaped") for job_id in ids)
    assert reaped == 1
    assert {rig.status(job_id) for job_id in ids} == {JobStatus.SUCCEEDED}


def test_fifty_claims_at_once(rig: Rig, chance: random.Random) -> None:
    # Given: more claimers than jobs, or more jobs than claimers
    ids = {rig.submit(1, notifies=False) for _ in range(chance.randint(20, 55))}
    start, claimed = threading.Barrier(50), []

    def claim(number: int) -> None:
        start.wait()
        with transaction(rig.sessions) as session:
            job = job_queue.claim_next(session, JobKind.TRAINING, f"wrk_{number}")
        if job is not None:
            claimed.append(job.id)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then: each claimer has a job of its own, while there are jobs
    assert len(claimed) == len(set(claimed)) == min(50, len(ids))
    # The jobs of the silent claimers are reaped, and run once more
    rig.reconciler()
    rig.worker(step_s=0)
    rig.worker(step_s=0)
    rig.end()
