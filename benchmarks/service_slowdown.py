"""How much slower a trainer trains while the rest of Mimeo runs beside it: `python -m benchmarks.service_slowdown`.

One job on an idle embedded stack. While it trains, every other process of the stack is stopped (SIGSTOP) for some
seconds and let go for as many, in turn, and the trainer's steps are counted in each of these windows. A window with the
others stopped is compared with the two beside it, so a machine whose speed varies from minute to minute does no harm.
While the others run, a client reads the job every second, and they catch up with what was reported while they were
stopped: that is more than they do in life. Windows in which an epoch ended are left out, since the trainer then does
other things than steps; what its files cost the others is in `benchmarks.service_overhead`.

Prints a line a window, then JSON: `slowdown` is the median of (steps per second alone / steps per second beside the
others) - 1, `slowdown_95` the range that 95 % of its bootstrap samples are in. Linux; about 12 minutes on two cores.
"""

import argparse
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.service_overhead import trainer_of
from benchmarks.service_record import about, keep
from shared import events
from shared.settings import Settings
from tests.acceptance.stack import Stack, running_stack, wait_for_job

RESULTS = Path(__file__).parent / "results" / "service-slowdown.json"
JOB: dict[str, Any] = {"model_type": "lstm", "dataset": "shakespeare", "preset": "fast", "seed": 7}
WARM_UP_S = 15.0
BOOTSTRAP = 2000


@dataclass(frozen=True)
class Window:
    """Some seconds of training. rate: steps per second; None where an epoch ended or too little was reported."""

    alone: bool
    rate: float | None


class Reports:
    """What the trainer writes down, read while it does."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def news(self) -> Iterator[events.Event]:
        """Events since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            *lines, rest = file.read().split(b"\n")
            self._read = file.tell() - len(rest)
        for line in lines:
            yield events.EVENT.validate_json(line)


@contextmanager
def stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Stop them for the length of the block."""
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def window(reports: Reports, seconds: float, client: httpx.Client | None, path: str) -> float | None:
    """Steps per second over the next seconds; with a client, it reads the job each second. None as in `Window`."""
    list(reports.news())
    seen: list[tuple[float, int]] = []
    ended, has_epoch_ended = time.monotonic() + seconds, False
    ask_at = time.monotonic()
    while (now := time.monotonic()) < ended:
        if client is not None and now >= ask_at:
            client.get(path).raise_for_status()
            ask_at += 1
        for event in reports.news():
            if isinstance(event, events.Progress):
                seen.append((time.monotonic(), event.step))
            elif not isinstance(event, events.Metrics):
                has_epoch_ended = True
        time.sleep(0.02)
    if has_epoch_ended or len(seen) < 3:
        return None
    (first_at, first), (last_at, last) = seen[0], seen[-1]
    return (last - first) / (last_at - first_at)


def measure(stack: Stack, client: httpx.Client, epochs: int | None, seconds: float) -> list[Window]:
    """Windows in turn until the trainer ends, beginning and ending with one beside the others."""
    body = JOB if epochs is None else {**JOB, "hyperparameters": {"epochs": epochs}}
    accepted = client.post("/v1/training-jobs", json=body)
    accepted.raise_for_status()
    path = f"/v1/training-jobs/{accepted.json()['id']}"
    trainer = trainer_of(stack.home)
    time.sleep(WARM_UP_S)
    [reported] = Settings(home=stack.home).runs_path.glob(f"{accepted.json()['id']}-*/events.jsonl")
    reports = Reports(reported)
    root = psutil.Process(stack.process.pid)
    others = [process for process in [root, *root.children(recursive=True)] if process != trainer]
    windows = [Window(alone=False, rate=window(reports, seconds, client, path))]
    while trainer.is_running() and trainer.status() != psutil.STATUS_ZOMBIE:
        with stopped(others):
            windows.append(Window(alone=True, rate=window(reports, seconds, None, path)))
        windows.append(Window(alone=False, rate=window(reports, seconds, client, path)))
        print(*(f"{one.rate:.2f}" if one.rate else "-" for one in windows[-2:]), flush=True)
    job = wait_for_job(client, path)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    return windows


def slowdowns(windows: Sequence[Window]) -> list[float]:
    """Of each window alone against the mean of its two neighbours, where all three have a rate."""
    found = []
    for before, alone, after in zip(windows[::2], windows[1::2], windows[2::2], strict=False):
        if before.rate and alone.rate and after.rate:
            found.append(alone.rate / statistics.mean([before.rate, after.rate]) - 1)
    return found


def main() -> None:
    """Print the windows, then the result, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="the preset's when left out")
    parser.add_argument("--seconds", type=float, default=8, help="of a window")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result = about()
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-slowdown-") as name,
        running_stack(Path(name) / "home", {"MIMEO_LOG_LEVEL": "warning"}) as stack,
        httpx.Client(base_url=stack.url, timeout=60) as client,
    ):
        found = slowdowns(measure(stack, client, options.epochs, options.seconds))
    chance = random.Random(0)
    again = sorted(statistics.median(chance.choices(found, k=len(found))) for _ in range(BOOTSTRAP))
    result |= {
        "job": JOB,
        "windows_compared": len(found),
        "slowdown": statistics.median(found),
        "slowdown_95": [again[BOOTSTRAP // 40], again[-BOOTSTRAP // 40]],
    }
    keep(options.out, result)


if __name__ == "__main__":
    main()
