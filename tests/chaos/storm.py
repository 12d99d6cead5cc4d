"""Many small jobs through several workers, while random processes are killed."""

import random
import time
from dataclasses import dataclass

from shared.job_status import JobStatus
from tests.chaos.processes import Process
from tests.chaos.rig import QUICK, Rig
from tests.waiting import PATIENCE_S, wait_until

WORKERS = 4
STEPS = 3


@dataclass(frozen=True)
class StormResult:
    """The result. seconds: from the first submit to the last end. again: jobs that were claimed more than once."""

    jobs: int
    seconds: float
    kills: int
    again: int


def run_storm(rig: Rig, jobs: int, *, kill_every_s: float | None, chance: random.Random) -> StormResult:
    """Submit jobs and wait for their ends; every few seconds kill a worker, the reconciler or Redis.

    Killed processes are restarted at once. The kills end after half a minute plus a fifth of a second per job, because
    on a very busy machine workers could be killed before they have started. All jobs succeed, and the rig's invariants
    require one result each.
    """
    rig.trainer.update(QUICK)
    processes = [rig.reconciler(), *(rig.worker() for _ in range(WORKERS))]
    rig.keep(*processes)
    wait_until(lambda: all(process.has_logged("ready") for process in processes))
    began = time.monotonic()
    ids = [rig.submit(STEPS, max_attempts=10) for _ in range(jobs)]
    kills, kill_at = 0, began + (kill_every_s or 0)
    kills_end_at = began + 30 + jobs / 5
    waiting = set(ids)
    while waiting:
        assert time.monotonic() < kills_end_at + PATIENCE_S + jobs, f"{len(waiting)} jobs do not end"
        if kill_every_s and kill_at <= time.monotonic() < kills_end_at:
            _kill(rig, chance.choice([*processes, None]))
            kills, kill_at = kills + 1, kill_at + kill_every_s
        time.sleep(0.05)
        waiting &= rig.unfinished()
    seconds = time.monotonic() - began
    found = [rig.read_job(job_id) for job_id in ids]
    assert {job.status for job in found} == {JobStatus.SUCCEEDED}
    return StormResult(jobs, seconds, kills, sum(job.fencing_token > 1 for job in found))


def _kill(rig: Rig, victim: Process | None) -> None:
    if victim is None:
        rig.valkey.kill()
        rig.valkey.start()
    elif victim.is_alive:
        victim.kill()
