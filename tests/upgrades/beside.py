"""`python -m tests.upgrades.beside CHECKOUT`: a training worker of an earlier release beside this stack.

CHECKOUT: the earlier release, with a `.venv` of its own. Both workers take jobs with one seed. Then the earlier one
stops in the middle of a job, which the other continues. All weights have to be equal, as the library versions are.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.stack import Stack, running_stack, wait_for_job
from tests.waiting import wait_until

TRAINING = "/v1/training-jobs"
BODY = {"model_type": "vae", "dataset": "digits", "seed": 7}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a different number of threads gives other last bits
SHORT, LONG = ({"epochs": epochs, "examples_per_epoch": 8000} for epochs in (4, 10))


def main(checkout: Path) -> None:
    """Run both parts and print what each worker did."""
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-beside-") as folder,
        running_stack(Path(folder) / "home", ONE_THREAD) as stack,
        httpx.Client(base_url=stack.url) as http,
        earlier_worker(checkout, stack, http) as (worker_id, process),
    ):
        report("four short jobs", http, submit(http, 4, SHORT), worker_id)
        jobs = submit(http, 2, LONG)
        wait_until(lambda: all((http.get(job).json()["progress"] or {}).get("step") for job in jobs))
        process.terminate()
        report("two long jobs, the earlier worker stops", http, jobs, worker_id)


@contextmanager
def earlier_worker(checkout: Path, stack: Stack, http: httpx.Client) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A training worker of the checkout on the stack's home: its id and process."""
    command = [str(checkout / ".venv/bin/python"), "-m", "worker", "training"]
    environment = {**os.environ, **ONE_THREAD, "MIMEO_HOME": str(stack.home)}
    process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)

    def ids() -> list[str]:
        workers: list[dict[str, Any]] = http.get("/v1/workers").json()["data"]
        return [worker["id"] for worker in workers if worker["pid"] == process.pid]

    try:
        wait_until(ids)
        yield ids()[0], process
    finally:
        process.terminate()
        process.wait()


def submit(http: httpx.Client, count: int, hyperparameters: dict[str, int]) -> list[str]:
    """Paths of new jobs with one seed."""
    answers = [http.post(TRAINING, json={**BODY, "hyperparameters": hyperparameters}) for _ in range(count)]
    return [f"{TRAINING}/{answer.raise_for_status().json()['id']}" for answer in answers]


def report(title: str, http: httpx.Client, jobs: list[str], worker_id: str) -> None:
    """Wait for the jobs, print their workers, and compare their weights."""
    weights = set()
    print(title)
    for path in jobs:
        job = wait_for_job(http, path)
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job
        events = http.get(f"{path}/events").json()["data"]
        taken = [event["data"]["worker"] for event in events if event["type"] == "running"]
        sha256 = http.get(f"/v1/models/{job['model']}").json()["checkpoint"]["sha256"]
        print(
            f"  {job['id']}  {sha256[:16]}  {', '.join('earlier' if each == worker_id else 'this' for each in taken)}"
        )
        weights.add(sha256)
    assert len(weights) == 1, "the weights differ"


if __name__ == "__main__":
    started = time.monotonic()
    main(Path(sys.argv[1]).resolve())
    print(f"equal weights; {time.monotonic() - started:.0f} s")
