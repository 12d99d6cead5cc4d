"""The costs of a job beside its training: `python -m benchmarks.start`, on an embedded stack.

Prints the figures and adds them to `benchmarks/results/start.json`. A job is one epoch of 1,280 built-in digits:

- seconds from the POST to the event `started`, to the first step in the job's resource (polled every 20 ms), and to
  the end, medians of `--repeats` jobs with a pause between them;
- seconds of `--jobs` jobs, each submitted at the end of the one before;
- memory of the idle fork server in MiB: resident, and proportional (shared pages count in part).

`--cold` disables warm starts. `--source DIR` measures another checkout, in its own `.venv`.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.quality import commit, machine
from tests.acceptance.stack import running_stack

RESULTS = Path(__file__).parent / "results" / "start.json"
IMAGES = {"epochs": 1, "examples_per_epoch": 1280}
JOBS: dict[str, dict[str, Any]] = {
    "vae": {"model_type": "vae", "dataset": "digits", "hyperparameters": IMAGES},
    "acgan": {"model_type": "acgan", "dataset": "digits", "hyperparameters": IMAGES},
    "gan": {"model_type": "gan", "dataset": "digits", "hyperparameters": IMAGES},
    "lstm": {"model_type": "lstm", "dataset": "pangrams", "hyperparameters": {"epochs": 1, "examples_per_epoch": 8192}},
}
PANGRAMS = "The quick brown fox jumps over the lazy dog. Sphinx of black quartz, judge my vow.\n" * 400
_POLL_S = 0.02
_READY_S = 120.0


def one_job(client: httpx.Client, body: dict[str, Any]) -> dict[str, float]:
    """Seconds from the POST to `started`, to the first step, and to the end. Raises RuntimeError if the job fails."""
    posted_at, began = time.time(), time.perf_counter()
    accepted = client.post("/v1/training-jobs", json=body)
    accepted.raise_for_status()
    path = f"/v1/training-jobs/{accepted.json()['id']}"
    seconds: dict[str, float] = {}
    while True:
        job = client.get(path).json()
        elapsed = time.perf_counter() - began
        if job["progress"]["step"] and "first_step" not in seconds:
            seconds["first_step"] = elapsed
        if job["is_terminal"]:
            break
        time.sleep(_POLL_S)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    events = client.get(f"{path}/events").json()["data"]
    started = next(event["at"] for event in events if event["type"] == "started")
    return {"started": datetime.fromisoformat(started).timestamp() - posted_at, **seconds, "end": elapsed}


def fork_server(home: Path) -> psutil.Process | None:
    """The fork server of the stack in this home, or None."""
    for process in psutil.process_iter():
        try:
            is_one = "worker.fork_server" in process.cmdline()
            if is_one and process.environ().get("MIMEO_HOME") == str(home):
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def settled(home: Path) -> psutil.Process:
    """The fork server once it is idle. Raises TimeoutError where there is none."""
    deadline = time.monotonic() + _READY_S
    while (server := fork_server(home)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the stack has no fork server")
        time.sleep(0.2)
    while time.monotonic() < deadline and server.cpu_percent(interval=1.0) > 1:
        continue
    return server


def measure(client: httpx.Client, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one stack."""
    figures: dict[str, Any] = {}
    if not options.cold and options.source is None:
        memory = settled(home).memory_full_info()
        figures["fork_server_mib"] = {"rss": memory.rss >> 20, "pss": memory.pss >> 20, "private": memory.uss >> 20}
    for model_type in options.model_type:
        body = JOBS[model_type]
        first = one_job(client, body)  # trains the evaluation classifier of the dataset
        runs = []
        for _ in range(options.repeats):
            time.sleep(options.pause)
            runs.append(one_job(client, body))
        medians = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
        figures[model_type] = {"first": {name: round(value, 3) for name, value in first.items()}, "median": medians}
        if options.jobs:
            began = time.perf_counter()
            for _ in range(options.jobs):
                one_job(client, body)
            total = time.perf_counter() - began
            figures[model_type]["in_a_row"] = {
                "jobs": options.jobs, "total_s": round(total, 1), "s_per_job": round(total / options.jobs, 2),
            }  # fmt: skip
        print(model_type, json.dumps(figures[model_type]), flush=True)
    return figures


def _revision(source: Path | None) -> str:
    if source is None:
        return str(commit())
    git = ["git", "-C", str(source), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-type", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between the repeated jobs")
    parser.add_argument("--jobs", type=int, default=0, help="also run so many jobs of each type in a row")
    parser.add_argument("--cold", action="store_true", help="without warm starts")
    parser.add_argument("--source", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Measure, print the record and add it to the file."""
    options = _options()
    record: dict[str, Any] = {"machine": machine(), "commit": _revision(options.source)}
    record["start"] = "cold" if options.cold else "as configured"
    settings = {"MIMEO_LOG_LEVEL": "warning", "MIMEO_WARM_START": "0" if options.cold else "1"}
    with tempfile.TemporaryDirectory(prefix="mimeo-start-") as name:
        home = Path(name) / "home"
        with (
            running_stack(home, settings, source=options.source and options.source.resolve()) as stack,
            httpx.Client(base_url=stack.url, timeout=60) as client,
        ):
            form = {"name": "pangrams", "kind": "text"}
            client.post("/v1/datasets", data=form, files={"file": PANGRAMS.encode()}).raise_for_status()
            record |= measure(client, home, options)
    records = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.write_text(f"{json.dumps([*records, record], indent=1)}\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
