"""How much longer a training job takes through the service than by the trainer program alone.

Runs the same job alternately both ways and prints each pair's times and the median ratio:
`python -m benchmarks.service_overhead --seconds 60 --pairs 3`. Alone: wall time of `python -m worker.train`. Through
the service: from the POST to the moment the job is terminal, on an idle embedded stack.

Where a machine's speed varies by more than the service costs, the ratio says little. So what the service adds is
counted as well:

- the seconds of the job in which its trainer program does not exist;
- `waited_s`, the seconds that the trainer's threads were ready to run and had no core, as Linux counts them, added up.
  `waits_alone` is the share of its time that a trainer with no service beside it waits like that;
- the processor seconds of the stack's other processes, their idle cost and the answers to a client that polls every
  second included.

`added` is the first and the second, less what is waited alone, as a share of the trainer's seconds; `added_at_most` is
the first and the third, as though all that processor time came off the trainer's. `--pairs 0` makes one run through the
service and no other than the two short ones that say how long an epoch takes.
"""

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.service_record import about, keep
from tests.acceptance.stack import Stack, running_stack, wait_for_job
from tests.stack.processes import eventually, pid_of, processes_of

RESULTS = Path(__file__).parent / "results" / "service-overhead.json"
JOB: dict[str, Any] = {"model_type": "vae", "dataset": "fashion-mnist", "preset": "book", "seed": 7}
TRIED_EPOCHS = 10
TRAINER = "worker.train"  # the module, in its command line
# As their command lines name them.
PROGRAMS = ("gunicorn", "worker training", "worker generation", "worker.reconciler", "valkey-server", "supervisord")


@dataclass(frozen=True)
class Alone:
    """Seconds of the trainer program by itself. waited_s: of its threads, for a core."""

    total_s: float
    waited_s: float


def run_alone(epochs: int, folder: Path) -> Alone:
    """The trainer program for this many epochs."""
    folder.mkdir(parents=True)
    spec = folder / "spec-in.json"
    spec.write_text(json.dumps({**JOB, "hyperparameters": {"epochs": epochs}}))
    started = time.perf_counter()
    command = [sys.executable, "-m", TRAINER, str(spec), str(folder / "run")]
    # The same home as the stack's, so that both take the precision that was measured there once.
    env = {**os.environ, "MIMEO_HOME": str(folder.parent / "home")}
    trainer = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env)
    waited_s = _waits_to_its_end(trainer.pid)
    total_s = time.perf_counter() - started
    if trainer.wait():
        raise subprocess.CalledProcessError(trainer.returncode, command)
    return Alone(total_s=total_s, waited_s=waited_s)


@dataclass(frozen=True)
class Served:
    """Seconds of a job through the service.

    total_s: from the POST to the job's end. trainer_s: of them, while the trainer program existed. waited_s: of its
    threads, for a core. others: processor seconds of the stack's other processes over total_s, by program.
    """

    total_s: float
    trainer_s: float
    waited_s: float
    others: dict[str, float]

    @property
    def others_cpu_s(self) -> float:
        """Processor seconds of all other processes."""
        return sum(self.others.values())

    def added(self, alone: float) -> float:
        """What the service added, as a share of the trainer's seconds; alone: the share that it waits by itself."""
        return (self.total_s - self.trainer_s + self.waited_s) / self.trainer_s - alone

    @property
    def added_at_most(self) -> float:
        """The same, had all processor time of the others been taken from the trainer."""
        return (self.total_s - self.trainer_s + self.others_cpu_s) / self.trainer_s


