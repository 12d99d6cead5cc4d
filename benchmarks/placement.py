"""Jobs an hour of small real trainings by the number of jobs at once: `python -m benchmarks.placement`.

Prints the figures and adds them to `benchmarks/results/placement.json`. For each number a fresh embedded stack runs
with `MIMEO_JOBS_PER_DEVICE` and the same jobs: a VAE and an ACGAN on the built-in digits and an LSTM on a built-in
text, `--rounds` times, all in the queue from the start. The time is from the submission of the first to the end of the
last, after a round that prepares datasets and starts the processes.

- `workers`: 1, 2 and 3 training workers that share the cores of this host, without a GPU; `threads` of their jobs.
- `at_once`: 1, 2, 4 and 8 jobs on one device: a GPU where there is one, else the host.

`sha256` has the checksums of the weights of each model type, of which there is one where all its jobs have the same
bits. On a CPU they depend on the number of threads: with `OMP_NUM_THREADS=1` they are equal for every number of jobs.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from benchmarks.quality import commit, machine
from shared.db.session import make_engine, reading, session_factory
from shared.db.tables import TrainingJob
from shared.settings import Settings
from tests.acceptance.stack import running_stack, wait_for_job
from worker import devices
from worker.devices import Device

RESULTS = Path(__file__).parent / "results" / "placement.json"
LIMIT_S = 3600.0
READY_S = 180.0


def bodies(scale: int) -> list[dict[str, Any]]:
    """One job of each type. scale: of their lengths."""
    digits = {"dataset": "digits", "evaluation": "none", "seed": 1}
    text = {"dataset": "python-source", "evaluation": "none", "seed": 1}
    return [
        {"model_type": "vae", **digits, "hyperparameters": {"epochs": 4 * scale, "examples_per_epoch": 2560}},
        {"model_type": "lstm", **text, "hyperparameters": {"epochs": scale, "examples_per_epoch": 4096}},
        {"model_type": "acgan", **digits, "hyperparameters": {"epochs": scale, "examples_per_epoch": 1280}},
    ]


def submit(client: httpx.Client, jobs: list[dict[str, Any]]) -> list[str]:
    """Submit jobs and return their paths."""
    return [
        f"/v1/training-jobs/{client.post('/v1/training-jobs', json=body).raise_for_status().json()['id']}"
        for body in jobs
    ]


def wait_for_all(client: httpx.Client, paths: list[str]) -> None:
    """Wait for jobs. Raises RuntimeError if one does not succeed."""
    for path in paths:
        job = wait_for_job(client, path, timeout_s=LIMIT_S)
        if job["status"] != "succeeded":
            raise RuntimeError(f"{path} ended as {job['status']}: {job['error']}")


def wait_for_workers(client: httpx.Client, count: int) -> str:
    """Wait for training workers; returns their device. Raises TimeoutError."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        alive = [each for each in client.get("/v1/workers").json()["data"] if each["kind"] == "training"]
        if len(alive) == count:
            return str(alive[0]["device"])
        time.sleep(0.2)
    raise TimeoutError(f"{count} training workers are not there after {READY_S:.0f} s")


def measure(at_once: int, *, on_gpu: bool, rounds: int, scale: int) -> dict[str, Any]:
    """Jobs an hour with a number of jobs at once."""
    variables = {"MIMEO_JOBS_PER_DEVICE": str(at_once), "MIMEO_LOG_LEVEL": "warning"}
    if not on_gpu:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    with (
        tempfile.TemporaryDirectory(prefix="mimeo-placement-") as name,
        running_stack(Path(name) / "home", variables, ready_s=READY_S) as stack,
        httpx.Client(base_url=stack.url, timeout=120) as client,
    ):
        device = wait_for_workers(client, at_once)
        wait_for_all(client, submit(client, bodies(1) * at_once))
        began = time.perf_counter()
        paths = submit(client, bodies(scale) * rounds)
        wait_for_all(client, paths)
        seconds = time.perf_counter() - began
        return {
            "at_once": at_once,
            "device": device,
            "jobs": len(paths),
            "seconds": round(seconds, 2),
            "jobs_an_hour": round(3600 * len(paths) / seconds, 1),
            **_of_rows(stack.home, {path.rpartition("/")[2] for path in paths}),
        }


def _of_rows(home: Path, ids: set[str]) -> dict[str, Any]:
    """Threads and checksums, which differ only between model types."""
    settings = Settings(home=home)
    with reading(session_factory(make_engine(settings))) as session:
        found = [job for job in session.scalars(select(TrainingJob).order_by(TrainingJob.id)) if job.id in ids]
        sums: dict[str, set[str]] = {}
        for job in found:
            assert job.model is not None
            sums.setdefault(job.model_type, set()).add(job.model.checkpoint.sha256[:12])
    return {
        "threads": sorted({job.threads for job in found if job.threads}),
        "sha256": {name: sorted(each) for name, each in sums.items()},
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their speed and bits beside the first one's."""
    first = rows[0]
    return [
        {
            **row,
            "of_one_at_a_time": round(row["jobs_an_hour"] / first["jobs_an_hour"], 2),
            "is_equal_to_one_at_a_time": {name: sums == first["sha256"][name] for name, sums in row["sha256"].items()},
        }
        for row in rows
    ]


def numbers(text: str) -> list[int]:
    """`1,2,4` as a list."""
    return [int(part) for part in text.split(",") if part]


def plan(seen: list[Device], workers: list[int], at_once: list[int]) -> dict[str, list[int]]:
    """The numbers of each part. Without a GPU both parts are the same measurement, which runs once."""
    if seen[0].type == "cuda":
        return {"workers": workers, "at_once": at_once}
    return {"workers": sorted({*workers, *at_once})}


def main() -> None:
    """Measure, print, and add the record to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=numbers, default=[1, 2, 3], help="that share the host's cores")
    parser.add_argument("--at-once", type=numbers, default=[1, 2, 4, 8], help="jobs on one device")
    parser.add_argument("--rounds", type=int, default=8, help="jobs of each model type")
    parser.add_argument("--scale", type=int, default=1, help="of the lengths of the jobs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    seen = devices.visible()
    record: dict[str, Any] = {
        "command": f"python -m benchmarks.placement --rounds {options.rounds} --scale {options.scale}",
        "commit": commit(),
        "machine": machine(),
        "gpu_bytes": seen[0].total_bytes if seen[0].type == "cuda" else None,
    }
    for part, counts in plan(seen, options.workers, options.at_once).items():
        rows = []
        for count in counts:
            on_gpu = part == "at_once"
            rows.append(measure(count, on_gpu=on_gpu, rounds=options.rounds, scale=options.scale))
            print(json.dumps(rows[-1]), flush=True)
        record[part] = compared(rows)
    records = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.write_text(f"{json.dumps([*records, record], indent=1)}\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
