"""How much longer a training job takes through the service than by the trainer program alone.

Runs the same job alternately both ways and prints each pair's times and the median ratio:
`python -m benchmarks.service_overhead --seconds 60 --pairs 3`. Alone: wall time of `python -m worker.train`. Through
the service: from the POST to the moment the job is terminal, on an idle embedded stack.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.stack import running_stack, wait_for_job

JOB: dict[str, Any] = {"model_type": "vae", "dataset": "fashion-mnist", "preset": "book", "seed": 7}


def run_alone(epochs: int, folder: Path) -> float:
    """Wall seconds of the trainer program for this many epochs."""
    folder.mkdir(parents=True)
    spec = folder / "spec-in.json"
    spec.write_text(json.dumps({**JOB, "hyperparameters": {"epochs": epochs}}))
    started = time.perf_counter()
    command = [sys.executable, "-m", "worker.train", str(spec), str(folder / "run")]
    # The same home as the stack's, so that both take the precision that was measured there once.
    env = {**os.environ, "MIMEO_HOME": str(folder.parent / "home")}
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env)
    return time.perf_counter() - started


def run_through_service(epochs: int, client: httpx.Client) -> float:
    """Seconds from the POST to the job's end."""
    started = time.time()
    accepted = client.post("/v1/training-jobs", json={**JOB, "hyperparameters": {"epochs": epochs}})
    accepted.raise_for_status()
    job = wait_for_job(client, f"/v1/training-jobs/{accepted.json()['id']}", timeout_s=3600)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {job['status']}: {job['error']}")
    return datetime.fromisoformat(str(job["finished_at"])).timestamp() - started


def epochs_for(seconds: float, folder: Path) -> int:
    """Epochs that take about this long here, from the slope of two short runs."""
    few, more = 1, 4
    slope = (run_alone(more, folder / "more") - run_alone(few, folder / "few")) / (more - few)
    return max(1, round(seconds / max(slope, 1e-3)))


def main() -> None:
    """Print one line a pair, then the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mimeo-overhead-") as name:
        folder = Path(name)
        epochs = epochs_for(options.seconds, folder)
        alone, served = [], []
        # The stack is up in both halves, so that its idle cost is not counted as the service's.
        with (
            running_stack(folder / "home", {"MIMEO_LOG_LEVEL": "warning"}) as stack,
            httpx.Client(base_url=stack.url, timeout=60) as client,
        ):
            run_through_service(1, client)
            for pair in range(options.pairs):
                alone.append(run_alone(epochs, folder / f"alone-{pair}"))
                served.append(run_through_service(epochs, client))
                print(f"pair {pair + 1}: alone {alone[-1]:.2f} s, service {served[-1]:.2f} s", flush=True)
    ratios = [s / a for s, a in zip(served, alone, strict=True)]
    result = {
        "epochs": epochs,
        "alone_s": statistics.median(alone),
        "service_s": statistics.median(served),
        "ratio_median": statistics.median(ratios),
        "ratios": ratios,
        "cpus": os.cpu_count(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