def run_through_service(epochs: int, client: httpx.Client, stack: Stack) -> Served:
    """Submit the job and follow it to its end."""
    root = psutil.Process(stack.process.pid)
    before = _processor_times(root)
    started = time.time()
    accepted = client.post("/v1/training-jobs", json={**JOB, "hyperparameters": {"epochs": epochs}})
    accepted.raise_for_status()
    path = f"/v1/training-jobs/{accepted.json()['id']}"
    trainer = _trainer(stack.home)
    began = time.time()  # a moment late; the system's own record may be off by half a second
    poller = _Poller(stack.url, path)
    waited_s = _waits_to_its_end(trainer, meanwhile=poller.poll)
    ended = time.time()
    job = wait_for_job(client, path, timeout_s=3600)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    after = _processor_times(root)
    finished = datetime.fromisoformat(str(job["finished_at"])).timestamp()
    others: dict[str, float] = defaultdict(float)
    for process, (program, seconds) in after.items():
        others[program] += seconds - before.get(process, (program, 0.0))[1]
    return Served(
        total_s=finished - started,
        trainer_s=min(ended, finished) - began,
        waited_s=waited_s,
        others=dict(others),
    )


class _Poller:
    """A client that looks at a job and takes next to no processor time, which would be taken from the trainer."""

    def __init__(self, url: str, path: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._connection = HTTPConnection(address.hostname, address.port, timeout=60)
        self._path = path

    def poll(self) -> None:
        """Look once."""
        self._connection.request("GET", self._path)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"GET {self._path}: {answer.status}")


def _trainer(home: Path) -> int:
    """Process id of the trainer program of the stack in this home. Raises TimeoutError: none started in a minute."""
    if not eventually(lambda: any(TRAINER in command for command in processes_of(home).values()), within_s=60):
        raise TimeoutError("no trainer started within 60 s")
    return pid_of(home, TRAINER)


def _waits_to_its_end(pid: int, *, meanwhile: Callable[[], object] = lambda: None) -> float:
    """Seconds that the process's threads waited for a core until it ended; `meanwhile` is called every second."""
    waited: dict[str, float] = {}
    handle = os.pidfd_open(pid)  # tells of the end without being asked again and again
    try:
        while not select.select([handle], [], [], 1)[0]:
            waited |= _waits(pid)
            meanwhile()
    finally:
        os.close(handle)
    return sum(waited.values())


def _waits(pid: int) -> dict[str, float]:
    """Seconds that each thread was ready to run and had no core; see the kernel's sched-stats page."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


def _processor_times(root: psutil.Process) -> dict[psutil.Process, tuple[str, float]]:
    """Program and processor seconds of a process and of each below it."""
    found = {}
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            command, times = " ".join(process.cmdline()), process.cpu_times()
            program = next((known for known in PROGRAMS if known in command), "others")
            found[process] = (program, times.user + times.system)
    return found


def tried(folder: Path) -> tuple[float, float]:
    """Seconds that an epoch takes here, and the share of them that a trainer's threads wait with no service beside."""
    few, more = run_alone(1, folder / "few"), run_alone(1 + TRIED_EPOCHS, folder / "more")
    seconds = more.total_s - few.total_s
    return seconds / TRIED_EPOCHS, (more.waited_s - few.waited_s) / seconds


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
        epoch_s, waits_alone = tried(folder)
        epochs = max(1, round(options.seconds / epoch_s))
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
                    alone.append(run_alone(epochs, folder / f"alone-{pair}").total_s)
                    print(f"pair {pair + 1}: alone {alone[-1]:.2f} s", flush=True)
                served.append(run_through_service(epochs, client, stack))
                print(f"service {served[-1].total_s:.2f} s", flush=True)
    result |= {
        "epochs": epochs,
        "service_s": statistics.median(run.total_s for run in served),
        "trainer_s": statistics.median(run.trainer_s for run in served),
        "waited_s": statistics.median(run.waited_s for run in served),
        "others_cpu_s": statistics.median(run.others_cpu_s for run in served),
        "others": {
            program: round(statistics.median(run.others.get(program, 0.0) for run in served), 2)
            for program in (*PROGRAMS, "others")
        },
        "waits_alone": waits_alone,
        "added": statistics.median(run.added(waits_alone) for run in served),
        "added_at_most": statistics.median(run.added_at_most for run in served),
    }
    if alone:
        ratios = [run.total_s / seconds for run, seconds in zip(served, alone, strict=True)]
        result |= {"alone_s": statistics.median(alone), "ratio_median": statistics.median(ratios), "ratios": ratios}
    keep(options.out, result)


if __name__ == "__main__":
    main()
