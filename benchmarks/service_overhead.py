"""How much longer a training job takes through the service than by the trainer program alone.

Runs the same job alternately both ways and prints each pair's times and the median ratio:
`python -m benchmarks.service_overhead --seconds 60 --pairs 3`. Alone: wall time of `python -m worker.train`. Through
the service: from the POST to the moment the job is terminal, on an idle embedded stack.

Where a machine's speed varies by more than the service costs, the ratio says little. So what the service adds is
counted as well: the seconds of the job in which its trainer program does not exist, and the processor time of the
stack's other processes meanwhile, their idle cost and the answers to a client that polls every second included. Both
together, as a share of the trainer's seconds, are `added`: at most what the service costs, as though the others'
processor time all came off the trainer's. `--pairs 0` makes one run through the service and no other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.service_record import about, keep
from tests.acceptance.stack import Stack, running_stack, wait_for_job
from tests.stack.processes import eventually, pid_of, processes_of

RESULTS = Path(__file__).parent / "results" / "service-overhead.json"
JOB: dict[str, Any] = {"model_type": "vae", "dataset": "fashion-mnist", "preset": "book", "seed": 7}
TRAINER = "worker.train"  # the module, in its command line
# As their command lines name them.
PROGRAMS = ("gunicorn", "worker training", "worker generation", "worker.reconciler", "valkey-server", "supervisord")


def run_alone(epochs: int, folder: Path) -> float:
    """Wall seconds of the trainer program for this many epochs."""
    folder.mkdir(parents=True)
    spec = folder / "spec-in.json"
    spec.write_text(json.dumps({**JOB, "hyperparameters": {"epochs": epochs}}))
    started = time.perf_counter()
    command = [sys.executable, "-m", TRAINER, str(spec), str(folder / "run")]
    # The same home as the stack's, so that both take the precision that was measured there once.
    env = {**os.environ, "MIMEO_HOME": str(folder.parent / "home")}
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Served:
    """Seconds of a job through the service.

    total_s: from the POST to the job's end. trainer_s: of them, while the trainer program existed. others: processor
    seconds of the stack's other processes over total_s, by program.
    """

    total_s: float
    trainer_s: float
    others: dict[str, float]

    @property
    def others_cpu_s(self) -> float:
        """Processor seconds of all other processes."""
        return sum(self.others.values())

    @property
    def added(self) -> float:
        """What the service added at most, as a share of the trainer's seconds."""
        return (self.total_s - self.trainer_s + self.others_cpu_s) / self.trainer_s


def run_through_service(epochs: int, client: httpx.Client, stack: Stack) -> Served:
    """Submit the job and follow it to its end."""
    root = psutil.Process(stack.process.pid)
    before = _processor_times(root)
    started = time.time()
    accepted = client.post("/v1/training-jobs", json={**JOB, "hyperparameters": {"epochs": epochs}})
    accepted.raise_for_status()
    path = f"/v1/training-jobs/{accepted.json()['id']}"
    trainer = trainer_of(stack.home)
    began = time.time()  # a moment late; the system's own record may be off by half a second
    while _lives(trainer):
        client.get(path).raise_for_status()
    ended = time.time()
    job = wait_for_job(client, path, timeout_s=3600)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    after = _processor_times(root)
    finished = datetime.fromisoformat(str(job["finished_at"])).timestamp()
    others: dict[str, float] = defaultdict(float)
    for process, (program, seconds) in after.items():
        others[program] += seconds - before.get(process, (program, 0.0))[1]
    return Served(total_s=finished - started, trainer_s=min(ended, finished) - began, others=dict(others))


def trainer_of(home: Path) -> psutil.Process:
    """The trainer program of the stack in this home. Raises TimeoutError where none starts within a minute."""
    if not eventually(lambda: any(TRAINER in command for command in processes_of(home).values()), within_s=60):
        raise TimeoutError("no trainer started within 60 s")
    return psutil.Process(pid_of(home, TRAINER))


def _lives(process: psutil.Process) -> bool:
    """Whether it still does after another second; otherwise this returns as soon as it has ended."""
    try:
        process.wait(timeout=1)
    except psutil.TimeoutExpired:
        return True
    return False


def _processor_times(root: psutil.Process) -> dict[psutil.Process, tuple[str, float]]:
    """Program and processor seconds of a process and of each below it."""
    found = {}
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            command, times = " ".join(process.cmdline()), process.cpu_times()
            program = next((known for known in PROGRAMS if known in command), "others")
            found[process] = (program, times.user + times.system)
    return found


def epochs_for(seconds: float, folder: Path) -> int:
    """Epochs that take about this long here, from the slope of two short runs."""
    few, more = 1, 4
    slope = (run_alone(more, folder / "more") - run_alone(few, folder / "few")) / (more - few)
    return max(1, round(seconds / max(slope, 1e-3)))


def main() -> None:
    """Print one line a pair, then the medians as JSON, and keep those."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result = about()
    with tempfile.TemporaryDirectory(prefix="mimeo-overhead-") as name:
        folder = Path(name)
        epochs = epochs_for(options.seconds, folder)
        alone: list[float] = []
        served: list[Served] = []
        # The stack is up in both halves, so that its idle cost is not counted as the service's.
        with (
            running_stack(folder / "home", {"MIMEO_LOG_LEVEL": "warning"}) as stack,
            httpx.Client(base_url=stack.url, timeout=60) as client,
        ):
            run_through_service(1, client, stack)
            for pair in range(max(1, options.pairs)):
                if options.pairs:
                    alone.append(run_alone(epochs, folder / f"alone-{pair}"))
                    print(f"pair {pair + 1}: alone {alone[-1]:.2f} s", flush=True)
                served.append(run_through_service(epochs, client, stack))
                print(f"service {served[-1].total_s:.2f} s", flush=True)
    result |= {
        "epochs": epochs,
        "service_s": statistics.median(run.total_s for run in served),
        "trainer_s": statistics.median(run.trainer_s for run in served),
        "others_cpu_s": statistics.median(run.others_cpu_s for run in served),
        "others": {
            program: round(statistics.median(run.others.get(program, 0.0) for run in served), 2)
            for program in (*PROGRAMS, "others")
        },
        "added": statistics.median(run.added for run in served),
    }
    if alone:
        ratios = [run.total_s / seconds for run, seconds in zip(served, alone, strict=True)]
        result |= {"alone_s": statistics.median(alone), "ratio_median": statistics.median(ratios), "ratios": ratios}
    keep(options.out, result)


if __name__ == "__main__":
    main()
