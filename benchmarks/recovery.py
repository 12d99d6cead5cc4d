"""How soon a job runs again after its worker's death, and what a storm of deaths costs.

`python -m benchmarks.recovery reap --trials 5` kills workers under the default settings, and then with a lease of 2 s,
and prints the seconds from each death to the next attempt's start. `python -m benchmarks.recovery storm` sends 1,000
jobs of three steps through four workers, undisturbed and then with a random process (a worker, the reconciler, Redis)
killed every 3 s, and checks what tests/chaos checks. `--database postgresql` instead of SQLite.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.services import transitions
from shared.settings import Settings
from tests import servers
from tests.chaos import postgresql
from tests.chaos.processes import wait_until
from tests.chaos.rig import Rig
from tests.chaos.storm import pass_through

CLOCKS = (
    "lease_s",
    "heartbeat_s",
    "control_poll_s",
    "reconcile_s",
    "notification_stale_s",
    "backoff_s",
    "backoff_max_s",
)
DEFAULTS = {name: Settings.model_fields[name].default for name in CLOCKS}
SHORT = {**DEFAULTS, "lease_s": 2.0, "heartbeat_s": 0.4, "reconcile_s": 0.2}


@contextmanager
def a_rig(database: str, **options: Any) -> Iterator[Rig]:
    """A stack of its own; what it did is checked at the end."""
    with tempfile.TemporaryDirectory() as folder, servers.valkey() as valkey, postgresql.server() as server:
        home = Path(folder) / "home"
        home.mkdir()
        url = server.fresh_database() if database == "postgresql" else f"sqlite:///{home / 'mimeo.db'}"
        rig = Rig(home, url, valkey, **options)
        try:
            yield rig
            rig.settle()
        finally:
            rig.close()


def reap(database: str, trials: int, **options: Any) -> list[float]:
    """Seconds from a worker's SIGKILL until its job runs again, where another worker is idle."""
    with a_rig(database, **options) as rig:
        rig.reconciler()
        rig.trainer.update(step_s=0.5)
        workers = [rig.worker() for _ in range(2 * trials)]
        wait_until(lambda: all(worker.said("ready.") for worker in workers))
        ids = [rig.submit(100_000) for _ in range(trials)]
        for job_id in ids:
            rig.reaches(job_id, 1)
        time.sleep(rig.settings.lease_s)  # the reconciler waits a lease after its own start
        died = {}
        for job_id in ids:
            time.sleep(random.uniform(0, rig.settings.heartbeat_s))
            rig.holder(job_id).kill()
            died[job_id] = time.monotonic()
        took: dict[str, float] = {}

        def all_run_again() -> bool:
            for job_id in ids:
                if job_id not in took and rig.look(job_id).fencing_token == 2:
                    took[job_id] = time.monotonic() - died[job_id]
            return len(took) == len(ids)

        wait_until(all_run_again, within_s=600)
        for job_id in ids:
            rig.ask(transitions.cancel, job_id)
        return sorted(took.values())


def storm(database: str, jobs: int, kill_every_s: float | None) -> float:
    """Seconds that the jobs take."""
    with a_rig(database) as rig:
        passage = pass_through(rig, jobs, kill_every_s=kill_every_s, chance=random.Random(jobs))
    print(
        f"{database}, {jobs} jobs, 4 workers, {passage.kills} kills: {passage.seconds:.1f} s, "
        f"{passage.jobs / passage.seconds:.1f} jobs/s, {passage.again} jobs claimed more than once, each published once"
    )
    return passage.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("reap", "storm"))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000)
    options = parser.parse_args()
    if options.what == "storm":
        undisturbed, disturbed = (storm(options.database, options.jobs, every_s) for every_s in (None, 3.0))
        print(f"disturbed / undisturbed: {disturbed / undisturbed:.2f}")
        return
    cases = {
        "default settings (lease 30 s, back-off 5 s)": DEFAULTS,
        "lease 2 s, back-off 5 s": SHORT,
        "lease 2 s, back-off 0.5 s": {**SHORT, "backoff_s": 0.5},
    }
    for name, clocks in cases.items():
        took = reap(options.database, options.trials, **clocks)
        print(f"{name}: median {statistics.median(took):.1f} s, of {', '.join(f'{each:.1f}' for each in took)}")


if __name__ == "__main__":
    main()
